package jetstream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/tenant"
)

// discardWidth is how many consumers that nobody wants are deleted at a time.
const discardWidth = 4

// errStillOpen: a reader of the topic is open and has not taken its place in the stream yet.
var errStillOpen = errors.New("the topic's reader is being attached again")

// adoption is what becomes of the consumers that creators of topics have made for this bridge. Its queues are bounded by
// the number of topics.
type adoption struct {
	// immutable
	told      chan struct{} // holds one token while there is something in created; never closed
	discarded chan struct{} // holds one token while there is something in unwanted; never closed

	mu       sync.Mutex
	created  []*Topic            // to be told, in the order in which they became live, each once
	queued   map[*Topic]struct{} // those in created
	unwanted map[*Topic]struct{} // whose consumer is to be deleted
	listener func(topic string)
}

func newAdoption() *adoption {
	return &adoption{
		told: make(chan struct{}, 1), discarded: make(chan struct{}, 1),
		queued: make(map[*Topic]struct{}), unwanted: make(map[*Topic]struct{}),
	}
}

// OnCreated sets who is told of topics that were created, by whatever bridge, this one included, while a watched filter matched;
// it is called before the first Watch. f must not block, and may be told of the same topic again. It is told before Mover.Release of what
// has moved meanwhile. The topic's consumer for this
// bridge exists: Attach(ctx, tenant.Dedicated(topic), "", 0, nil, sink) adopts it with everything stored since, also after one that failed; a topic that
// nobody here wants any more is given back with Release(topic).
func (l *Log) OnCreated(f func(topic string)) {
	l.adoption.mu.Lock()
	defer l.adoption.mu.Unlock()
	l.adoption.listener = f
}

// Release gives back a topic that was told by OnCreated and is not attached. It never blocks, and does nothing to one that is
// attached.
func (l *Log) Release(topic string) {
	if t := l.register.find(topic); t != nil {
		l.adoption.discard(t)
	}
}

// tell queues a topic for whoever listens.
func (a *adoption) tell(t *Topic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.queued[t]; ok {
		return
	}
	a.queued[t] = struct{}{}
	a.created = append(a.created, t)
	signal(a.told)
}

// discard queues a topic whose consumer is to be deleted, unless it is attached.
func (a *adoption) discard(t *Topic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unwanted[t] = struct{}{}
	signal(a.discarded)
}

// tellCreated tells of topics until the store is closed.
func (l *Log) tellCreated() {
	a := l.adoption
	for {
		select {
		case <-a.told:
		case <-l.store.ctx.Done():
			return
		}
		a.mu.Lock()
		created, listener := a.created, a.listener
		a.created = nil
		clear(a.queued)
		a.mu.Unlock()
		for _, t := range created {
			_, _, offered := t.offered()
			wanted := listener != nil && l.filters.wants(t.name)
			if wanted {
				listener(t.name)
			}
			if offered && (!wanted || l.attached(t.name)) {
				// The reader that is attached has seen the stream of an earlier generation go, and finds its own way.
				a.discard(t)
			}
		}
	}
}

// tellMoved tells of topics that have moved before the consumer made for this bridge was adopted. It returns when the listener knows.
func (l *Log) tellMoved(rec *rulesRecord) {
	a := l.adoption
	a.mu.Lock()
	listener := a.listener
	a.mu.Unlock()
	for _, t := range l.register.all() {
		if e, _, _ := t.look(); !e.Value.Moved || rec.stays(t.name) {
			continue
		}
		switch _, _, offered := t.offered(); {
		case !offered:
		case listener != nil && l.filters.wants(t.name):
			listener(t.name)
		default:
			a.discard(t)
		}
	}
}

// discardConsumers deletes what is not wanted until the store is closed.
func (l *Log) discardConsumers() {
	a := l.adoption
	var retry <-chan time.Time
	for {
		select {
		case <-a.discarded:
		case <-retry:
		case <-l.store.ctx.Done():
			return
		}
		retry = nil
		if failed := l.discardAll(l.store.ctx, a.takeUnwanted(), discardWidth); len(failed) > 0 {
			a.mu.Lock()
			for _, t := range failed {
				a.unwanted[t] = struct{}{}
			}
			a.mu.Unlock()
			retry = time.After(cleanUpRetry)
		}
	}
}

func (a *adoption) takeUnwanted() []*Topic {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Collect(maps.Keys(a.unwanted))
	clear(a.unwanted)
	return all
}

// discardAll returns the topics whose consumer could not be deleted.
func (l *Log) discardAll(ctx context.Context, topics []*Topic, width int) (failed []*Topic) {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(width)
	for _, t := range topics {
		g.Go(func() error {
			err := l.discard(ctx, t)
			if err != nil && ctx.Err() == nil {
				l.log.Info("consumer of a topic that is not wanted not deleted", zap.String("topic", t.name), zap.Error(err))
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, t)
			}
			return nil
		})
	}
	_ = g.Wait()
	return failed
}

// discard deletes the consumer that a topic's creator has made for this bridge, unless it was adopted.
func (l *Log) discard(ctx context.Context, t *Topic) error {
	a, other := l.tryReserve(attachmentKey{place: tenant.Dedicated(t.name)})
	if a != nil {
		defer l.unreserve(a)
	}
	stream, generation, ok := t.offered()
	if !ok {
		return nil
	}
	own := consumerName(l.store.config.Bridge, "")
	if a == nil {
		r := l.readerOf(other)
		if r == nil {
			return nil // who is about to attach adopts it
		}
		if at, consumer, ok := r.Consumer(); !ok || at != stream || consumer == own {
			return errStillOpen
		}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := l.link.js.DeleteConsumer(ctx, stream, own)
	if err != nil && !errors.Is(err, natsjs.ErrConsumerNotFound) && !errors.Is(err, natsjs.ErrStreamNotFound) {
		return err
	}
	t.take(generation)
	return nil
}

// offered is the stream in which the creator of the topic has made a consumer for this bridge that nobody here has taken or
// deleted yet.
func (t *Topic) offered() (stream string, generation uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := &t.entry.Value
	if !t.entry.Live || v.Generation == t.taken || !slices.Contains(v.Attached, t.log.store.config.Bridge) {
		return "", 0, false
	}
	return naming.Stream(t.log.tenant, t.name, v.Generation), v.Generation, true
}

// take notes that the consumer made for this bridge has been adopted or deleted.
func (t *Topic) take(generation uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = generation
}

// announce queues a topic that has become live, once a generation, where it matters to this bridge. The caller holds mu.
func (t *Topic) announce() {
	e := &t.entry
	if !e.Live || !e.Value.open() || t.told == e.Value.Generation {
		return
	}
	t.told = e.Value.Generation
	for _, s := range t.log.subscribers.serving(t.name) {
		s.announce(t.name)
	}
	if t.log.filters.any() || slices.Contains(e.Value.Attached, t.log.store.config.Bridge) {
		t.log.adoption.tell(t)
	}
}
