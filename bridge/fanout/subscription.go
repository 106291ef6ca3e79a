package fanout

import (
	"slices"
	"time"

	"github.com/weirmq/weir/jetstream/reader"
)

// Subscription is one session's cursor into one topic. Next and Ack are called by the session under its own lock.
type Subscription struct {
	// Immutable.
	feed    *feed
	session Session
	hold    bool

	// Guarded by feed.mu.
	place   int     // in feed.subs
	source  *source // where it reads: the shared one, or its own
	cursor  uint64  // index of its next message there
	window  window
	last    reader.Delivery // the newest that it has taken, without the message
	resting int             // place in feed.idle, -1: not there
	waiting bool            // Next has found nothing in its own source
	joining bool            // it is in feed.joining, for its first message after sequence after
	after   uint64
	active  bool // it counts among feed.holders, if it holds at all
	closed  bool

	detached time.Time // when it got its own source
	// old is the source of its own that it left, kept until everything before index until is acknowledged.
	old   *source
	until uint64
}

// Next returns the message at the cursor and moves on. ok is false where there is none.
func (s *Subscription) Next() (d reader.Delivery, ok bool) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed {
		return d, false
	}
	if s.source.owner != nil {
		f.rejoin(s)
	}
	src := s.source
	r := &src.ring
	if !s.hold && s.cursor < r.readable && s.active {
		f.hub.metrics.skip(r.readable - s.cursor)
		s.cursor = r.readable
	}
	if s.cursor >= r.next || s.joining || src.owner != nil && !src.settled {
		s.rest()
		return d, false
	}
	d = r.at(s.cursor).d
	s.last = d
	s.last.Message = nil
	if s.hold {
		s.window.push(taken{sequence: d.Sequence, source: src, index: s.cursor})
	}
	if src.owner != nil {
		r.strip(s.cursor)
		src.changed()
	}
	s.cursor++
	s.retire()
	return d, true
}

// Ack tells that the session is done with the message of that sequence, which Next returned before.
func (s *Subscription) Ack(sequence uint64) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	t := s.window.find(sequence)
	if s.closed || t == nil {
		return
	}
	if t.index != absent {
		t.source.release(t.index)
	}
	if s.old != nil && t.source != s.old {
		s.old.releaseSequence(sequence)
	}
	s.window.acknowledge(t)
	if s.resting >= 0 && f.behind() {
		f.shed() // it may be the first that is ahead of the others
	}
	s.retire()
}

// Close ends the subscription: what it held back is let go.
func (s *Subscription) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.close()
}

func (s *Subscription) close() {
	if s.closed {
		return
	}
	s.closed = true
	f := s.feed
	s.leave()
	if s.source.owner != nil {
		s.source.drop()
	}
	if s.old != nil {
		s.old.drop()
		s.old = nil
	}
	s.window = window{}
	f.remove(s)
}

// enter makes the subscription read the shared source from an index on.
func (s *Subscription) enter(index uint64) {
	s.joining, s.active, s.cursor = false, true, index
	if s.hold {
		s.feed.holders++
	}
}

// leave takes the subscription out of everything that belongs to the shared source, and lets go what it holds there.
func (s *Subscription) leave() {
	f := s.feed
	s.unrest()
	if s.joining {
		s.joining = false
		i := slices.Index(f.joining, s)
		f.joining = slices.Delete(f.joining, i, i+1)
	}
	if !s.active {
		return
	}
	s.active = false
	if !s.hold {
		return
	}
	f.holders--
	shared := &f.source
	s.window.open(func(t *taken) {
		if t.source == shared {
			shared.release(t.index)
		}
	})
	for i := s.cursor; i < shared.ring.next; i++ {
		shared.release(i)
	}
}

// rest asks to be woken with the next message.
func (s *Subscription) rest() {
	f := s.feed
	if s.source.owner != nil {
		s.waiting = true
		s.source.hungry()
		return
	}
	if s.resting < 0 {
		s.resting = len(f.idle)
		f.idle = append(f.idle, s)
	}
	f.source.hungry()
	if f.behind() {
		f.shed()
	}
}

// unrest takes that back.
func (s *Subscription) unrest() {
	s.waiting = false
	if s.resting < 0 {
		return
	}
	idle := s.feed.idle
	last := idle[len(idle)-1]
	idle[s.resting], last.resting = last, s.resting
	idle[len(idle)-1] = nil
	s.feed.idle = idle[:len(idle)-1]
	s.resting = -1
}

// low is the index in the shared ring of the first message that it is not done with.
func (s *Subscription) low() uint64 {
	low := s.cursor
	s.window.open(func(t *taken) {
		if t.source == &s.feed.source {
			low = min(low, t.index)
		}
	})
	return low
}
