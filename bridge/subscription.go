package bridge

import (
	"slices"
	"sync/atomic"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/reader"
)

// source is where a cursor's messages come from. The one there is is fanout.Subscription.
type source interface {
	// Bind sets who is woken when there may be a message. It reports false where the source is closed.
	Bind(w fanout.Waker) bool
	// Next returns the next message and moves on; held tells that it waits for Ack. ok is false where there is none now.
	Next() (d reader.Delivery, held, ok bool)
	// Ack tells that the message of that sequence is done with. After Close it does nothing.
	Ack(sequence uint64)
	// Hold lets messages wait for Ack from now on.
	Hold()
	// Close gives back what was not acknowledged.
	Close()
}

// cursor is a session's place in one topic. It is what the fan-out wakes. A session may have one for each topic of its tenant.
type cursor struct {
	// immutable
	source source
	wake   func(*cursor)

	woken atomic.Bool // set by Wake, cleared before the source is asked

	// guarded by the connection's mu
	queued bool // in subscriptions.ready or .parked
	closed bool
	// filters are the live ones that match the topic; without any, nothing flows yet. A message goes out once, for all of them
	// [MQTT-3.3.4-2].
	filters []*filter
}

// Wake is called by the fan-out when there may be something new.
func (c *cursor) Wake() {
	if !c.woken.Swap(true) {
		c.wake(c)
	}
}

// granted is the highest QoS of the filters.
func (c *cursor) granted() (q codec.QoS) {
	for _, f := range c.filters {
		q = max(q, f.granted)
	}
	return q
}

// add puts a filter with the others.
func (c *cursor) add(f *filter) {
	switch {
	case slices.Contains(c.filters, f):
	case len(c.filters) == 0:
		c.filters = f.alone[:]
	default:
		c.filters = append(slices.Clip(c.filters), f)
	}
}

// remove takes a filter away, if it is there.
func (c *cursor) remove(f *filter) {
	if !slices.Contains(c.filters, f) {
		return
	}
	var rest []*filter
	for _, other := range c.filters {
		if other != f {
			rest = append(rest, other)
		}
	}
	c.filters = rest
}

// subscriptions are the filters and cursors of one session, guarded by the connection's mu. There are no more cursors than the tenant
// may have dedicated topics.
type subscriptions struct {
	filters map[string]*filter
	cursors map[string]*cursor // by topic; those of error topics by the filter
	// changing: a SUBSCRIBE is under way, and a cursor without a filter may get one from it.
	changing bool
	over     bool           // the session has ended
	ready    queue[*cursor] // may have a message
	parked   queue[*cursor] // may have one, but the window is full
}

func newSubscriptions() subscriptions {
	return subscriptions{filters: map[string]*filter{}, cursors: map[string]*cursor{}}
}

// open takes the source of a topic. One that came before is left alone.
func (ss *subscriptions) open(topic string, src source, wake func(*cursor)) {
	if ss.over {
		src.Close()
		return
	}
	if ss.cursors[topic] != nil {
		return // the same: the fan-out has one for each session and topic
	}
	c := &cursor{source: src, wake: wake}
	if !src.Bind(c) {
		return
	}
	for _, f := range ss.filters {
		if f.live && f.matches(topic) {
			c.add(f)
		}
	}
	if len(c.filters) == 0 && !ss.changing {
		src.Close() // opened for a filter that has just been taken back
		return
	}
	ss.cursors[topic] = c
	ss.enqueue(c)
}

// grant lets messages flow for a filter, whose sources are open.
func (ss *subscriptions) grant(f *filter) {
	f.live = true
	ss.each(f, func(_ string, c *cursor) {
		c.add(f)
		ss.enqueue(c)
	})
}

// drop takes a filter back. What comes for it alone is closed; what was sent stays in the window until it is acknowledged
// [MQTT-3.10.4-3].
func (ss *subscriptions) drop(f *filter) {
	delete(ss.filters, f.name)
	ss.each(f, func(topic string, c *cursor) {
		if c.remove(f); len(c.filters) == 0 {
			ss.close(topic, c)
		}
	})
}

// each calls do for the cursors of the topics that a filter matches.
func (ss *subscriptions) each(f *filter, do func(topic string, c *cursor)) {
	if !f.wild {
		if c := ss.cursors[f.name]; c != nil {
			do(f.name, c)
		}
		return
	}
	for topic, c := range ss.cursors {
		if f.matches(topic) {
			do(topic, c)
		}
	}
}

// hold lets messages that come for a filter wait for the client's acknowledgement. Those of topics that are created later
// do so by themselves.
func (ss *subscriptions) hold(f *filter) {
	ss.each(f, func(_ string, c *cursor) { c.source.Hold() })
}

// prune closes the cursors that no filter matches.
func (ss *subscriptions) prune() {
	for topic, c := range ss.cursors {
		if len(c.filters) == 0 {
			ss.close(topic, c)
		}
	}
}

func (ss *subscriptions) close(topic string, c *cursor) {
	c.closed = true
	c.source.Close()
	delete(ss.cursors, topic)
}

// end closes everything.
func (ss *subscriptions) end() {
	ss.over = true
	for topic, c := range ss.cursors {
		ss.close(topic, c)
	}
	clear(ss.filters)
}

// enqueue notes that a cursor may have a message.
func (ss *subscriptions) enqueue(c *cursor) {
	if len(c.filters) > 0 && !c.queued && !c.closed {
		c.queued = true
		ss.ready.push(c)
	}
}

// park is enqueue until the window has room.
func (ss *subscriptions) park(c *cursor) {
	c.queued = true
	ss.parked.push(c)
}

// next takes a cursor whose turn it is, those that waited for the window first; nil where there is none.
func (ss *subscriptions) next(windowFull bool) *cursor {
	for {
		var c *cursor
		switch {
		case !windowFull && ss.parked.len() > 0:
			c = ss.parked.pop()
		case ss.ready.len() > 0:
			c = ss.ready.pop()
		default:
			return nil
		}
		c.queued = false
		if c.closed {
			continue
		}
		c.woken.Store(false)
		return c
	}
}
