package jetstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirmq/weir/jetstream/message"
	"github.com/weirmq/weir/jetstream/publisher"
)

// Topic is a dedicated topic whose stream exists, as far as this bridge knows.
type Topic struct {
	// immutable
	log     *Log
	name    string
	subject string
	shard   *shard
	// work is held, as a slot, by whoever changes the topic's state from this bridge.
	work chan struct{}

	// exists is set while the register says live; what Lookup looks at.
	exists atomic.Bool
	// used is when this bridge last published to it or attached to it, in nanoseconds since the store's start.
	used atomic.Int64

	mu      sync.Mutex
	entry   topicEntry
	seen    time.Time     // when this bridge learned of entry
	totals  totals        // of the tenant, at entry
	changed chan struct{} // closed by apply when entry changes, and replaced
	// retired: not in the register's map any more, another object may have taken its place.
	retired bool
	queue   queue
	mend    *mend // while the stream is being made
	suspect bool  // somebody found no stream where the register says live
	idle    idleness
	told    uint64 // generation that was announced
	taken   uint64 // generation whose consumer, made by the creator for this bridge, was adopted or deleted
}

func newTopic(l *Log, name string) *Topic {
	t := &Topic{
		log:     l,
		name:    name,
		subject: message.Subject(l.tenant, name),
		shard:   l.link.shardOf(l.tenant, name),
		work:    make(chan struct{}, 1),
		changed: make(chan struct{}),
	}
	t.touch()
	return t
}

// Name is the topic name.
func (t *Topic) Name() string { return t.name }

func (t *Topic) touch() { t.used.Store(int64(time.Since(t.log.store.started))) }

// unused is how long this bridge has not used the topic.
func (t *Topic) unused() time.Duration {
	return time.Since(t.log.store.started) - time.Duration(t.used.Load())
}

// apply takes what the register says now. It runs on the goroutine of the register's copy.
func (t *Topic) apply(e topicEntry, totals totals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if generation(e) != generation(t.entry) {
		t.idle = idleness{}
	}
	t.entry, t.seen, t.totals = e, time.Now(), totals
	t.exists.Store(e.Live && e.Value.State == live)
	close(t.changed)
	t.changed = make(chan struct{})
	t.announce()
	t.retire()
}

// retire drops an object that nothing needs any more. The caller holds mu.
func (t *Topic) retire() {
	if exists(t.entry) || t.mend != nil || !t.queue.empty() || t.retired {
		return
	}
	t.retired = true
	r := t.log.register
	// Lock order: a topic's mu is taken before the register's. Whoever holds the register's takes no topic's.
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.topics[t.name] == t {
		delete(r.topics, t.name)
	}
}

// look is what the register said last, when that was learned, and what tells of the next change.
func (t *Topic) look() (e topicEntry, seen time.Time, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entry, t.seen, t.changed
}

// stream is the name of the stream that the register says the topic has; empty where it has none.
func (t *Topic) stream() string {
	e, _, _ := t.look()
	if !e.Live || e.Value.State != live {
		return ""
	}
	return message.StreamName(t.log.tenant, t.name, e.Value.Generation)
}

// Publish stores m and answers to done, in the background. Messages of one goroutine to one topic are stored in
// the order of the calls. Where the stream was removed in the meantime it is made again and the publish repeated, still
// in order. m and its bytes must stay as they are until the answer. After an Unknown outcome the
// caller publishes nothing more for that connection; to be sure of it, it calls Publish with the lock that its Published
// takes, which Publish never waits for.
func (t *Topic) Publish(m *message.Message, done publisher.Done, token uint64) {
	p := newPending()
	p.topic, p.message, p.done, p.token = t, m, done, token
	t.publish(p)
}

// Wait returns once this topic's connection has room for one more publish: fewer than 8,192 messages and 64 MiB under way.
// Whoever publishes calls it before, without a lock that the answers take. Every publish has its answer after 10 s at the
// latest, so it is over by then.
func (t *Topic) Wait(ctx context.Context) error { return t.shard.publisher.Wait(ctx) }

// current returns the object that stands for the topic now, with its mu held.
func (t *Topic) current() *Topic {
	t.mu.Lock()
	for t.retired {
		t.mu.Unlock()
		t = t.log.register.topic(t.name)
		t.mu.Lock()
	}
	return t
}

// mend is one making, or making again, of a topic's stream; everybody who needs it waits for the same one.
type mend struct {
	done chan struct{} // closed by the goroutine that mends
	err  error         // set before done is closed
}

// ready returns once the topic is live. missing says that its stream was not found, whatever the register says. Its
// errors are *reason.Error.
func (t *Topic) ready(ctx context.Context, missing bool) error {
	if t.exists.Load() && !missing {
		return nil
	}
	t = t.current()
	t.suspect = t.suspect || missing
	if t.exists.Load() && !missing {
		t.mu.Unlock()
		return nil
	}
	m := t.startMend()
	t.mu.Unlock()
	if m == nil {
		return errStopping
	}
	return m.wait(ctx)
}

func (m *mend) wait(ctx context.Context) error {
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return refusal(ctx.Err(), 0)
	}
}
