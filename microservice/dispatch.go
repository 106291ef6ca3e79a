package microservice

import (
	"slices"
	"time"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// woken notes that a cursor may have a message. It is called by the fan-out.
func (sub *subscriber) woken(c *cursor) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.cursors.enqueue(c)
	sub.rouse()
}

// rouse wakes one writing goroutine that waits. Those that do not wait look for messages before they do. The caller holds mu.
func (sub *subscriber) rouse() {
	for _, c := range sub.conns {
		if c.idle {
			c.rouse()
			return
		}
	}
}

func (c *consumer) rouse() {
	c.idle = false
	c.signal()
}

// take hands out messages, to all connections that have room, and appends those that are for c to dst. It is called on the writing goroutine of c.
func (sub *subscriber) take(c *consumer, dst []outgoing) []outgoing {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if c.left {
		return dst
	}
	sub.dispatch(time.Now())
	for _, one := range c.batch.messages {
		_, again := c.window.again[one.id]
		if _, waits := c.window.deliveries[one.id]; waits || !again { // else it was acknowledged after all
			dst = append(dst, one)
		}
	}
	clear(c.window.again)
	clear(c.batch.messages)
	c.batch.messages, c.batch.bytes = c.batch.messages[:0], 0
	c.idle = len(dst) == 0
	return dst
}

// dispatch hands out messages in turn while a connection has room: those that came back first. The caller holds mu.
func (sub *subscriber) dispatch(now time.Time) {
	for {
		at := sub.roomy()
		if at < 0 {
			return
		}
		d, ok := sub.next(now)
		if !ok {
			return
		}
		c := sub.conns[at]
		sub.turn = at + 1
		c.window.add(d)
		c.batch.add(&d)
		c.owner.Metrics.out.Inc()
		c.counts.messages.Add(1)
		if c.idle {
			c.rouse()
		}
	}
}

// roomy is the index of the connection whose turn it is among those that have room, -1 where none has.
func (sub *subscriber) roomy() int {
	for i := range sub.conns {
		at := (sub.turn + i) % len(sub.conns)
		if c := sub.conns[at]; c.batch.room() && c.window.room(c.limits.Load()) {
			return at
		}
	}
	return -1
}

// next is the next message that is to be sent.
func (sub *subscriber) next(now time.Time) (d delivery, ok bool) {
	for {
		if sub.returned.Len() > 0 {
			d = sub.returned.Pop()
		} else if d, ok = sub.cursors.next(); !ok {
			return d, false
		} else {
			sub.id++
			d.id = sub.id
		}
		why := unwanted(d.Message, now)
		if why == "" {
			return d, true
		}
		d.acknowledge()
		sub.owner.Metrics.dropped(why)
	}
}

// unwanted says why a message is not delivered, or is empty.
func unwanted(m *message.Message, now time.Time) reason.Reason {
	switch {
	case m.To != "":
		return reason.OtherClient
	case m.HasExpiry && !m.Stored.IsZero() && now.Sub(m.Stored) >= time.Duration(max(m.Expiry, 1))*time.Second:
		return reason.MessageExpired
	default:
		return ""
	}
}

func (d *delivery) acknowledge() {
	if d.held {
		d.cursor.source.Ack(d.Sequence)
	}
}

// ack acknowledges a message. It reports false where the connection has no message with this id.
func (sub *subscriber) ack(c *consumer, id uint64) bool {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	full := !c.window.room(c.limits.Load())
	d, ok := c.window.remove(id)
	if !ok {
		return false
	}
	d.acknowledge()
	if full && c.idle {
		c.rouse()
	}
	return true
}

// nak sends a message again, behind those that have been sent. It reports false where the connection has no message with this id.
func (sub *subscriber) nak(c *consumer, id uint64) bool {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	d, ok := c.window.deliveries[id]
	if !ok {
		return false
	}
	if _, again := c.window.again[id]; !again {
		c.window.again[id] = struct{}{}
		c.batch.add(&d)
		c.owner.Metrics.again.Inc()
		if c.idle {
			c.rouse()
		}
	}
	return true
}

// leave takes a connection out. What it has not acknowledged goes to the others before anything new; with none left the subscriber is closed, and it stays
// as it is.
func (sub *subscriber) leave(c *consumer) {
	sub.mu.Lock()
	if c.left {
		sub.mu.Unlock()
		return
	}
	c.left = true
	c.batch = batch{}
	i := slices.Index(sub.conns, c)
	sub.conns = slices.Delete(sub.conns, i, i+1)
	sub.turn = 0
	sub.giveBack(c.window.empty())
	for _, other := range sub.conns {
		if other.idle {
			other.rouse()
		}
	}
	last := sub.settle()
	sub.mu.Unlock()
	if last {
		sub.close()
	}
}

// giveBack puts deliveries with those that are to be handed out again, in their order.
func (sub *subscriber) giveBack(all []delivery) {
	for sub.returned.Len() > 0 {
		all = append(all, sub.returned.Pop())
	}
	slices.SortFunc(all, older)
	for _, d := range all {
		sub.returned.Push(d)
	}
}

// settle tells the caller, who holds mu, to close the subscriber: nobody needs it any more.
func (sub *subscriber) settle() bool {
	if sub.closing || len(sub.conns) > 0 || sub.awaited > 0 {
		return false
	}
	sub.closing = true
	return true
}
