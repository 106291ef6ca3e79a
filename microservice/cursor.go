package microservice

import (
	"slices"
	"sync/atomic"

	"github.com/weirmq/weir/bridge/fifo"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/tenant"
)

// cursor is how far a subscriber has come at one place: a dedicated topic, all topics of a shared or transient rule, or the error topic. It
// is what the fan-out wakes.
type cursor struct {
	// immutable
	source *fanout.Subscription
	sub    *subscriber
	place  tenant.Place

	woken atomic.Bool // set by Wake, cleared before the source is asked

	// guarded by sub.mu
	queued bool // in cursors.ready
	closed bool
}

// Wake is called by the fan-out when there may be something new.
func (c *cursor) Wake() {
	if !c.woken.Swap(true) {
		c.sub.woken(c)
	}
}

// cursors are those of one subscriber, guarded by its mu. There are no more than the tenant may have dedicated topics and rules.
type cursors struct {
	places map[tenant.Place]*cursor
	former []*cursor // of topics that have moved: what is left in the former streams
	over   bool      // the subscriber has left the hub
	ready  fifo.Queue[*cursor]
}

// open takes the source of a place, instead of one that has been closed.
func (cs *cursors) open(src *fanout.Subscription, sub *subscriber) {
	if cs.over {
		src.Close()
		return
	}
	place, former := src.Place(), src.Former()
	before := cs.places[place]
	if former {
		cs.moved(src) // it may be about to be told so
		before = cs.find(src)
	}
	if before != nil && before.source == src {
		return
	}
	c := &cursor{source: src, sub: sub, place: place}
	if !src.Bind(c) {
		return
	}
	if before != nil {
		cs.close(before)
	}
	if former {
		cs.former = append(cs.former, c)
	} else {
		cs.places[place] = c
	}
	cs.enqueue(c)
}

// moved puts a cursor aside, so that its place can have another one.
func (cs *cursors) moved(src *fanout.Subscription) {
	if c := cs.places[src.Place()]; c != nil && c.source == src {
		delete(cs.places, src.Place())
		cs.former = append(cs.former, c)
	}
}

// find returns the cursor of a source, nil where there is none.
func (cs *cursors) find(src *fanout.Subscription) *cursor {
	if c := cs.places[src.Place()]; c != nil && c.source == src {
		return c
	}
	for _, c := range cs.former {
		if c.source == src {
			return c
		}
	}
	return nil
}

func (cs *cursors) close(c *cursor) {
	c.closed = true
	c.source.Close()
	if cs.places[c.place] == c {
		delete(cs.places, c.place)
	}
	if i := slices.Index(cs.former, c); i >= 0 {
		cs.former = slices.Delete(cs.former, i, i+1)
	}
}

// end closes everything.
func (cs *cursors) end() {
	cs.over = true
	for _, c := range cs.places {
		cs.close(c)
	}
	for len(cs.former) > 0 {
		cs.close(cs.former[0])
	}
}

// enqueue notes that a cursor may have a message.
func (cs *cursors) enqueue(c *cursor) {
	if !c.queued && !c.closed {
		c.queued = true
		cs.ready.Push(c)
	}
}

// next takes the next message, from the cursors in turn.
func (cs *cursors) next() (d delivery, ok bool) {
	for cs.ready.Len() > 0 {
		c := cs.ready.Pop()
		c.queued = false
		if c.closed {
			continue
		}
		c.woken.Store(false)
		if d.Delivery, d.held, ok = c.source.Next(); ok {
			cs.enqueue(c)
			d.cursor = c
			return d, true
		}
	}
	return delivery{}, false
}
