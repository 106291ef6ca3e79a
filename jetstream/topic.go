package jetstream

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// Topic is a dedicated topic whose stream exists, as far as this bridge knows.
type Topic struct {
	line

	// immutable
	name    string
	subject string
	// work is held, as a slot, by whoever changes the topic's state from this bridge.
	work chan struct{}

	// exists is set while the register says live; what Lookup looks at.
	exists atomic.Bool
	// dedicated is set while the rules say that the topic is; it has its stream until then, and some time after.
	dedicated atomic.Bool
	// used is when this bridge last published to it or attached to it, in nanoseconds since the store's start.
	used atomic.Int64

	// guarded by mu of the line
	entry   topicEntry
	seen    time.Time     // when this bridge learned of entry
	totals  totals        // of the tenant, at entry
	changed chan struct{} // closed by apply when entry changes, and replaced
	// retired: not in the register's map any more, another object may have taken its place.
	retired bool
	idle    idleness
	told    uint64 // generation that was announced
	taken   uint64 // generation whose consumer, made by the creator for this bridge, was adopted or deleted
}

// newTopic is called with the register's mu held, which reroute takes after the routing has changed.
func newTopic(l *Log, name string) *Topic {
	t := &Topic{
		name:    name,
		subject: message.Subject(l.tenant, name),
		work:    make(chan struct{}, 1),
		changed: make(chan struct{}),
	}
	t.line = line{log: l, shard: l.link.shardOf(l.tenant, name), target: t}
	t.dedicated.Store(l.currentRouting().isDedicated(name))
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
	t.exists.Store(e.Live && e.Value.open())
	close(t.changed)
	t.changed = make(chan struct{})
	t.announce()
	t.rest()
}

// rest drops an object that nothing needs any more. The caller holds mu.
func (t *Topic) rest() {
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
	return naming.Stream(t.log.tenant, t.name, e.Value.Generation)
}

// Publish stores m and answers to done, as Route says.
func (t *Topic) Publish(m *message.Message, done publisher.Done, token uint64) {
	t = t.current()
	t.touch()
	if !t.exists.Load() {
		// It was looked up before, or has come from another place. Where somebody listens on the subject, nobody would say that there is no
		// stream.
		t.startMend()
	}
	t.publish(t.subject, m, done, token)
}

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

// ready returns once the topic is live. missing says that its stream was not found, whatever the register says. Its
// errors are *reason.Error.
func (t *Topic) ready(ctx context.Context, missing bool) error {
	if t.exists.Load() && !missing {
		return nil
	}
	t = t.current()
	if t.exists.Load() && !missing {
		t.mu.Unlock()
		return nil
	}
	return t.makeSure(ctx, missing)
}

func (t *Topic) place() tenant.Place { return tenant.Dedicated(t.name) }

// ensure makes the topic's stream.
func (t *Topic) ensure(ctx context.Context) error {
	if err := t.log.rules.dedicated(ctx, t.name); err != nil {
		return refusal(err, 0)
	}
	select {
	case t.work <- struct{}{}:
		defer func() { <-t.work }()
	case <-ctx.Done():
		return refusal(ctx.Err(), 0)
	}
	if err := t.log.ensure(ctx, t, t.doubted()); err != nil {
		return refusal(err, 0)
	}
	return nil
}

func (t *Topic) explain(topic string, r publisher.Result) publisher.Result {
	return fullness{
		bytes:    "the topic holds as many bytes as its backlog may (backlog_bytes of the rule %q)",
		messages: "the topic holds as many messages as its backlog may (backlog_messages of the rule %q)",
		whole:    "the message is larger than the topic's whole backlog (backlog_bytes of the rule %q)",
	}.explain(t.log, topic, r)
}
