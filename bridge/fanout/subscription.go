package fanout

import (
	"slices"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// Waker is called when a subscription has something new, once, until Next has said again that there is nothing. It must not
// block and must not call back into the hub. One more call may come after Subscription.Close.
type Waker interface {
	Wake()
}

// Subscription is one session's cursor into one topic. Next and Ack are called by the session under its own lock. There may be
// very many: sessions times topics.
type Subscription struct {
	// Immutable.
	feed   *feed
	member *Member

	// Guarded by feed.mu.
	waker   Waker   // set before the first Next
	source  *source // where it reads: the shared one, or its own
	topics  *topics // at a place of many topics: which of them, and what the shared source has of them; nil: all there is
	cursor  uint64  // index there after the last message that it has taken
	window  window
	held    *holding // nil: it holds whatever comes
	last    place    // of the newest that it has taken
	after   uint64   // see joining
	old     *source  // the one of its own that it left, until what that holds is acknowledged
	bounds  []bound  // what it has to come to for barriers of its member
	place   int32    // in feed.subs
	resting int32    // place in feed.idle, -1: not there
	hold    bool     // messages wait for Ack; set once
	waiting bool     // Next has found nothing in its own source
	joining bool     // it is in feed.joining, for its first message after sequence after
	active  bool     // it reads the shared source, and counts among feed.holders if it holds
	closed  bool
	// draining: by the rules in force nothing comes for it after sequence until.
	draining bool
	ending   bool // a goroutine closes it, as it has drained
	until    uint64
	// tentative: nobody has returned from subscribing with it, so that it may yet skip what was stored before.
	tentative bool
	watched   bool // made for a filter with wildcards: the session has to be told
}

// place is one in a stream.
type place struct {
	Stream   string
	Sequence uint64
}

// Place is what the subscription is to; zero for an error topic.
func (s *Subscription) Place() tenant.Place { return s.feed.place }

// Former tells that it has only what is left in the former stream of a dedicated topic. The session is told by Moved as well, after that.
func (s *Subscription) Former() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.feed.retired != 0
}

// Includes tells whether a filter of the session has been put into force at a place of many topics.
func (s *Subscription) Includes(filter string) bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.topics != nil && s.topics.find(filter) != nil
}

// Bind sets who is woken. It reports false where the subscription is closed. Next comes after it, and once before the first Wake.
func (s *Subscription) Bind(w Waker) bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.waker = w
	return !s.closed
}

// Hold lets all messages that Next has not returned wait for Ack from now on.
func (s *Subscription) Hold() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.raise()
}

// raise is Hold. What the shared source has already, acknowledged as it may be, is held with the rest: it is read once more.
func (s *Subscription) raise() {
	if s.hold || s.closed || s.feed.transient {
		return
	}
	s.hold = true
	if s.active {
		s.skip()
		s.holdShared()
	}
	s.feed.account(s)
}

// holdShared lets the shared source hold for the subscription, from its cursor on.
func (s *Subscription) holdShared() {
	s.feed.holders++
	r := &s.feed.source.ring
	s.each(func(i uint64) { r.at(i).waits++ })
	r.retreat(s.head())
}

// begun tells that it is settled what the subscription sees.
func (s *Subscription) begun() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return !s.tentative
}

// settle ends the time in which the subscription may yet skip what was stored before. It fails where it was closed meanwhile.
func (s *Subscription) settle() error {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.active || s.joining || s.source.owner != nil { // else whoever has made it is about to let it begin
		s.tentative = false
	}
	if s.closed {
		return errClosed
	}
	return nil
}

// giveUp closes the subscription if it is still tentative.
func (s *Subscription) giveUp() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.tentative {
		s.close()
	}
}

// ready tells that the reader is open.
func (s *Subscription) ready() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.feed.source.reader != nil
}

// Next returns the message at the cursor and moves on; held tells that it waits for Ack. ok is false where there is none.
func (s *Subscription) Next() (d reader.Delivery, held, ok bool) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed {
		return d, false, false
	}
	if s.source.owner != nil {
		f.rejoin(s)
	}
	src := s.source
	r := &src.ring
	if !s.hold && s.active {
		s.skip()
	}
	if src.owner != nil && s.topics != nil {
		src.passUnwanted()
	}
	if s.held != nil {
		s.passLapsed()
	}
	i := s.head()
	if i >= r.next || src.owner == nil && !s.active || src.owner != nil && !src.settled {
		s.rest() // the session may have it from a filter before it is known where it begins
		s.passBounds()
		return d, false, false
	}
	if s.member.stops(s, r.at(i).d.Sequence) {
		s.passBounds()
		return reader.Delivery{}, false, false
	}
	d = r.at(i).d
	s.last = place{d.Stream, d.Sequence}
	if s.hold {
		s.window.push(taken{sequence: d.Sequence, source: src, index: i})
	}
	if src.owner != nil {
		r.strip(i)
		src.changed()
	}
	s.pass(i)
	s.retire()
	s.passBounds()
	return d, s.hold, true
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
	s.unnote(sequence)
	s.done(t)
	if s.resting >= 0 && f.behind() {
		f.shed() // it may be the first that is ahead of the others
	}
	s.retire()
	s.finish()
}

// done lets go a message that Next has returned.
func (s *Subscription) done(t *taken) {
	if t.index != absent {
		t.source.release(t.index)
	}
	if s.old != nil && t.source != s.old {
		s.old.releaseSequence(t.sequence)
	}
	s.window.acknowledge(t)
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
	f.keeping = f.hub.keep
	s.leave()
	if s.source.owner != nil {
		s.source.drop()
	}
	if s.old != nil {
		s.old.drop()
		s.old = nil
	}
	s.window = window{}
	if s.topics != nil {
		s.excludeAll()
	}
	f.remove(s)
	s.passBounds()
	f.hub.wakeAll(s.member.drained(s))
}

// enter makes the subscription read the shared source from an index on.
func (s *Subscription) enter(index uint64) {
	s.joining, s.active, s.cursor = false, true, index
	if s.hold {
		s.holdShared()
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
	s.each(shared.release)
	f.unblock()
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
		s.resting = int32(len(f.idle))
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
	low := s.head()
	s.window.open(func(t *taken) {
		if t.source == &s.feed.source {
			low = min(low, t.index)
		}
	})
	return low
}
