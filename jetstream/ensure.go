package jetstream

import (
	"context"
	"errors"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/reason"
)

// errChanged: the register has changed since it was looked at.
var errChanged = errors.New("the register has changed")

// ensure returns once the topic is live in the register and its stream exists. A topic that has moved has neither: errMoved. One that has come
// back gets a stream of a new generation. missing says that somebody found no stream;
// otherwise the register's word is enough. The caller holds the topic's work.
func (l *Log) ensure(ctx context.Context, t *Topic, missing bool) error {
	for {
		if err := l.rules.dedicated(ctx, t.name); err != nil {
			return err
		}
		e, seen, changed := t.look()
		var err error
		switch {
		case e.Live && e.Value.open() && !missing:
			return nil
		case e.Live && e.Value.open():
			if missing, err = l.missing(ctx, t, e); err == nil && missing {
				err = l.create(ctx, t, e)
			}
			missing = false
		case e.Live && e.Value.State == live: // it has come back
			err = l.create(ctx, t, e)
		case e.Live && !l.abandoned(e, seen):
			if err = l.await(ctx, e, seen, changed); err == nil {
				err = refusedBy(t, e)
			}
		case e.Live && e.Value.State == removing:
			// Nobody deletes in this state, so it can be taken back.
			if err = l.reopen(ctx, e.Value); err == nil {
				_, err = l.register.write(ctx, e.Value.with(live), e)
			}
		case e.Live && e.Value.State == deleting:
			err = l.finishRemoval(ctx, e)
		default:
			err = l.create(ctx, t, e)
		}
		switch {
		case conflict(err), errors.Is(err, errChanged):
			// Somebody else was faster. What he wrote is there when the own position is.
			if err := l.register.settle(ctx); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
}

// refusedBy returns why the creation that was waited for failed: its refusal is an answer to all who waited.
func refusedBy(t *Topic, was topicEntry) error {
	now, _, _ := t.look()
	v := now.Value
	if v.State != gone || v.Code == "" || v.Generation != generation(was) {
		return nil
	}
	return reason.New(v.Code, v.Message)
}

// abandoned reports whether nobody works any more on a topic that is neither live nor gone. This bridge itself does not,
// as the caller holds the topic's work.
func (l *Log) abandoned(e topicEntry, seen time.Time) bool {
	return e.Value.Bridge == l.store.config.Bridge || time.Since(seen) >= staleAfter || !l.store.lease.alive(e.Value.Bridge)
}

// await waits until the entry changes, or until it is to be taken for abandoned.
func (l *Log) await(ctx context.Context, e topicEntry, seen time.Time, changed <-chan struct{}) error {
	timer := time.NewTimer(time.Until(seen.Add(staleAfter)))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-l.store.lease.ended(e.Value.Bridge):
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// missing asks JetStream whether the stream of a live topic is really not there. One that somebody parked, and did not open again when
// the topic was taken back, is opened.
func (l *Log) missing(ctx context.Context, t *Topic, e topicEntry) (bool, error) {
	if err := l.register.settle(ctx); err != nil {
		return false, err
	}
	if now, _, _ := t.look(); now.Sequence != e.Sequence {
		return false, errChanged
	}
	stream, err := l.link.js.Stream(ctx, naming.Stream(l.tenant, t.name, generation(e)))
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, l.reopenStream(ctx, t.name, generation(e), stream)
}
