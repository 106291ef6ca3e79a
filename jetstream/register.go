package jetstream

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/follow"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// state of a topic in the register.
type state string

const (
	creating state = "creating"
	live     state = "live"
	removing state = "removing" // somebody looks whether it can go; nothing is deleted yet
	deleting state = "deleting" // nobody uses it; whoever needs it deletes what is left of it
	gone     state = "gone"
)

const (
	// goneTTL is how long the register remembers that a topic is gone: longer than any bridge can be late with
	// what it wanted to do to that generation.
	goneTTL = time.Hour
	// staleAfter is when a topic that stays creating or removing is taken for left behind.
	staleAfter = 10 * time.Second
)

// topicRecord is what the register says about one topic.
type topicRecord struct {
	Version int    `json:"v"`
	Topic   string `json:"topic"`
	State   state  `json:"state"`
	// Generation is the register sequence of the creating entry; absent in that entry itself.
	Generation uint64 `json:"generation,omitempty"`
	Bridge     string `json:"bridge"`             // who wrote the entry
	Presence   uint64 `json:"presence,omitempty"` // sequence of the presence message
	// What the stream was made for, as the topic's policy has it.
	Bytes    int64           `json:"bytes"`
	Messages int64           `json:"messages"`
	TTL      time.Duration   `json:"ttl_ns"`
	WhenFull tenant.WhenFull `json:"when_full,omitempty"` // absent: reject
	Keep     tenant.Keep     `json:"keep,omitempty"`      // absent: until_consumed
	// Attached are the bridges for whose filters the creator of the stream has made consumers; from live on.
	Attached []string `json:"attached,omitempty"`
	// Moved says that new messages of the topic do not go to the stream any more: it is parked. Last is the sequence up to which it had
	// them.
	Moved bool   `json:"moved,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	// Why a creation failed, in gone.
	Code    reason.Reason `json:"code,omitempty"`
	Message string        `json:"message,omitempty"`
}

func (r topicRecord) withPolicy(p tenant.Policy) topicRecord {
	r.Bytes, r.Messages, r.TTL, r.WhenFull, r.Keep = p.BacklogBytes, p.BacklogMessages, p.TTL, p.WhenFull, p.Keep
	// The first records had neither word.
	if r.WhenFull == tenant.WhenFullReject {
		r.WhenFull = ""
	}
	if r.Keep == tenant.KeepUntilConsumed {
		r.Keep = ""
	}
	return r
}

// open reports whether the stream takes messages.
func (r topicRecord) open() bool { return r.State == live && !r.Moved }

func (r topicRecord) with(s state) topicRecord {
	r.State = s
	return r
}

// reserved is what the stream takes of the tenant's storage_bytes.
func (r topicRecord) reserved() int64 {
	if r.Bytes == tenant.Unlimited {
		return 0
	}
	return r.Bytes
}

// hasPolicy reports whether the stream was made for this policy.
func (r topicRecord) hasPolicy(p tenant.Policy) bool {
	want := r.withPolicy(p)
	return r.Bytes == want.Bytes && r.Messages == want.Messages && r.TTL == want.TTL && r.WhenFull == want.WhenFull && r.Keep == want.Keep
}

type topicEntry = follow.Entry[topicRecord]

// registerRecord is one entry of the register: of a topic, of a filter, of the rules, of a bridge's place in a change of them, of a subscriber, or of a kind
// that this release does not know.
type registerRecord struct {
	topic  topicRecord
	filter *filterRecord // nil: it is not one, as the following
	rules  *rulesRecord
	phase  *phaseRecord

	subscriber *subscriberRecord
}

type registerEntry = follow.Entry[registerRecord]

func topicOf(e registerEntry) topicEntry {
	return topicEntry{Value: e.Value.topic, Sequence: e.Sequence, Live: e.Live}
}

// generation of the topic that an entry tells of.
func generation(e topicEntry) uint64 {
	if e.Value.State == creating {
		return e.Sequence
	}
	return e.Value.Generation
}

// exists reports whether the topic takes part in quotas.
func exists(e topicEntry) bool { return e.Live && e.Value.State != gone }

// totals of the topics that exist.
type totals struct {
	live     int64
	reserved int64 // bytes
}

func (t *totals) add(e topicEntry, sign int64) {
	if !exists(e) {
		return
	}
	if e.Value.State == live {
		t.live += sign
	}
	t.reserved += sign * e.Value.reserved()
}

// register is the local copy of a tenant's register.
type register struct {
	// immutable
	records[registerRecord]
	log *Log

	mu     sync.RWMutex
	topics map[string]*Topic // by name: all that exist, and those that this bridge works on
	totals totals
}

func startRegister(l *Log) *register {
	r := &register{log: l, topics: make(map[string]*Topic)}
	r.control, r.position = l.link.control, l.names.positionSubject("register", l.store.config.Bridge)
	r.copy = follow.Start(l.link.nc, l.link.js, follow.Config[registerRecord]{
		Stream: l.names.register,
		Ensure: l.ensureStreams,
		Decode: r.decode,
		Change: r.change,
		Log:    l.log,
	})
	return r
}

// decode takes a kind of entries that it does not know, as positions are, for absent: a newer release has written it.
func (r *register) decode(subject string, _ nats.Header, data []byte) (rec registerRecord, exists bool) {
	var err error
	n := r.log.names
	switch {
	case strings.HasPrefix(subject, n.subject("register.topic.")):
		t := &rec.topic
		if err = json.Unmarshal(data, t); err == nil && t.Topic != "" && n.topicSubject(t.Topic) == subject {
			return rec, t.State != gone
		}
	case strings.HasPrefix(subject, n.subject("register.filter.")):
		f := new(filterRecord)
		if err = json.Unmarshal(data, f); err == nil && filter.Check(f.Filter) == nil && n.filterSubject(f.Bridge, f.Filter) == subject {
			return registerRecord{filter: f}, !f.Ended
		}
	case strings.HasPrefix(subject, n.subject("register.phase.")):
		p := new(phaseRecord)
		if err = json.Unmarshal(data, p); err == nil && n.phaseSubject(p.Bridge) == subject {
			return registerRecord{phase: p}, !p.Ended
		}
	case strings.HasPrefix(subject, n.subject("register.subscriber.")):
		s := new(subscriberRecord)
		if err = json.Unmarshal(data, s); err == nil && filter.Check(s.Filter) == nil && n.subscriberSubject(s.key().id()) == subject {
			return registerRecord{subscriber: s}, !s.Ended
		}
	case subject == n.rulesSubject():
		p := new(rulesRecord)
		if err = json.Unmarshal(data, p); err == nil && len(p.Policies) > 0 {
			return registerRecord{rules: p}, true
		}
	default:
		return registerRecord{}, false
	}
	r.log.log.Warn("register entry is not readable", zap.String("subject", subject), zap.Error(err))
	return registerRecord{}, false
}

// change brings the filters, or the totals and the topic, up to date. It runs on the copy's goroutine.
func (r *register) change(_ string, before, after registerEntry) {
	switch {
	case before.Value.filter != nil || after.Value.filter != nil:
		r.log.filters.change(before, after)
		return
	case before.Value.subscriber != nil || after.Value.subscriber != nil:
		r.log.subscribers.change(before, after)
		return
	case before.Value.phase != nil || after.Value.phase != nil:
		r.log.rules.changePhase(before, after)
		return
	case after.Value.rules != nil:
		r.log.rules.change(after)
		return
	}
	r.changeTopic(topicOf(before), topicOf(after))
}

func (r *register) changeTopic(before, after topicEntry) {
	name := after.Value.Topic
	if name == "" {
		name = before.Value.Topic
	}
	if name == "" {
		return
	}
	r.mu.Lock()
	r.totals.add(before, -1)
	r.totals.add(after, +1)
	totals := r.totals
	t := r.topics[name]
	if t == nil && exists(after) {
		t = newTopic(r.log, name)
		r.topics[name] = t
	}
	r.mu.Unlock()
	r.log.store.metrics.topics.WithLabelValues(r.log.tenant).Set(float64(totals.live))
	if t != nil {
		t.apply(after, totals)
	}
}

// find returns the object of a topic, nil where there is none.
func (r *register) find(name string) *Topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.topics[name]
}

// topic returns the object of a topic, a new one where there is none.
func (r *register) topic(name string) *Topic {
	if t := r.find(name); t != nil {
		return t
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.topics[name]; t != nil {
		return t
	}
	t := newTopic(r.log, name)
	// What is written after this reaches the object by change, which comes after the copy has it.
	t.entry, t.seen, t.totals = topicOf(r.copy.Get(r.log.names.topicSubject(name))), time.Now(), r.totals
	t.exists.Store(t.entry.Live && t.entry.Value.open())
	r.topics[name] = t
	return t
}

// reroute tells the topics which of them are dedicated.
func (r *register) reroute() {
	routing := r.log.currentRouting()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, t := range r.topics {
		t.dedicated.Store(routing.isDedicated(name))
	}
}

func (r *register) sums() totals {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.totals
}

func (r *register) all() []*Topic {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.topics))
}

// write sets the entry of a topic.
func (r *register) write(ctx context.Context, rec topicRecord, expected topicEntry) (topicEntry, error) {
	rec.Version, rec.Bridge = recordVersion, r.log.store.config.Bridge
	var ttl time.Duration
	if rec.State == gone {
		ttl = goneTTL
	}
	was := registerEntry{Sequence: expected.Sequence, Live: expected.Live}
	sequence, err := r.set(ctx, r.log.names.topicSubject(rec.Topic), rec, was, ttl)
	return topicEntry{Value: rec, Sequence: sequence, Live: rec.State != gone}, err
}
