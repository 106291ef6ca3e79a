package jetstream

import (
	"context"
	"errors"
	"slices"
	"sync"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// subscriberWindow is how many messages of one stream may be on their way to the bridge for one subscriber.
const subscriberWindow = 512

// Subscriber is a subscriber that this bridge serves: what it is there for package fanout is the tenant's log with consumers of the subscriber's
// own, which stay when it is closed. It has one topic filter, that of its key.
type Subscriber struct {
	// immutable
	*Log
	key  SubscriberKey
	id   string
	left sync.Once // of the rules

	work chan struct{} // holds one token while there is something in created; never closed
	done chan struct{} // closed by Close
	told sync.WaitGroup

	mu       sync.Mutex
	listener func(topic string)
	created  []string // to be told
}

// OpenSubscriber opens a subscriber that this bridge has claimed, and makes it where there is none. Close ends its use. Errors are *reason.Error:
// subscriber_limit, nats_unavailable.
func (l *Log) OpenSubscriber(ctx context.Context, key SubscriberKey) (*Subscriber, error) {
	if err := l.rules.enter(ctx); err != nil {
		return nil, refusal(err, 0)
	}
	s := &Subscriber{Log: l, key: key, id: key.id(), work: make(chan struct{}, 1), done: make(chan struct{})}
	l.subscribers.serve(s, true)
	if err := l.subscribers.use(ctx, key); err != nil {
		s.Returned()
		l.subscribers.serve(s, false)
		return nil, refusal(err, 0)
	}
	s.told.Go(s.tell)
	return s, nil
}

// Returned tells that the subscriber is attached to everything that there is. Until then its topics do not move: it must be called soon, by Close
// at the latest.
func (s *Subscriber) Returned() { s.left.Do(s.rules.leave) }

// Close ends this bridge's service. The subscriber stays. Its attachments must be closed; the claim is given back after that.
func (s *Subscriber) Close(ctx context.Context) error {
	s.Returned()
	s.subscribers.serve(s, false)
	close(s.done)
	s.told.Wait()
	s.rules.unfollow(s)
	return s.subscribers.use(ctx, s.key) // it may be idle from now on
}

func (s *subscribers) serve(sub *Subscriber, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.served[sub.id] = sub
	} else if s.served[sub.id] == sub {
		delete(s.served, sub.id)
	}
}

// Attach opens the subscriber's consumer at a place: what it has not acknowledged comes again. Where there is none it begins after the newest
// message. The parameters and errors are those of Log.Attach; there are no named readers, and what to begin with is the consumer's to know.
func (s *Subscriber) Attach(ctx context.Context, place tenant.Place, _ string, _ uint64, _ []string, sink reader.Sink) (Reader, error) {
	if place.Stream == tenant.StreamTransient {
		return s.attachTransient(ctx, place, sink)
	}
	a, err := s.reserve(ctx, attachmentKey{place: place, name: s.id})
	if err != nil {
		return nil, refusal(err, 0)
	}
	var r *reader.Reader
	switch place.Stream {
	case "":
		a.stays.Store(&place.Name)
		r, err = s.open(ctx, s.link.shardOf(s.tenant, place.Name), place.Name, nil, nil, sink)
	case tenant.StreamShared:
		r, err = s.attachShared(ctx, place, sink)
	default:
		r, err = s.attachTopic(ctx, a, place.Name, sink)
	}
	if err != nil {
		s.unreserve(a)
		return nil, refusal(err, 0)
	}
	s.opened(a, r)
	return a, nil
}

// attachTopic opens the consumer on a dedicated topic.
func (s *Subscriber) attachTopic(ctx context.Context, a *attachment, topic string, sink reader.Sink) (*reader.Reader, error) {
	for missing := false; ; {
		t := s.register.topic(topic)
		rules := s.rules.now.Load().Value.Policies
		if e, _, _ := t.look(); e.Live && e.Value.Moved && rules.Place(topic).Stream != tenant.StreamDedicated {
			return s.attachFormer(ctx, a, t, sink) // it was created, and has moved since
		}
		if err := t.ready(ctx, missing); err != nil {
			return nil, err
		}
		t.touch()
		stream := t.stream()
		if stream == "" {
			continue
		}
		r, err := s.open(ctx, t.shard, stream, nil, func(ctx context.Context) (string, error) { return s.reattach(ctx, a, topic) }, sink)
		if missing = errors.Is(err, natsjs.ErrStreamNotFound); missing {
			continue
		}
		if err != nil || r.Adopted() {
			return r, err
		}
		held, err := s.holds(ctx, topic, stream)
		if err == nil && held {
			return r, nil
		}
		if closeErr := r.Close(ctx); err != nil || closeErr != nil {
			return nil, errors.Join(err, closeErr)
		}
		if err := s.deleteConsumers(ctx, stream, s.id); err != nil {
			return nil, err
		}
	}
}

// attachFormer opens the consumer on what is left of a topic that has moved, where the subscriber has one there.
func (s *Subscriber) attachFormer(ctx context.Context, a *attachment, t *Topic, sink reader.Sink) (*reader.Reader, error) {
	stream := t.stream()
	c, err := s.consumerOn(ctx, stream)
	if err != nil || c == nil {
		return nil, errors.Join(err, errMoved)
	}
	a.stays.Store(&stream)
	return s.open(ctx, t.shard, stream, nil, nil, sink)
}

// attachShared opens the consumer on the stream of a shared rule.
func (s *Subscriber) attachShared(ctx context.Context, place tenant.Place, sink reader.Sink) (*reader.Reader, error) {
	for missing := false; ; {
		var reattach func(context.Context) (string, error)
		switch rule := s.sharedOf(place.Name); {
		case rule == nil && missing:
			return nil, errNoRule
		case rule == nil:
		default:
			if err := s.awaitShared(ctx, rule, missing); err != nil {
				return nil, err
			}
			reattach = rule.reattach
		}
		stream := naming.SharedStream(s.tenant, place.Name)
		filters := s.coverSubjects([]string{s.key.Filter}, s.sharedFilter(place.Name))
		r, err := s.open(ctx, s.link.shardOf(s.tenant, stream), stream, filters, reattach, sink)
		if missing = errors.Is(err, natsjs.ErrStreamNotFound); !missing {
			return r, err
		}
	}
}

// open opens the consumer on a stream.
func (s *Subscriber) open(
	ctx context.Context, shard *shard, stream string, filters []string, reattach func(context.Context) (string, error), sink reader.Sink,
) (*reader.Reader, error) {
	chooser, _ := sink.(reader.Chooser)
	config := s.readerConfig(shard, stream, "")
	config.Durable, config.Deliver, config.Keep, config.Metadata = s.id, adoptedDeliver(s.id, stream), true, s.key.metadata()
	config.Filters, config.MaxWindow, config.Reattach = filters, subscriberWindow, reattach
	config.Decode = (&decoder{log: s.Log, chooser: chooser}).decode
	return reader.Open(ctx, config, sink)
}

// consumerOn returns what there is of the subscriber's consumer on a stream, nil where it has none.
func (s *Subscriber) consumerOn(ctx context.Context, name string) (found *natsjs.ConsumerInfo, err error) {
	stream, err := s.link.js.Stream(ctx, name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if ownedBy(s.id, info.Name) {
			found = info
		}
	}
	if err := consumers.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
		return nil, err
	}
	return found, nil
}

// Former lists the streams that take no messages any more and have something for the subscriber, the oldest first.
func (s *Subscriber) Former(ctx context.Context) (all []reader.Former, err error) {
	parked, err := s.parkedStreams(ctx)
	if err != nil {
		return nil, refusal(err, 0)
	}
	slices.SortStableFunc(parked, func(a, b *natsjs.StreamInfo) int { return a.State.FirstTime.Compare(b.State.FirstTime) })
	for _, info := range parked {
		c, err := s.consumerOn(ctx, info.Config.Name)
		if err != nil {
			return nil, refusal(err, 0)
		}
		if c != nil && (c.NumPending > 0 || c.NumAckPending > 0) {
			all = append(all, reader.Former{Stream: info.Config.Name, Last: info.State.LastSeq})
		}
	}
	return all, nil
}

// Watch returns the topics that exist and match; those created since the subscriber was opened are told to the function given to OnCreated.
func (s *Subscriber) Watch(ctx context.Context, filter string) ([]string, error) {
	topics, err := s.matching(ctx, filter)
	if err != nil {
		return nil, refusal(err, 0)
	}
	return topics, nil
}

// Unwatch does nothing: the filter stays with the subscriber.
func (s *Subscriber) Unwatch(string) {}

// Release does nothing: the consumer of a created topic stays with the subscriber.
func (s *Subscriber) Release(string) {}

// OnCreated is as of Log.
func (s *Subscriber) OnCreated(f func(topic string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = f
}

// OnMove is as of Log.
func (s *Subscriber) OnMove(m reader.Mover) { s.rules.alsoFollow(s, m) }

// Hold has no bound: what is kept for a subscriber is bounded by the backlog.
func (s *Subscriber) Hold(tenant.Place) (messages, bytes int64, ok bool) {
	return tenant.Unlimited, tenant.Unlimited, true
}

// Revision never changes: neither does Hold.
func (s *Subscriber) Revision() uint64 { return 0 }

// announce queues a topic that has become live.
func (s *Subscriber) announce(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.created, topic) {
		s.created = append(s.created, topic)
	}
	signal(s.work)
}

// tell tells of created topics until the subscriber is closed.
func (s *Subscriber) tell() {
	for {
		select {
		case <-s.work:
		case <-s.done:
			return
		}
		s.mu.Lock()
		created, listener := s.created, s.listener
		s.created = nil
		s.mu.Unlock()
		for _, topic := range created {
			if listener != nil {
				listener(topic)
			}
		}
	}
}
