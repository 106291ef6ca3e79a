package fanout

import (
	"context"
	"sort"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/reader"
)

// When a subscription is given a source of its own, and when it may come back. The shared reader stops at 256 messages
// or 20 MiB unacknowledged, so that there is as much again to go on with while the new consumer is made.
const (
	detachSpan  = 128
	detachBytes = 4 << 20
	// patience is how long a subscription may stand still while others wait: a pause of the scheduler is no slowness. One
	// that moves, but not out of the way, has as long again.
	patience = 50 * time.Millisecond
	// detachRetry is the wait after an attempt that failed.
	detachRetry = time.Second
	// rejoinAfter and rejoinSpan keep a subscription at the edge from going to and fro.
	rejoinAfter = time.Second
	rejoinSpan  = detachSpan / 2
)

// behind tells whether somebody holds back so much that the shared reader may come to a halt, or has come to one because
// the hub's budget is used up: what is held here can be discarded only where nobody has taken it.
func (f *feed) behind() bool {
	r := &f.source.ring
	return r.span() >= detachSpan || r.held >= detachBytes || f.source.starved && r.held > 0
}

// shed starts the detaching of those who are behind. The caller holds mu.
func (f *feed) shed() {
	if f.shedding || f.ending || len(f.subs) < 2 {
		return
	}
	f.shedding, f.calm = true, false
	f.hub.work.Go(f.detachSlow)
}

// detachSlow detaches whoever is behind after a moment of patience. One such goroutine runs per feed.
func (f *feed) detachSlow() {
	wait := patience / 2 // a first look tells only who may be slow
	var seen map[*Subscription]look
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-f.hub.ctx.Done():
			timer.Stop()
		}
		f.mu.Lock()
		slow := f.slow()
		if len(slow) == 0 || f.hub.ctx.Err() != nil {
			f.shedding = false
			f.mu.Unlock()
			return
		}
		if f.calm {
			slow = nil // it may be calm again: another moment of patience
		}
		f.calm = false
		slow, seen = f.stuck(slow, seen)
		f.mu.Unlock()
		wait = patience
		for _, sub := range slow {
			if err := f.detach(sub); err != nil {
				f.hub.log.Warn("fanout: a slow subscription cannot be detached", zap.String("place", f.place.Name), zap.Error(err))
				wait = detachRetry
				break
			}
		}
	}
}

// stuck returns which of those who are slow now have been so for too long: two looks ago, or at the last one and have not
// moved since. The others have until the next look. seen holds how often and where each was seen. The caller holds mu.
func (f *feed) stuck(slow []*Subscription, seen map[*Subscription]look) (stuck []*Subscription, now map[*Subscription]look) {
	now = make(map[*Subscription]look, len(slow))
	for _, sub := range slow {
		before, low := seen[sub], sub.low()
		if before.times > 1 || before.times == 1 && before.low == low {
			stuck = append(stuck, sub)
			continue
		}
		now[sub] = look{times: before.times + 1, low: low}
	}
	return stuck, now
}

// look is where a subscription was when it was seen to be slow, so many times running.
type look struct {
	times int
	low   uint64
}

// slow lists the holders of the oldest quarter of what is held, provided that somebody else waits for new messages.
// The caller holds mu.
func (f *feed) slow() (slow []*Subscription) {
	if !f.behind() || f.ending {
		return nil
	}
	r := &f.source.ring
	edge := r.floor + max(1, r.span()/4)
	ahead := false
	for _, sub := range f.idle {
		ahead = ahead || sub.joining || sub.active && sub.low() >= edge
	}
	if !ahead {
		return nil
	}
	for _, sub := range f.subs {
		if sub.hold && sub.active && sub.low() < edge {
			slow = append(slow, sub)
		}
	}
	return slow
}

// detach gives a subscription a source of its own, from its first unacknowledged message on. Until that exists the
// subscription goes on with the shared one, and holds there what it has not acknowledged.
func (f *feed) detach(sub *Subscription) error {
	f.mu.Lock()
	from, ok := sub.start()
	f.mu.Unlock()
	if !ok {
		return nil
	}
	own := &source{feed: f, owner: sub}
	ctx, cancel := context.WithTimeout(f.hub.ctx, attachTimeout)
	defer cancel()
	r, err := f.log.Attach(ctx, f.place, f.hub.nextName(), from, nil, own)
	if err != nil {
		return err
	}
	f.mu.Lock()
	if sub.closed {
		own.reader = r
		own.drop()
		f.mu.Unlock()
		return nil
	}
	sub.adopt(own, r)
	w := sub.waker
	f.mu.Unlock()
	if w != nil { // else it comes by itself, after Bind
		w.Wake()
	}
	return nil
}

// start is the stream sequence of the first message that the subscription is not done with. ok is false where it has none
// any more, or where the sequences are of two streams.
func (s *Subscription) start() (from uint64, ok bool) {
	r := &s.feed.source.ring
	switch t := s.window.oldest(); {
	case s.closed || !s.active:
		return 0, false
	case t != nil:
		from = t.sequence
	case s.head() < r.next:
		from = r.at(s.head()).d.Sequence
	default:
		return 0, false
	}
	if s.last.Stream == "" {
		s.last.Stream, s.last.Sequence = r.stream, from-1
	}
	return from, r.renewed <= s.low() && s.last.Stream == r.stream
}

// adopt makes the subscription read from its own source. What it has taken and not acknowledged is held there from now on.
func (s *Subscription) adopt(own *source, r reader.Attached) {
	s.leave()
	s.window.open(func(t *taken) { t.source, t.index = own, absent })
	if s.old != nil {
		s.old.drop()
		s.old = nil
	}
	s.source, s.cursor, own.since = own, 0, time.Now()
	own.settled = true
	own.attached(r)
	for i := own.ring.first; i < own.ring.next; i++ {
		own.settle(i)
	}
	s.feed.hub.metrics.detach()
}

// deliverOwn takes the next message for a detached subscription, and tells whether to wake it.
func (s *source) deliverOwn(d reader.Delivery) (wake bool) {
	s.ring.push(d, 1)
	s.changed()
	if !s.settled {
		return false
	}
	s.settle(s.ring.next - 1)
	sub := s.owner
	wake = sub.waiting && sub.cursor < s.ring.next
	sub.waiting = sub.waiting && !wake
	return wake
}

// settle sorts out an entry that its subscription may have had from the shared source before: then it is held if it
// is still unacknowledged, and let go if not.
func (s *source) settle(index uint64) {
	sub := s.owner
	e := s.ring.at(index)
	if e.d.Stream != sub.last.Stream || e.d.Sequence > sub.last.Sequence {
		return
	}
	sub.cursor = index + 1
	s.ring.strip(index)
	s.changed()
	if t := sub.window.find(e.d.Sequence); t != nil {
		t.index = index
		return
	}
	s.release(index)
}

// rejoin lets a detached subscription that has caught up read from the shared source again. Its own one stays until
// everything is acknowledged that the shared reader may have acknowledged already.
func (f *feed) rejoin(s *Subscription) {
	own, r := s.source, &f.source.ring
	if s.old != nil || s.last.Stream != r.stream || r.next == r.first || time.Since(own.since) < rejoinAfter {
		return
	}
	index, ok := r.find(s.last.Sequence)
	if !ok || r.next-index > rejoinSpan {
		return
	}
	own.retire(r)
	s.waiting = false
	s.old, own.joined = own, r.next
	s.source = &f.source
	f.hub.metrics.rejoin()
	if index == r.next {
		f.await(s, s.last.Sequence)
		return
	}
	s.enter(index)
}

// retire turns the source of a detached subscription into one that only holds what the subscription has not acknowledged,
// up to the newest message of the shared ring, which is where the shared source begins to hold for it.
func (s *source) retire(shared *ring) {
	s.retired, s.until = true, shared.at(shared.next-1).d.Sequence
	s.until = max(s.until, s.owner.last.Sequence)
	r := &s.ring
	r.strip(r.next - 1)
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
	waits := 1
	if d.Stream != sub.last.Stream || d.Sequence > s.until || d.Sequence <= sub.last.Sequence && sub.window.find(d.Sequence) == nil {
		waits = 0
	}
	e := s.ring.push(d, waits)
	s.ring.strip(s.ring.next - 1)
	s.changed()
	if waits == 0 {
		s.settleEntry(e)
		s.forget()
	}
	if s.ring.span() >= maxHeld {
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

// drop closes a source of a single subscription. The caller holds feed.mu and uses the source no more.
func (s *source) drop() {
	s.clear()
	s.feed.hub.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.feed.hub.ctx, closeTimeout)
		defer cancel()
		if err := s.reader.Close(ctx); err != nil {
			s.feed.hub.log.Warn("fanout: closing reader", zap.String("place", s.feed.place.Name), zap.Error(err))
		}
	})
}
