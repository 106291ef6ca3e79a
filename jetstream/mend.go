package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/reason"
)

const (
	// mendTimeout bounds one making of a stream, with the repetition of what waited for it.
	mendTimeout = 10 * time.Second
	// drainTimeout is when a publish on its way is taken for lost: the server has forgotten it with the stream.
	drainTimeout = time.Second
)

// mend is one making, or making again, of a line's stream; everybody who needs it waits for the same one.
type mend struct {
	done chan struct{} // closed by the goroutine that mends
	err  error         // set before done is closed
}

func (m *mend) wait(ctx context.Context) error {
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return refusal(ctx.Err(), 0)
	}
}

// startMend makes the line's stream in the background, unless that is under way. It returns nil when the store is
// closed. The caller holds mu.
func (l *line) startMend() *mend {
	if l.mend != nil {
		return l.mend
	}
	m := &mend{done: make(chan struct{})}
	if !l.log.store.spawn(func() { l.runMend(m) }) {
		return nil
	}
	l.mend = m
	return m
}

// runMend makes the stream and repeats, in order, what found none, with later publishes held behind it.
func (l *line) runMend(m *mend) {
	ctx, cancel := context.WithTimeout(l.log.store.ctx, mendTimeout)
	defer cancel()
	var err error
	for gone := false; ; {
		if !gone {
			// Nothing may be on its way that could be stored out of order.
			l.drain(ctx)
			err = l.target.ensure(ctx)
			gone = errors.Is(err, errMoved)
		}
		l.mu.Lock()
		overtaken, batch := l.queue.take()
		if err != nil && !gone || len(batch) == 0 && len(overtaken) == 0 {
			l.end(m, err)
			l.mu.Unlock()
			answerAll(overtaken, errOvertaken)
			answerAll(batch, err)
			return
		}
		batch, moved := l.split(batch)
		gone = gone && len(batch) == 0
		l.queue.inflight += len(batch)
		l.mu.Unlock()
		answerAll(overtaken, errOvertaken)
		l.resend(moved) // what comes meanwhile is held
		l.log.store.metrics.repeated.Add(float64(len(batch)))
		for _, p := range batch {
			l.shard.publisher.Publish(p.subject, p.message, p, 0)
		}
	}
}

// end ends a mend. The caller holds mu.
func (l *line) end(m *mend, err error) {
	l.mend = nil
	if l.moving && (err == nil || errors.Is(err, errMoved)) {
		l.moving, l.sorting = false, true
	}
	m.err = err
	close(m.done)
	l.target.rest()
}

// drain waits until no publish of the line is on its way, or those that are must be lost.
func (l *line) drain(ctx context.Context) {
	l.mu.Lock()
	if l.queue.inflight == 0 {
		l.mu.Unlock()
		return
	}
	if l.queue.drained == nil {
		l.queue.drained = make(chan struct{})
	}
	drained := l.queue.drained
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	select {
	case <-drained:
	case <-ctx.Done():
	}
}

// answerAll refuses publishes for one reason. Only a definite refusal is one: where JetStream cannot be reached the
// client is to send again.
func answerAll(batch []*pending, err error) {
	if len(batch) == 0 {
		return
	}
	outcome := publisher.Refused
	var e *reason.Error
	if errors.As(err, &e) && (e.Reason == reason.NATSUnavailable || e.Reason == reason.PublishUnknown) {
		outcome = publisher.Unknown
	}
	for _, p := range batch {
		p.answer(publisher.Result{Outcome: outcome, Err: err})
	}
}
