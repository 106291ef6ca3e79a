package fanout

import (
	"sort"
	"time"

	"github.com/weirmq/weir/jetstream/reader"
)

// When a detached subscription may come back. The bounds keep one at the edge from going to and fro.
const (
	rejoinAfter = time.Second
	rejoinSpan  = detachSpan / 2
)

// rejoin lets a detached subscription that has caught up read from the shared source again. Its own one stays until
// everything is acknowledged that the shared reader may have acknowledged already.
func (f *feed) rejoin(s *Subscription) {
	own, r := s.source, &f.source.ring
	if s.old != nil || time.Since(own.since) < rejoinAfter {
		return
	}
	if s.topics != nil {
		f.rejoinMany(s)
		return
	}
	if s.last.Stream != r.stream || r.next == r.first {
		return
	}
	index, ok := r.find(s.last.Sequence)
	if !ok || r.next-index > rejoinSpan {
		return
	}
	s.comeBack(own)
	if index == r.next {
		f.await(s, s.last.Sequence)
		return
	}
	s.enter(index)
}

// rejoinMany is rejoin at a place of many topics: the queue says what there is for it in the shared source.
func (f *feed) rejoinMany(s *Subscription) {
	s.prune()
	if t := s.topics; t.gone > s.last.Sequence || s.window.len() > rejoinSpan {
		return
	}
	s.comeBack(s.source)
	s.enter(s.head())
	s.retire()
}

// comeBack lets the subscription read from the shared source, and keeps its own one for what that has not to hold.
func (s *Subscription) comeBack(own *source) {
	shared := &s.feed.source
	own.retire(&shared.ring)
	s.waiting = false
	s.old, own.joined = own, shared.ring.next
	s.source = shared
	s.feed.hub.metrics.rejoin()
}

// retire turns the source of a detached subscription into one that only holds what the subscription has not acknowledged,
// up to the newest message of the shared ring, which is where the shared source begins to hold for it.
func (s *source) retire(shared *ring) {
	s.retired, s.until = true, max(shared.newest(), s.owner.last.Sequence)
	r := &s.ring
	if r.next > r.readable {
		r.strip(r.next - 1)
	}
	s.changed()
	for i := s.owner.cursor; i < r.next; i++ {
		if r.at(i).d.Sequence > s.until {
			s.release(i)
		}
	}
	if s.paused || s.starved {
		s.feedNoMore()
		s.paused = false
		s.reader.Resume()
	}
}

// deliverRetired takes what still comes after that: it is held if the subscription has yet to acknowledge it.
func (s *source) deliverRetired(d reader.Delivery) {
	sub := s.owner
	waits := int32(1)
	switch {
	case d.Stream != sub.last.Stream || d.Sequence > s.until:
		waits = 0
	case d.Sequence <= sub.last.Sequence:
		if sub.window.find(d.Sequence) == nil {
			waits = 0
		}
	case sub.topics != nil && !sub.topics.wants(&d):
		waits = 0
	}
	e := s.ring.push(d, waits)
	s.ring.strip(s.ring.next - 1)
	s.changed()
	if waits == 0 {
		s.settleEntry(e)
		s.forget()
	}
	if s.ring.span() >= s.limit() {
		s.putAside()
	}
}

// releaseSequence is release for a retired source, whose messages the subscription has taken from the shared one.
func (s *source) releaseSequence(sequence uint64) {
	r := &s.ring
	n := int(r.next - r.first)
	i := r.first + uint64(sort.Search(n, func(i int) bool { return r.at(r.first+uint64(i)).d.Sequence >= sequence }))
	if i < r.next && r.at(i).d.Sequence == sequence && r.at(i).waits > 0 {
		s.release(i)
		return
	}
	for i, e := range s.aside {
		if e.d.Sequence == sequence {
			s.releaseAside(i)
			return
		}
	}
}

// retire closes the source that a subscription has left behind, once it holds nothing that matters.
func (s *Subscription) retire() {
	if s.old == nil {
		return
	}
	if t := s.window.oldest(); t != nil && (t.source == s.old || t.index < s.old.joined) || t == nil && s.head() < s.old.joined {
		return
	}
	s.old.drop()
	s.old = nil
}
