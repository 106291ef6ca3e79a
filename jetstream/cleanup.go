package jetstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/naming"
)

// removingGrace is how long a topic is removing before it is looked at once more. By then, as a rule, every bridge has heard of
// it, and whoever was about to subscribe has done so: it is cheaper to find them than to let them begin again. Nothing
// is lost where it takes them longer.
const removingGrace = 10 * time.Millisecond

// idleness is what a bridge has seen of an unused topic's stream. It is guarded by the topic's mu.
type idleness struct {
	sequence uint64    // last of the stream
	since    time.Time // when it was first seen so, without consumers and messages; zero: it was not
}

// clean removes unused topics until the store is closed. One that a watcher is attached to has a consumer, and so is in use. Every bridge does, at its own times, so that they do not
// meet at each topic.
func (l *Log) clean() {
	idle := l.store.config.TopicIdle
	for {
		pause := idle/4 + rand.N(idle/4+1)
		select {
		case <-time.After(pause):
		case <-l.store.ctx.Done():
			return
		}
		if err := l.deleteAllParked(l.store.ctx, parkedAge); err != nil && l.store.ctx.Err() == nil {
			l.log.Info("streams that were never opened not cleaned up", zap.Error(err))
		}
		if err := l.deleteEmptyLists(l.store.ctx, parkedAge); err != nil && l.store.ctx.Err() == nil {
			l.log.Info("lists of topics that no rule has not cleaned up", zap.Error(err))
		}
		for _, t := range l.register.all() {
			if l.store.ctx.Err() != nil {
				return
			}
			if !t.exists.Load() || t.unused() < idle {
				continue
			}
			ctx, cancel := context.WithTimeout(l.store.ctx, mendTimeout)
			_, err := l.removeIdle(ctx, t, idle)
			cancel()
			if err != nil {
				l.log.Info("topic not cleaned up", zap.String("topic", t.name), zap.Error(err))
			}
		}
	}
}

// RemoveIfUnused removes a topic that has no consumers and no messages now, however long ago it was used. It reports
// whether it did.
func (l *Log) RemoveIfUnused(ctx context.Context, topic string) (bool, error) {
	for {
		if err := l.register.settle(ctx); err != nil {
			return false, err
		}
		t := l.register.find(topic)
		if t == nil {
			return false, nil
		}
		if removed, err := l.removeIdle(ctx, t, 0); !conflict(err) {
			return removed, err
		}
	}
}

// removeIdle removes a topic that nobody has used for so long. Others may use it at any moment: an Attach creates its
// consumer before it looks at the register, so either it is seen here, after removing was written, or it sees removing there
// and does not count before it was taken back.
func (l *Log) removeIdle(ctx context.Context, t *Topic, idle time.Duration) (bool, error) {
	select {
	case t.work <- struct{}{}:
		defer func() { <-t.work }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	e, _, _ := t.look()
	if !e.Live || e.Value.State != live {
		return false, nil
	}
	if _, ok, err := l.isIdle(ctx, t, e, idle); err != nil || !ok {
		return false, err
	}
	mine, err := l.register.write(ctx, e.Value.with(removing), e)
	if err != nil {
		return false, err
	}
	select {
	case <-time.After(removingGrace):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	last, ok, err := l.isIdle(ctx, t, e, idle)
	if err == nil && ok {
		// Between that look and the end a message may come that nobody waits for and that is kept all the same.
		ok, err = l.seal(ctx, naming.Stream(l.tenant, t.name, e.Value.Generation), last)
	}
	if err != nil {
		return false, err // whoever needs the topic takes it back
	}
	if !ok {
		l.store.metrics.cleanups.WithLabelValues("in_use").Inc()
		if err := l.reopen(ctx, e.Value); err != nil {
			return false, err
		}
		_, err := l.register.write(ctx, e.Value.with(live), mine)
		return false, err
	}
	if mine, err = l.register.write(ctx, e.Value.with(deleting), mine); err != nil {
		if conflict(err) {
			err = errors.Join(err, l.reopen(ctx, e.Value)) // it was taken back
		}
		return false, err
	}
	if err := l.finishRemoval(ctx, mine); err != nil {
		return false, err
	}
	l.store.metrics.cleanups.WithLabelValues("removed").Inc()
	l.log.Debug("topic removed", zap.String("topic", t.name), zap.Uint64("generation", e.Value.Generation))
	return true, nil
}

// isIdle looks whether the topic's stream has been unused for so long, and which was the last message that it ever held.
func (l *Log) isIdle(ctx context.Context, t *Topic, e topicEntry, idle time.Duration) (last uint64, ok bool, err error) {
	name := naming.Stream(l.tenant, t.name, e.Value.Generation)
	stream, err := l.link.js.Stream(ctx, name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	state := stream.CachedInfo().State
	used := state.Consumers > 0 || state.Msgs > 0
	if !used {
		// The leader of a stream can be behind the leader of the cluster, who knows every consumer that anybody was
		// told of.
		names, err := consumerNames(ctx, stream)
		if errors.Is(err, natsjs.ErrStreamNotFound) {
			return 0, true, nil // somebody else has just removed it
		}
		if err != nil {
			return 0, false, err
		}
		used = len(names) > 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if used || t.queue.inflight > 0 {
		t.idle = idleness{}
		return 0, false, nil
	}
	now := time.Now()
	if t.idle.since.IsZero() || t.idle.sequence != state.LastSeq {
		t.idle = idleness{sequence: state.LastSeq, since: now}
	}
	return state.LastSeq, now.Sub(t.idle.since) >= idle && t.unused() >= idle, nil
}

// finishRemoval deletes what is left of a topic that is deleting. Any number of bridges may do that at once: each step
// names what it removes by a generation or a sequence that does not come again.
func (l *Log) finishRemoval(ctx context.Context, e topicEntry) error {
	name := naming.Stream(l.tenant, e.Value.Topic, e.Value.Generation)
	err := l.park(ctx, name)
	if err == nil {
		err = l.link.js.DeleteStream(ctx, name)
	}
	if err != nil && !errors.Is(err, natsjs.ErrStreamNotFound) {
		return err
	}
	return l.release(ctx, e, e.Value)
}

// release gives back the topic's place in the quota and sets it gone. e is the entry that must still be in place.
func (l *Log) release(ctx context.Context, e topicEntry, rec topicRecord) error {
	if rec.Presence != 0 {
		stream, err := l.link.js.Stream(ctx, l.names.presence)
		if err != nil {
			return err
		}
		err = stream.Purge(ctx, natsjs.WithPurgeSubject(l.names.presenceSubject(rec.Topic)),
			natsjs.WithPurgeSequence(rec.Presence+1))
		if err != nil {
			return err
		}
	}
	_, err := l.register.write(ctx, rec.with(gone), e)
	return err
}
