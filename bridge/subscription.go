package bridge

import (
	"sync/atomic"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/reader"
)

// cursor is where a subscription's messages come from. The one there is is fanout.Subscription.
type cursor interface {
	// Next returns the next message and moves on; ok is false where there is none now.
	Next() (d reader.Delivery, ok bool)
	// Ack tells that the message of that sequence is done with. After Close it does nothing.
	Ack(sequence uint64)
	// Close gives back what was not acknowledged.
	Close()
}

// subscription is one topic filter of one session. It is what the fan-out wakes.
type subscription struct {
	// immutable
	filter string
	hold   bool // messages wait for Ack
	wake   func(*subscription)

	woken atomic.Bool // set by Wake, cleared before the cursor is asked

	// guarded by the connection's mu
	cursor  cursor
	granted codec.QoS // 0 or 1
	noLocal bool
	live    bool // its SUBACK is in the outbox: messages may flow
	queued  bool // in subscriptions.ready or .parked
	closed  bool
	// A SUBSCRIBE that raises the QoS from 0 replaces the cursor. What the previous one, without hold, has that comes
	// before first, the first message of the new one, is still delivered.
	previous cursor
	first    *reader.Delivery
}

// Wake is called by the fan-out when there may be something new.
func (s *subscription) Wake() {
	if !s.woken.Swap(true) {
		s.wake(s)
	}
}

// next returns the next message. Where held is true acknowledge has to follow, now or with the client's PUBACK.
func (s *subscription) next() (d reader.Delivery, held, ok bool) {
	if s.previous != nil {
		return s.change()
	}
	d, ok = s.cursor.Next()
	return d, s.hold, ok
}

// change is next while the cursor is being replaced. Both cursors see the same messages from the first one of the new
// cursor on. That one may come later than now: the new cursor starts behind what was stored before its SUBSCRIBE, of
// which the bridge need not have seen all. The previous cursor is asked first, so that the new one has at least as much.
func (s *subscription) change() (d reader.Delivery, held, ok bool) {
	d, ok = s.previous.Next()
	if s.first == nil {
		if first, ok := s.cursor.Next(); ok {
			s.first = &first
		}
	}
	if ok && (s.first == nil || d.Stream != s.first.Stream || d.Sequence < s.first.Sequence) {
		return d, false, true
	}
	if s.first == nil {
		return d, false, false
	}
	s.previous.Close()
	d = *s.first
	s.previous, s.first = nil, nil
	return d, s.hold, true
}

// acknowledge tells the cursor that a message is done with.
func (s *subscription) acknowledge(sequence uint64) {
	if s.hold {
		s.cursor.Ack(sequence)
	}
}

// replace takes over from an old subscription, which is not used any more.
func (s *subscription) replace(old *subscription) {
	s.previous = old.cursor
	old.closed = true
}

// close ends the subscription.
func (s *subscription) close() {
	s.closed = true
	s.cursor.Close()
	if s.previous != nil {
		s.previous.Close()
	}
}

// subscriptions are those of one session, guarded by the connection's mu.
type subscriptions struct {
	byFilter map[string]*subscription
	ready    queue[*subscription] // may have a message
	parked   queue[*subscription] // may have one, but the window is full
}

// enqueue notes that a subscription may have a message.
func (ss *subscriptions) enqueue(s *subscription) {
	if s.live && !s.queued && !s.closed {
		s.queued = true
		ss.ready.push(s)
	}
}

// park is enqueue until the window has room.
func (ss *subscriptions) park(s *subscription) {
	s.queued = true
	ss.parked.push(s)
}

// next takes a subscription whose turn it is, those that waited for the window first; nil where there is none.
func (ss *subscriptions) next(windowFull bool) *subscription {
	for {
		var s *subscription
		switch {
		case !windowFull && ss.parked.len() > 0:
			s = ss.parked.pop()
		case ss.ready.len() > 0:
			s = ss.ready.pop()
		default:
			return nil
		}
		s.queued = false
		if s.closed {
			continue
		}
		s.woken.Store(false)
		return s
	}
}
