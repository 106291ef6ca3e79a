package jetstream

import (
	"context"
	"errors"
	"sync"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// Route is what the messages of a topic are published through.
type Route interface {
	// Publish stores m and answers to done, in the background. Messages of one goroutine to one topic are stored in
	// the order of the calls. Where the stream was removed in the meantime it is made again and the publish repeated, still
	// in order. m and its bytes must stay as they are until the answer. After an Unknown outcome the
	// caller publishes nothing more for that connection; to be sure of it, it calls Publish with the lock that its Published
	// takes, which Publish never waits for.
	Publish(m *message.Message, done publisher.Done, token uint64)
	// Wait returns once the route's connection has room for one more publish: fewer than 8,192 messages and 64 MiB under way.
	// Whoever publishes calls it before, without a lock that the answers take. Every publish has its answer after 10 s at the
	// latest, so it is over by then.
	Wait(ctx context.Context) error
}

// line holds the publishes that are on their way to one stream over one shard, from the call to the answer: those of a dedicated
// topic, or of the topics of a shared rule that the shard carries. Where the stream is missing it is made, and they are repeated, so that
// the order of each topic holds.
type line struct {
	// immutable
	log    *Log
	shard  *shard
	target target

	mu      sync.Mutex
	queue   queue
	mend    *mend // while the stream is being made, or topics of it are being moved
	suspect bool  // somebody found no stream where there should be one
	moving  bool  // what comes is held until the rules are settled
	sorting bool  // topics have moved away: what comes for them goes where they are
}

// target is the stream of a line.
type target interface {
	// place is where the line's topics are.
	place() tenant.Place
	// ensure returns once the stream exists, as far as anybody can tell, and asks the line's doubted whether that is to be looked at. It
	// waits for the end of a move that may take topics away, and returns errMoved where the place has none any more. Its errors are
	// *reason.Error.
	ensure(ctx context.Context) error
	// explain says what a refusal means for a topic.
	explain(topic string, r publisher.Result) publisher.Result
	// rest is told that something has been answered, with the line's mu held.
	rest()
}

// Wait returns once the line's connection has room for one more publish.
func (l *line) Wait(ctx context.Context) error { return l.shard.publisher.Wait(ctx) }

// publish sends a message, or holds it while the stream is being made. The caller holds mu, which is given back.
func (l *line) publish(subject string, m *message.Message, done publisher.Done, token uint64) {
	if l.sorting && l.mend == nil && !l.moving {
		// Whoever calls has not heard yet. What was held has gone the same way before.
		if place := l.log.rules.now.Load().Value.placing().Place(m.Topic); place != l.target.place() {
			l.mu.Unlock() // another line's is taken: topics may have moved the other way, too
			l.log.routeAt(place, m.Topic).Publish(m, done, token)
			return
		}
	}
	p := newPending()
	l.queue.orders++
	p.line, p.subject, p.message, p.done, p.token, p.order = l, subject, m, done, token, l.queue.orders
	if l.mend != nil || l.moving && l.startMend() != nil {
		l.queue.held = append(l.queue.held, p)
		l.mu.Unlock()
		return
	}
	l.queue.inflight++
	l.mu.Unlock()
	l.shard.publisher.Publish(subject, m, p, 0)
}

// Published takes the publisher's answer.
func (p *pending) Published(_ uint64, r publisher.Result) {
	l := p.line
	l.mu.Lock()
	q := &l.queue
	q.inflight--
	missing := r.Outcome == publisher.NoStream
	var behind []*pending
	switch {
	case missing && l.startMend() == nil:
		missing, r = false, publisher.Result{Outcome: publisher.Unknown, Err: errStopping}
	case missing:
		q.fail(p)
	case r.Outcome == publisher.Unknown:
		// What waits for the stream may come behind it, and must not be stored before it is sent again.
		behind = q.takeTopic(p.message.Topic)
		if errors.Is(r.Err, publisher.ErrUnanswered) {
			// Where the stream is missing and a native subscriber listens on its subject, nobody says that it is.
			l.suspect = true
			l.startMend()
		}
	case r.Outcome == publisher.Stored && len(q.failed) > 0:
		q.overtake(p)
	}
	if q.inflight == 0 && q.drained != nil {
		close(q.drained)
		q.drained = nil
	}
	l.target.rest()
	l.mu.Unlock()
	for _, b := range behind {
		b.answer(r)
	}
	if missing {
		return
	}
	if r.Outcome == publisher.Refused {
		r = l.target.explain(p.message.Topic, r)
	}
	p.answer(r)
}

// doubted reports whether somebody has found no stream, for whoever is about to look.
func (l *line) doubted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	doubted := len(l.queue.failed) > 0 || l.suspect
	l.suspect = false
	return doubted
}

// makeSure returns once the stream exists. The caller holds mu, which is given back.
func (l *line) makeSure(ctx context.Context, missing bool) error {
	l.suspect = l.suspect || missing
	m := l.startMend()
	l.mu.Unlock()
	if m == nil {
		return errStopping
	}
	return m.wait(ctx)
}
