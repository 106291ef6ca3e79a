package jetstream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/filter/index"
	"github.com/weirmq/weir/jetstream/follow"
	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

const (
	// maxSubscribers is how many named subscribers a tenant may have.
	maxSubscribers = 1000
	// subscriberTombstone is how long the register remembers that a subscriber was removed: longer than anybody takes to follow.
	subscriberTombstone = time.Hour
)

// SubscriberKey names a subscriber of a tenant whose messages are kept while it is away. One name may stand for several of them, with
// a topic filter each.
type SubscriberKey struct {
	Name   string // without U+0000
	Filter string
	// native says that it consumes by itself, over native NATS: its name is that of one subscriber.
	native bool
}

// id is what its consumers are called, and its entry in the register.
func (k SubscriberKey) id() string {
	if k.native {
		return message.ConsumerName(k.Name)
	}
	return subscriberPrefix + naming.Hash(k.Name+"\x00"+k.Filter)
}

// metadata is what its consumers say of it.
func (k SubscriberKey) metadata() map[string]string {
	return message.SubscriberMetadata(k.Filter, k.Name)
}

// subscriberPrefix tells the consumers of subscribers from those of bridges.
const subscriberPrefix = "s_"

// subscriberRecord is what the register says about a subscriber.
type subscriberRecord struct {
	Version int    `json:"v"`
	Name    string `json:"name"`
	Filter  string `json:"filter"`
	Native  bool   `json:"native,omitempty"`
	Bridge  string `json:"bridge"` // who wrote the entry
	// Used is when somebody received for it last, as far as that is written.
	Used  time.Time `json:"used"`
	Ended bool      `json:"ended,omitempty"`
}

func (r subscriberRecord) key() SubscriberKey {
	return SubscriberKey{Name: r.Name, Filter: r.Filter, native: r.Native}
}

type subscriberEntry = follow.Entry[subscriberRecord]

// subscribers are those of a tenant as the register says, and which of them this bridge serves.
type subscribers struct {
	// immutable
	log     *Log
	filters index.Index[SubscriberKey] // by the filters in the register

	mu      sync.Mutex
	entries map[string]subscriberEntry // by identifier: those that there are
	served  map[string]*Subscriber
}

func newSubscribers(l *Log) *subscribers {
	return &subscribers{log: l, entries: make(map[string]subscriberEntry), served: make(map[string]*Subscriber)}
}

// change takes what the register says. It runs on the goroutine of the register's copy.
func (s *subscribers) change(before, after registerEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before.Live {
		rec := before.Value.subscriber
		if !after.Live {
			s.filters.Remove(rec.Filter, rec.key())
			delete(s.entries, rec.key().id())
		}
	}
	if after.Live {
		rec := after.Value.subscriber
		if !before.Live {
			s.filters.Add(rec.Filter, rec.key())
		}
		s.entries[rec.key().id()] = subscriberEntry{Value: *rec, Sequence: after.Sequence, Live: true}
	}
}

// of returns the subscribers with a filter that matches the topic.
func (s *subscribers) of(topic string) []SubscriberKey { return s.filters.Match(nil, topic) }

// all lists the subscribers.
func (s *subscribers) all() (all []subscriberEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		all = append(all, e)
	}
	return all
}

func (s *subscribers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// serving returns the subscribers with a filter that matches the topic and that this bridge serves.
func (s *subscribers) serving(topic string) (all []*Subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.served) == 0 {
		return nil
	}
	for _, key := range s.filters.Match(nil, topic) {
		if sub := s.served[key.id()]; sub != nil {
			all = append(all, sub)
		}
	}
	return all
}

// use writes that a subscriber is used now, and with that makes it where there is none. From then on every message of a topic that does not
// exist yet is kept for it.
func (s *subscribers) use(ctx context.Context, key SubscriberKey) error {
	r := s.log.register
	subject := s.log.names.subscriberSubject(key.id())
	rec := subscriberRecord{
		Version: recordVersion, Name: key.Name, Filter: key.Filter, Native: key.native, Bridge: s.log.store.config.Bridge,
		Used: time.Now().UTC(),
	}
	for {
		e := r.copy.Get(subject)
		if e.Live && e.Value.subscriber.Filter != key.Filter {
			return reason.New(reason.SubscriberInUse, fmt.Sprintf("the subscriber has the filter %q; remove it first", e.Value.subscriber.Filter))
		}
		if !e.Live && s.count() >= maxSubscribers {
			return reason.New(reason.SubscriberLimit, fmt.Sprintf("the tenant has its %d named subscribers", maxSubscribers))
		}
		if _, err := r.set(ctx, subject, rec, e, 0); !conflict(err) {
			return err
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
}

// end writes that a subscriber is no more. Unless it is to end in any case, only the entry that is given ends. It reports whether there was one.
func (s *subscribers) end(ctx context.Context, id string, only *subscriberEntry) (bool, error) {
	r := s.log.register
	subject := s.log.names.subscriberSubject(id)
	for {
		e := r.copy.Get(subject)
		if !e.Live || only != nil && only.Sequence != e.Sequence {
			return false, nil
		}
		rec := *e.Value.subscriber
		rec.Ended, rec.Bridge = true, s.log.store.config.Bridge
		if _, err := r.set(ctx, subject, rec, e, subscriberTombstone); !conflict(err) {
			return err == nil, err
		}
		if err := r.settle(ctx); err != nil {
			return false, err
		}
	}
}

func (s *subscribers) servedAs(id string) *Subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served[id]
}

// invite makes the consumers of the subscribers on the stream of a new dedicated topic.
func (s *subscribers) invite(ctx context.Context, stream, topic string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inviteWidth)
	for _, key := range s.of(topic) {
		g.Go(func() error { return s.prepare(ctx, stream, key, nil, reader.StartAll) })
	}
	return g.Wait()
}

// attachAll makes the consumers of all subscribers on the shared streams that are made for a move, before the move.
func (s *subscribers) attachAll(ctx context.Context, rec *rulesRecord) error {
	if err := s.log.register.settle(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inviteWidth)
	changed := rec.changedShared()
	for _, e := range s.all() {
		places, _ := rec.Policies.Places(e.Value.Filter)
		for _, p := range places {
			if p.Stream != tenant.StreamShared || !slices.Contains(changed, p.Name) {
				continue
			}
			rule := sharedRules(rec.Policies)[p.Name]
			g.Go(func() error {
				subjects := s.log.coverSubjects([]string{e.Value.Filter}, rule.Filter)
				return s.prepare(ctx, naming.SharedStream(s.log.tenant, p.Name), e.Value.key(), subjects, reader.StartNew)
			})
		}
	}
	return g.Wait()
}

// prepare makes a consumer of a subscriber.
func (s *subscribers) prepare(ctx context.Context, stream string, key SubscriberKey, filters []string, start reader.Start) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if key.native {
		return s.prepareNative(ctx, stream, key, start)
	}
	id := key.id()
	return reader.Prepare(ctx, reader.Config{
		JetStream: s.log.link.js, Stream: stream, Durable: id, Deliver: adoptedDeliver(id, stream),
		Filters: filters, Start: start, Keep: true, Metadata: key.metadata(), MaxWindow: subscriberWindow,
	})
}

// isSubscriber reports whether a consumer is one of a subscriber.
func isSubscriber(consumer string) bool { return strings.HasPrefix(consumer, subscriberPrefix) }
