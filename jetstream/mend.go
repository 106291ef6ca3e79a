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

// startMend makes the topic's stream in the background, unless that is under way. It returns nil when the store is
// closed. The caller holds mu.
func (t *Topic) startMend() *mend {
	if t.mend != nil {
		return t.mend
	}
	m := &mend{done: make(chan struct{})}
	if !t.log.store.spawn(func() { t.runMend(m) }) {
		return nil
	}
	t.mend = m
	return m
}

// runMend makes the stream and repeats, in order, what found none, with later publishes held behind it.
func (t *Topic) runMend(m *mend) {
	ctx, cancel := context.WithTimeout(t.log.store.ctx, mendTimeout)
	defer cancel()
	for {
		err := t.attempt(ctx)
		t.mu.Lock()
		overtaken, batch := t.queue.take()
		if err != nil || len(batch) == 0 && len(overtaken) == 0 {
			t.mend = nil
			m.err = err
			close(m.done)
			t.retire()
			t.mu.Unlock()
			answerAll(overtaken, errOvertaken)
			answerAll(batch, err)
			return
		}
		t.queue.inflight += len(batch)
		t.mu.Unlock()
		answerAll(overtaken, errOvertaken)
		t.log.store.metrics.repeated.Add(float64(len(batch)))
		for _, p := range batch {
			t.shard.publisher.Publish(t.subject, p.message, p, 0)
		}
	}
}

// attempt waits for the answers that are on their way, so that nothing can be stored out of order, and makes the
// stream.
func (t *Topic) attempt(ctx context.Context) error {
	t.drain(ctx)
	select {
	case t.work <- struct{}{}:
		defer func() { <-t.work }()
	case <-ctx.Done():
		return refusal(ctx.Err(), 0)
	}
	t.mu.Lock()
	missing := len(t.queue.failed) > 0 || t.suspect
	t.suspect = false
	t.mu.Unlock()
	if err := t.log.ensure(ctx, t, missing); err != nil {
		return refusal(err, 0)
	}
	return nil
}

// drain waits until no publish of the topic is on its way, or those that are must be lost.
func (t *Topic) drain(ctx context.Context) {
	t.mu.Lock()
	if t.queue.inflight == 0 {
		t.mu.Unlock()
		return
	}
	if t.queue.drained == nil {
		t.queue.drained = make(chan struct{})
	}
	drained := t.queue.drained
	t.mu.Unlock()
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
