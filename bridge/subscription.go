package bridge

import (
	"slices"
	"sync/atomic"

	"github.com/weirmq/weir/bridge/fifo"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
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
	// Includes tells whether it is there for a filter, at a place of many topics.
	Includes(filter string) bool
	// Former tells that it has only what is left in the former stream of a dedicated topic.
	Former() bool
	// Close gives back what was not acknowledged.
	Close()
}

// cursor is how far a session has come at one place: a dedicated topic, all topics of a shared or transient rule, or an error topic. It
// is what the fan-out wakes. A session may have one for each place of its tenant.
type cursor struct {
	// immutable
	source source
	wake   func(*cursor)
	place  tenant.Place

	woken atomic.Bool // set by Wake, cleared before the source is asked

	// guarded by the connection's mu
	queued bool // in subscriptions.ready or .parked
	closed bool
	// filters are the live ones that match topics here; without any, nothing flows yet. A message goes out once, for all that match its
	// topic [MQTT-3.3.4-2].
	filters []*filter
	// matched are those that match topic, at a place of many: as a rule the next message has the same.
	matched []*filter
	topic   string
}

// errorPlace is where the cursor of an error topic is.
func errorPlace(name string) tenant.Place { return tenant.Place{Name: name} }

// many tells whether there are several topics at the place.
func (c *cursor) many() bool {
	return c.place.Stream == tenant.StreamShared || c.place.Stream == tenant.StreamTransient
}

// takes tells whether the source is there for a filter.
func (c *cursor) takes(f *filter) bool {
	if c.many() {
		return c.source.Includes(f.name)
	}
	return f.matches(c.place.Name)
}

// matching are the filters that match a topic. Where there is one and sure says that the source is there for no other, it does.
func (c *cursor) matching(topic string, sure bool) []*filter {
	if !c.many() || sure && len(c.filters) == 1 {
		return c.filters
	}
	if topic != c.topic {
		c.topic, c.matched = topic, c.matched[:0]
		for _, f := range c.filters {
			if f.matches(topic) {
				c.matched = append(c.matched, f)
			}
		}
	}
	return c.matched
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
	c.topic = ""
	switch {
	case slices.Contains(c.filters, f):
	case len(c.filters) == 0:
		c.filters = f.alone[:]
	default:
		c.filters = append(slices.Clip(c.filters), f)
	}
}

// remove takes a filter away, if it is there, and reports that.
func (c *cursor) remove(f *filter) bool {
	if !slices.Contains(c.filters, f) {
		return false
	}
	c.topic = ""
	var rest []*filter
	for _, other := range c.filters {
		if other != f {
			rest = append(rest, other)
		}
	}
	c.filters = rest
	return true
}

// subscriptions are the filters and cursors of one session, guarded by the connection's mu. There are no more cursors than the tenant
// may have dedicated topics and rules.
type subscriptions struct {
	filters map[string]*filter
	cursors map[tenant.Place]*cursor
	many    []*cursor // of them, those at places of many topics
	former  []*cursor // of topics that have moved: what is left in the former streams
	// changing: a SUBSCRIBE is under way, and a cursor without a filter may get one from it.
	changing bool
	over     bool                // the session has ended
	ready    fifo.Queue[*cursor] // may have a message
	parked   fifo.Queue[*cursor] // may have one, but the window is full
}

func newSubscriptions() subscriptions {
	return subscriptions{filters: map[string]*filter{}, cursors: map[tenant.Place]*cursor{}}
}

// open takes the source of a place, instead of one that has been closed.
func (ss *subscriptions) open(place tenant.Place, src source, wake func(*cursor)) {
	if ss.over {
		src.Close()
		return
	}
	before, former := ss.cursors[place], src.Former()
	if former {
		before = ss.formerOf(place, src)
	}
	if before != nil && before.source == src {
		ss.fill(before)
		return
	}
	c := &cursor{source: src, wake: wake, place: place}
	if !src.Bind(c) {
		return
	}
	if before != nil {
		ss.close(before)
	}
	ss.fill(c)
	if len(c.filters) == 0 && !ss.changing {
		src.Close() // opened for a filter that has just been taken back
		return
	}
	if former {
		ss.former = append(ss.former, c)
	} else {
		ss.cursors[place] = c
	}
	if c.many() {
		ss.many = append(ss.many, c)
	}
	ss.enqueue(c)
}

// formerOf returns the cursor of a source that is former, nil where there is none.
func (ss *subscriptions) formerOf(place tenant.Place, src source) *cursor {
	ss.moved(place, src) // it may be about to be told so
	for _, c := range ss.former {
		if c.source == src {
			return c
		}
	}
	return nil
}

// fill gives a cursor the filters for which its source is there.
func (ss *subscriptions) fill(c *cursor) {
	for _, f := range ss.filters {
		if f.live && c.takes(f) {
			c.add(f)
		}
	}
}

// moved puts a cursor aside, so that its place can have another one.
func (ss *subscriptions) moved(place tenant.Place, src source) {
	if c := ss.cursors[place]; c != nil && c.source == src {
		delete(ss.cursors, place)
		ss.former = append(ss.former, c)
	}
}

// ended closes a cursor whose source has ended by itself.
func (ss *subscriptions) ended(src source) {
	for _, c := range ss.all() {
		if c.source == src {
			ss.close(c)
			return
		}
	}
}

// all lists the cursors.
func (ss *subscriptions) all() []*cursor {
	all := slices.Clone(ss.former)
	for _, c := range ss.cursors {
		all = append(all, c)
	}
	return all
}

// grant lets messages flow for a filter, whose sources are open.
func (ss *subscriptions) grant(f *filter) {
	f.live = true
	ss.each(f, func(c *cursor) {
		if c.takes(f) {
			c.add(f)
			ss.enqueue(c)
		}
	})
}

// drop takes a filter back. What comes for it alone is closed; what was sent stays in the window until it is acknowledged
// [MQTT-3.10.4-3].
func (ss *subscriptions) drop(f *filter) {
	delete(ss.filters, f.name)
	f.release()
	ss.each(f, func(c *cursor) {
		if c.remove(f) && len(c.filters) == 0 {
			ss.close(c)
		}
	})
}

// each calls do for the cursors that a filter may be for.
func (ss *subscriptions) each(f *filter, do func(c *cursor)) {
	if f.wild {
		for _, c := range ss.all() {
			do(c)
		}
		return
	}
	for _, place := range []tenant.Place{tenant.Dedicated(f.name), errorPlace(f.name)} {
		if c := ss.cursors[place]; c != nil {
			do(c)
		}
	}
	for _, c := range slices.Clone(ss.many) {
		do(c)
	}
	for _, c := range slices.Clone(ss.former) {
		if c.takes(f) {
			do(c)
		}
	}
}

// prune closes the cursors that no filter matches.
func (ss *subscriptions) prune() {
	for _, c := range ss.all() {
		if len(c.filters) == 0 {
			ss.close(c)
		}
	}
}

func (ss *subscriptions) close(c *cursor) {
	c.closed = true
	c.source.Close()
	if ss.cursors[c.place] == c {
		delete(ss.cursors, c.place)
	}
	if i := slices.Index(ss.former, c); i >= 0 {
		ss.former = slices.Delete(ss.former, i, i+1)
	}
	if i := slices.Index(ss.many, c); i >= 0 {
		ss.many = slices.Delete(ss.many, i, i+1)
	}
}

// end closes everything.
func (ss *subscriptions) end() {
	ss.over = true
	for _, c := range ss.all() {
		ss.close(c)
	}
	for _, f := range ss.filters {
		f.release()
	}
	clear(ss.filters)
}

// enqueue notes that a cursor may have a message.
func (ss *subscriptions) enqueue(c *cursor) {
	if len(c.filters) > 0 && !c.queued && !c.closed {
		c.queued = true
		ss.ready.Push(c)
	}
}

// park is enqueue until the window has room.
func (ss *subscriptions) park(c *cursor) {
	c.queued = true
	ss.parked.Push(c)
}

// next takes a cursor whose turn it is, those that waited for the window first; nil where there is none.
func (ss *subscriptions) next(windowFull bool) *cursor {
	for {
		var c *cursor
		switch {
		case !windowFull && ss.parked.Len() > 0:
			c = ss.parked.Pop()
		case ss.ready.Len() > 0:
			c = ss.ready.Pop()
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
