package jetstream

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/weirmq/weir/jetstream/message"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/reason"
)

// pending is one publish from its call to its answer. It is the Done of the publisher, so that a missing stream is
// noticed before the caller is answered.
type pending struct {
	topic   *Topic
	message *message.Message
	done    publisher.Done
	token   uint64
	order   uint64 // among the publishes of the topic
}

// pendings are kept for use again: there is one for every message.
var pendings sync.Pool

func newPending() *pending {
	if p, ok := pendings.Get().(*pending); ok {
		return p
	}
	return new(pending)
}

// answer hands the result to the caller; p is not valid any more afterwards.
func (p *pending) answer(r publisher.Result) {
	done, token := p.done, p.token
	*p = pending{}
	pendings.Put(p)
	done.Published(token, r)
}

// queue holds the publishes of one topic that are under way. Its size is bounded by the windows of the callers. It is
// guarded by the topic's mu.
type queue struct {
	orders   uint64
	inflight int
	failed   []*pending // found no stream
	held     []*pending // came while the stream is being made
	// overtaken: a later publish was stored while an earlier one had found no stream.
	overtaken bool
	drained   chan struct{} // not nil while somebody waits for inflight to be 0; closed then
}

func (q *queue) empty() bool { return q.inflight == 0 && len(q.failed) == 0 && len(q.held) == 0 }

// take empties the queue of everything that waits: what must not be stored any more, and what is to be stored, in order.
func (q *queue) take() (overtaken, batch []*pending) {
	slices.SortFunc(q.failed, func(a, b *pending) int { return cmp.Compare(a.order, b.order) })
	if q.overtaken {
		overtaken, batch = q.failed, q.held
	} else {
		batch = append(q.failed, q.held...)
	}
	q.failed, q.held, q.overtaken = nil, nil, false
	return overtaken, batch
}

func (t *Topic) publish(p *pending) {
	t = t.current()
	t.touch()
	t.queue.orders++
	p.topic, p.order = t, t.queue.orders
	if t.mend != nil {
		t.queue.held = append(t.queue.held, p)
		t.mu.Unlock()
		return
	}
	t.queue.inflight++
	t.mu.Unlock()
	t.shard.publisher.Publish(t.subject, p.message, p, 0)
}

// Published takes the publisher's answer.
func (p *pending) Published(_ uint64, r publisher.Result) {
	t := p.topic
	t.mu.Lock()
	q := &t.queue
	q.inflight--
	missing := r.Outcome == publisher.NoStream
	var behind []*pending
	switch {
	case missing && t.startMend() == nil:
		missing, r = false, publisher.Result{Outcome: publisher.Unknown, Err: errStopping}
	case missing:
		q.failed = append(q.failed, p)
	case r.Outcome == publisher.Unknown:
		// What waits for the stream may come behind it, and must not be stored before it is sent again.
		behind = append(q.failed, q.held...)
		q.failed, q.held = nil, nil
		if errors.Is(r.Err, publisher.ErrUnanswered) {
			// Where the stream is missing and a native subscriber listens on its subject, nobody says that it is.
			t.suspect = true
			t.startMend()
		}
	case r.Outcome == publisher.Stored && len(q.failed) > 0 && q.failed[0].order < p.order:
		q.overtaken = true
	}
	if q.inflight == 0 && q.drained != nil {
		close(q.drained)
		q.drained = nil
	}
	t.retire()
	t.mu.Unlock()
	for _, b := range behind {
		b.answer(r)
	}
	if !missing {
		p.answer(t.explain(r))
	}
}

// explain names the rule that a refused message has run into, and its key.
func (t *Topic) explain(r publisher.Result) publisher.Result {
	if r.Outcome != publisher.Refused {
		return r
	}
	name := reason.BacklogFull
	var text string
	switch {
	case errors.Is(r.Err, publisher.ErrBytesFull):
		text = "the topic holds as many bytes as its backlog may (backlog_bytes of the rule %q)"
	case errors.Is(r.Err, publisher.ErrMessagesFull):
		text = "the topic holds as many messages as its backlog may (backlog_messages of the rule %q)"
	case errors.Is(r.Err, publisher.ErrOverStreamSize):
		name, text = reason.MessageTooLarge, "the message is larger than the topic's whole backlog (backlog_bytes of the rule %q)"
	default:
		return r
	}
	r.Err = reason.New(name, fmt.Sprintf(text, t.log.policyOf(t.name).Filter))
	return r
}

// errOvertaken answers a publish that found no stream while a later one of the topic was stored by one that another
// bridge had just made. Storing it now would change the order; when the client sends everything again, it
// does not.
var errOvertaken = reason.New(reason.PublishUnknown, "the topic's stream was made while the message was on its way")
