package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// transient is what the messages of transient topics are published through, of one tenant and over one shard. Nothing is stored, so
// there is nothing to make or to know of a single topic.
type transient struct {
	// immutable
	log   *Log
	shard *shard

	mu      sync.Mutex
	moving  bool       // what comes is held until the rules are settled
	sorting bool       // topics have moved away: what comes for them goes where they are
	held    []*pending // bounded by the windows of the callers
	since   time.Time  // when it was last said that they are about to move
	watched bool       // a goroutine answers what is held for too long
}

var _ Route = (*transient)(nil)

func newTransients(l *Log) []*transient {
	all := make([]*transient, 0, len(l.link.shards))
	for _, s := range l.link.shards {
		all = append(all, &transient{log: l, shard: s})
	}
	return all
}

// Publish hands m to whoever listens to its topic, and answers Stored to done when NATS has it; for the rest as Route says.
func (t *transient) Publish(m *message.Message, done publisher.Done, token uint64) {
	t.mu.Lock()
	if t.moving {
		p := newPending()
		p.message, p.done, p.token = m, done, token
		t.held = append(t.held, p)
		t.mu.Unlock()
		return
	}
	if t.sorting {
		if r := t.elsewhere(m.Topic); r != nil {
			t.mu.Unlock() // a line's is taken
			r.Publish(m, done, token)
			return
		}
	}
	defer t.mu.Unlock() // whoever holds publishes waits for those that have begun
	t.shard.publisher.PublishCore(t.log.tenant, m, done, token)
}

// elsewhere is what a topic's messages are published through that is not transient any more, nil where it is.
func (t *transient) elsewhere(topic string) Route {
	place := t.log.rules.now.Load().Value.placing().Place(topic)
	if place.Stream == tenant.StreamTransient {
		return nil
	}
	return t.log.routeAt(place, topic)
}

// hold lets everything wait that is published from now on, as its topic may be about to move, and returns when NATS has what was published
// before.
func (t *transient) hold(ctx context.Context) {
	t.mu.Lock()
	t.moving, t.since = true, time.Now()
	begin := !t.watched
	t.watched = true
	t.mu.Unlock()
	if begin {
		t.log.store.spawn(t.giveUp)
	}
	if epoch, up := t.shard.conn.State(); up {
		_ = t.shard.conn.Flush(ctx, epoch) // where it fails, what was published has an unknown outcome
	}
}

// giveUp answers what is held for too long, until nothing is held any more.
func (t *transient) giveUp() {
	for left := mendTimeout; ; {
		select {
		case <-time.After(left):
		case <-t.log.store.ctx.Done():
		}
		t.mu.Lock()
		ended := t.log.store.ctx.Err() != nil
		left = mendTimeout - time.Since(t.since)
		var held []*pending
		if ended || t.moving && left <= 0 {
			held, t.held, left = t.held, nil, mendTimeout
		}
		over := ended || !t.moving
		if over {
			t.watched = false
		}
		t.mu.Unlock()
		answerAll(held, reason.New(reason.PublishUnknown, "the topic rules are being changed"))
		if over {
			return
		}
	}
}

// release sends what was held where its topics are now.
func (t *transient) release() {
	for held := t.takeHeld(); held != nil; held = t.takeHeld() {
		for _, p := range held {
			m, done, token := p.release()
			if r := t.elsewhere(m.Topic); r != nil {
				r.Publish(m, done, token)
			} else {
				t.shard.publisher.PublishCore(t.log.tenant, m, done, token)
			}
		}
	}
}

// takeHeld returns what is held, while what comes is held behind it; nil, once there is nothing, and what comes then is sent.
func (t *transient) takeHeld() (held []*pending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if held, t.held = t.held, nil; held == nil && t.moving {
		t.moving, t.sorting = false, true
	}
	return held
}

// Wait returns once the shard has room for one more publish.
func (t *transient) Wait(ctx context.Context) error { return t.shard.publisher.Wait(ctx) }

// transientRoute is what a transient topic's messages are published through: always over the same connection, so that their order holds.
func (l *Log) transientRoute(topic string) *transient {
	return l.transients[l.link.shardIndex(l.tenant, topic)]
}
