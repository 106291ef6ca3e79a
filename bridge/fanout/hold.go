package fanout

import (
	"time"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// A rule may bound what one subscription holds (hold_when_full: discard_oldest). Then the feed keeps an account of each that holds: of every
// message that the shared source has for it, and so of every message stored, wherever the subscription reads. What is beyond the bounds is
// acknowledged on its behalf, the oldest first. A message on its way to the client stays there, and its acknowledgement does nothing
// then; another is passed over and counted, when the subscription's source has it: one that has gone from the stream meanwhile was
// not let go.
//
// For this the shared source must never wait for one subscription. So at such places who is behind is detached although it is in nobody's
// way. The consumer of its own is at its oldest message, and follows as fast as these are let go.

// bounds of what one subscription may hold; tenant.Unlimited: none.
type bounds struct{ messages, bytes int64 }

// unbounded is hold_when_full: block.
var unbounded = bounds{tenant.Unlimited, tenant.Unlimited}

// bounded tells whether the feed bounds what a subscription may hold.
func (f *feed) bounded() bool { return f.bounds != unbounded }

// step is how far below the bounds who starves lets go, as part of them: its reader starts over for it.
const step = 8

func (b bounds) lower() bounds { return bounds{b.messages - b.messages/step, b.bytes - b.bytes/step} }

// holding is what a subscription holds; guarded by feed.mu.
type holding struct {
	stream string
	account
	// lapsed is the sequence of the newest message that was let go before it was taken; 0: the source has had it, or there was none.
	lapsed uint64
	seen   uint64 // the newest that a source of its own has delivered
	gap    gap
}

// holdPatience is patience at a place with bounds.
const holdPatience = patience / 5

// account opens the account of a subscription that holds, at a place with bounds. The caller holds mu.
func (f *feed) account(sub *Subscription) {
	if !sub.hold || sub.held != nil || sub.closed || !f.bounded() {
		return
	}
	h := &holding{stream: f.source.ring.stream}
	sub.held = h
	sub.window.open(func(t *taken) { h.add(t.sequence, 0) })
	if sub.last.Stream == h.stream {
		h.newest = max(h.newest, sub.last.Sequence)
	}
	if !sub.active && sub.source.owner == nil {
		return
	}
	sub.each(func(i uint64) {
		d := &sub.source.ring.at(i).d
		h.add(d.Sequence, d.Size)
	})
}

// note puts a message into the account. own tells that it comes from a source of the subscription's own.
func (h *holding) note(d *reader.Delivery, own bool) {
	if d.Stream != h.stream {
		*h = holding{stream: d.Stream}
	}
	if own {
		h.remove(h.seen+1, d.Sequence) // gone from the stream: it has delivered all that there is
		h.seen = max(h.seen, d.Sequence)
	}
	if !h.gap.open || h.arrive(d.Sequence, own) {
		h.add(d.Sequence, d.Size)
		return
	}
	h.gap.after.add(d.Sequence, d.Size)
}

// exceeds tells whether it is more than the bounds. One message always is within them: it could not be delivered otherwise.
func (h *holding) exceeds(b bounds) bool {
	messages, bytes := h.messages+h.gap.messages(), h.bytes+h.gap.bytes()
	return messages > 1 && (messages > b.messages || bytes > b.bytes)
}

// release takes a message out of the account that the subscription is done with.
func (s *Subscription) unnote(sequence uint64) {
	if s.held != nil {
		s.held.remove(sequence, sequence+1)
		s.held.gap.after.remove(sequence, sequence+1)
	}
}

// noteAll puts a message of a dedicated topic into the accounts of all. The caller holds mu.
func (f *feed) noteAll(d *reader.Delivery) {
	if !f.bounded() {
		return
	}
	for _, sub := range f.subs {
		sub.note(d)
	}
}

// note puts a message of the shared source into the account, and lets go what is too much.
func (s *Subscription) note(d *reader.Delivery) {
	if s.held == nil || !s.active && s.source.owner == nil {
		return
	}
	s.held.note(d, false)
	s.letGo()
}

// letGo acknowledges the oldest messages while there are more than the bounds allow. The caller holds feed.mu.
func (s *Subscription) letGo() {
	h, to := s.held, s.feed.bounds
	if h == nil {
		return
	}
	if own := s.source; own.owner != nil && own.starved && h.exceeds(to) {
		to = to.lower()
	}
	for h.messages > 0 && h.exceeds(to) {
		sequence := h.oldest()
		if t := s.window.find(sequence); t != nil {
			s.done(t)
		} else {
			h.lapsed = sequence
		}
	}
	s.passLapsed()
	s.source.expel()
	s.retire()
}

// passLapsed passes over what has lapsed. The caller holds feed.mu.
func (s *Subscription) passLapsed() {
	src := s.source
	own := src.owner != nil
	if own && !src.settled || !own && !s.active {
		return
	}
	for r := &src.ring; ; {
		if own && s.topics != nil {
			src.passUnwanted()
		}
		i := s.head()
		if i >= r.next || !s.hasLapsed(&r.at(i).d) {
			return
		}
		d := r.at(i).d
		s.last = place{d.Stream, d.Sequence}
		if own {
			r.strip(i)
			src.changed()
		}
		s.pass(i)
		src.release(i)
		if s.old != nil {
			s.old.releaseSequence(d.Sequence)
		}
		s.feed.hub.overflowed(s, 1)
	}
}

// hasLapsed tells whether a message that the subscription has not taken was let go.
func (s *Subscription) hasLapsed(d *reader.Delivery) bool {
	return d.Sequence <= s.held.lapsed && d.Stream == s.held.stream
}

// lapse acknowledges a message for a detached subscription, if it was let go before it came. The caller holds feed.mu.
func (s *source) lapse(d *reader.Delivery) bool {
	sub := s.owner
	if sub == nil || sub.held == nil || !s.settled || s.dropped || d.Stream != sub.held.stream {
		return false
	}
	if s.starved || s.paused {
		return false // what comes now was on its way when the reader was stopped, and others before it come again
	}
	h := sub.held
	switch {
	case d.Stream == sub.last.Stream && d.Sequence <= sub.last.Sequence:
		return false // on its way to the client, perhaps
	case d.Sequence > h.lapsed:
		h.lapsed = 0
		return false
	}
	h.seen = max(h.seen, d.Sequence)
	s.acknowledge(*d)
	sub.last = place{d.Stream, d.Sequence}
	if sub.topics == nil || sub.topics.wants(d) {
		s.feed.hub.overflowed(sub, 1)
	}
	return true
}

// expel lets a source go on at a place with bounds although it starves: the shared one because it counts, and that of a detached
// subscription while there is to come what has lapsed, which needs no room, and holds the backlog. The caller holds feed.mu.
func (s *source) expel() {
	if s.owner == nil && s.feed.bounded() && s.starved {
		s.feedAgain() // a message has room in any case, and then who holds it is detached
		return
	}
	if sub := s.owner; sub != nil && s.starved && sub.held != nil && sub.held.stream == s.ring.stream && sub.held.lapsed > sub.last.Sequence {
		s.feedAgain()
	}
}

// noteOwn puts a message from a source of a single subscription into its account. The caller holds feed.mu.
func (s *source) noteOwn(d *reader.Delivery) {
	if sub := s.owner; sub.held != nil && (sub.topics == nil || sub.topics.wants(d)) {
		sub.held.note(d, true)
	}
}

// patience is how long a subscription may stand still. Where it may be alone, publishers are what it is in the way of, and the
// backlog has less room for them than it seems.
func (f *feed) patience() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bounded() {
		return holdPatience
	}
	return patience
}
