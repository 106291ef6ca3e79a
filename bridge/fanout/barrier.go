package fanout

import (
	"slices"

	"github.com/weirmq/weir/tenant"
)

// barrier keeps the order of one session through a move of topics: what was stored after the move, at a place that gained topics, waits until
// the session has taken everything from before it at the places that lost some, and from before the moves before: a topic may have had
// nothing for the session at the place in between. As what waits is always of a later move than what is waited for, barriers never wait in a
// circle.
type barrier struct {
	move tenant.Move

	// Guarded by member.mu.
	known bool                    // last is
	last  map[tenant.Place]uint64 // the sequence up to which a place belongs to the time before
	// behind counts the subscriptions that have yet to come to their last, and whoever counts them.
	behind  int
	stopped []*Subscription // have something that waits; woken when it may not have to any more
}

// bound is what a subscription has to come to for a barrier of its member.
type bound struct {
	barrier *barrier
	last    uint64
}

// raiseBarrier lets the session take nothing more from places that gain topics.
func (m *Member) raiseBarrier(move tenant.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.barriers, func(b *barrier) bool { return b.move.Revision == move.Revision }) {
		return
	}
	m.barriers = append(m.barriers, &barrier{move: move})
	m.bar()
}

// setBarrier says where the move came about at each place, and lets go what does not wait for anything.
func (m *Member) setBarrier(move tenant.Move, last map[tenant.Place]uint64) {
	m.mu.Lock()
	i := slices.IndexFunc(m.barriers, func(b *barrier) bool { return b.move.Revision == move.Revision })
	if i < 0 || m.barriers[i].known {
		m.mu.Unlock()
		return
	}
	for _, former := range m.barriers[:i] {
		former.known = true // where the end of its move was missed, nobody will say where it stands any more
	}
	b := m.barriers[i]
	b.known, b.last, b.behind = true, last, 1
	var losing []*Subscription
	for f, sub := range m.subs {
		if move.Loses(f.place) {
			losing = append(losing, sub)
		}
	}
	m.mu.Unlock()
	for _, sub := range losing {
		sub.bind(b, last[sub.feed.place])
	}
	m.mu.Lock()
	stopped := append(m.through(b), b.stopped...) // what is not beyond the last sequence of its place may go on
	b.stopped = nil
	m.mu.Unlock()
	for _, sub := range stopped {
		sub.wake()
	}
}

// bind counts the subscription among those that a barrier waits for, unless it has come to its last sequence.
func (s *Subscription) bind(b *barrier, last uint64) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if former := s.feed.retired; s.closed || former != 0 && former < b.move.Revision || s.past(last) {
		return
	}
	s.bounds = append(s.bounds, bound{b, last})
	if r := s.source.reader; s.feed.hub.keep && r != nil {
		s.feed.hub.work.Go(func() { s.survey(r, last) })
	}
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	b.behind++
}

// past reports whether the subscription has taken everything up to a stream sequence. The caller holds feed.mu.
func (s *Subscription) past(last uint64) bool {
	src := s.source
	if i := s.head(); i < src.ring.next && (s.active || src.owner != nil) {
		return src.ring.at(i).d.Sequence > last
	}
	return max(src.passed, s.last.Sequence) >= last || s.joining && s.after >= last
}

// passBounds tells the barriers that the subscription has come far enough for. The caller holds feed.mu, or nobody else has the
// subscription any more.
func (s *Subscription) passBounds() {
	if len(s.bounds) == 0 {
		s.finish()
		return
	}
	m := s.member
	s.bounds = slices.DeleteFunc(s.bounds, func(b bound) bool {
		if !s.closed && !s.past(b.last) {
			return false
		}
		m.mu.Lock()
		stopped := m.through(b.barrier)
		m.mu.Unlock()
		s.feed.hub.wakeAll(stopped)
		return true
	})
	if len(s.bounds) == 0 {
		s.finish()
	}
}

// through counts one less behind a barrier, and returns whom to wake for it and those that are passed with it. The caller holds mu.
func (m *Member) through(b *barrier) (stopped []*Subscription) {
	b.behind--
	n := 0
	for n < len(m.barriers) && m.barriers[n].known && m.barriers[n].behind == 0 {
		stopped = append(stopped, m.barriers[n].stopped...)
		m.barriers[n].stopped = nil
		n++
	}
	m.barriers = slices.Delete(m.barriers, 0, n)
	m.bar()
	return stopped
}

// stops reports whether a message waits at a barrier, and if so has the subscription woken when it need not any more. The caller holds
// feed.mu.
func (m *Member) stops(s *Subscription, sequence uint64) bool {
	if !m.barred.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waits(s) {
		return true
	}
	for _, b := range m.barriers {
		if former := s.feed.retired; former != 0 && former < b.move.Revision {
			continue // what the place gains by that move comes to another feed
		}
		if !b.move.Gains(s.feed.place) || b.known && sequence <= b.last[s.feed.place] {
			continue
		}
		if !slices.Contains(b.stopped, s) {
			b.stopped = append(b.stopped, s)
		}
		return true
	}
	return false
}

// wakeAll has sessions ask for messages, from a goroutine of its own: they are called with no lock held, and one may be the caller.
func (h *Hub) wakeAll(subs []*Subscription) {
	if len(subs) == 0 {
		return
	}
	h.work.Go(func() {
		for _, sub := range subs {
			sub.wake()
		}
	})
}

// wake has the session ask for messages.
func (s *Subscription) wake() {
	s.feed.mu.Lock()
	w := s.waker
	s.feed.mu.Unlock()
	if w != nil { // else it comes by itself, after Bind
		w.Wake()
	}
}
