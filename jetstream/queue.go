package jetstream

import (
	"cmp"
	"slices"
	"sync"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// pending is one publish from its call to its answer. It is the Done of the publisher, so that a missing stream is
// noticed before the caller is answered.
type pending struct {
	line    *line
	subject string
	message *message.Message
	done    publisher.Done
	token   uint64
	order   uint64 // among the publishes of the line
}

// pendings are kept for use again: there is one for every message.
var pendings sync.Pool

func newPending() *pending {
	if p, ok := pendings.Get().(*pending); ok {
		return p
	}
	return new(pending)
}

// release gives p back, which is not valid any more afterwards, and returns what was published.
func (p *pending) release() (m *message.Message, done publisher.Done, token uint64) {
	m, done, token = p.message, p.done, p.token
	*p = pending{}
	pendings.Put(p)
	return m, done, token
}

// answer hands the result to the caller; p is not valid any more afterwards.
func (p *pending) answer(r publisher.Result) {
	_, done, token := p.release()
	done.Published(token, r)
}

// queue holds the publishes of one line that are under way. Its size is bounded by the windows of the callers. It is
// guarded by the line's mu.
type queue struct {
	orders   uint64
	inflight int
	failed   []*pending // found no stream
	held     []*pending // came while the stream is being made
	// first is, of the topics that have failed ones, the order of the first; 0 where a later one was stored all the same.
	first   map[string]uint64
	drained chan struct{} // not nil while somebody waits for inflight to be 0; closed then
}

func (q *queue) empty() bool { return q.inflight == 0 && len(q.failed) == 0 && len(q.held) == 0 }

// fail takes a publish that found no stream.
func (q *queue) fail(p *pending) {
	q.failed = append(q.failed, p)
	if q.first == nil {
		q.first = make(map[string]uint64)
	}
	if first, ok := q.first[p.message.Topic]; !ok || p.order < first {
		q.first[p.message.Topic] = p.order
	}
}

// overtake notes that a publish was stored, before which others of its topic may have found no stream.
func (q *queue) overtake(p *pending) {
	if first, ok := q.first[p.message.Topic]; ok && first < p.order {
		q.first[p.message.Topic] = 0
	}
}

// take empties the queue of everything that waits: what must not be stored any more, and what is to be stored, in order.
func (q *queue) take() (overtaken, batch []*pending) {
	slices.SortFunc(q.failed, func(a, b *pending) int { return cmp.Compare(a.order, b.order) })
	for _, p := range q.failed {
		if q.first[p.message.Topic] == 0 {
			overtaken = append(overtaken, p)
		} else {
			batch = append(batch, p)
		}
	}
	batch = append(batch, q.held...)
	q.failed, q.held, q.first = nil, nil, nil
	return overtaken, batch
}

// takeTopic takes out what waits of one topic.
func (q *queue) takeTopic(topic string) (taken []*pending) {
	if len(q.failed) == 0 && len(q.held) == 0 {
		return nil
	}
	of := func(p *pending) bool {
		if p.message.Topic != topic {
			return false
		}
		taken = append(taken, p)
		return true
	}
	q.failed = slices.DeleteFunc(q.failed, of)
	q.held = slices.DeleteFunc(q.held, of)
	delete(q.first, topic)
	return taken
}

// errOvertaken answers a publish that found no stream while a later one of the topic was stored by one that another
// bridge had just made. Storing it now would change the order; when the client sends everything again, it
// does not.
var errOvertaken = reason.New(reason.PublishUnknown, "the topic's stream was made while the message was on its way")
