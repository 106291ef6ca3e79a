package fanout

import (
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// When a subscription is given a source of its own. The shared reader stops at 256 messages or 20 MiB unacknowledged, and after large
// messages at less than 256, so that there is as much again to go on with while the new consumer is made.
const (
	detachSpan  = 128
	detachBytes = 4 << 20
	// patience is how long a subscription may stand still while others wait: a pause of the scheduler is no slowness. One
	// that moves, but not out of the way, has as long again.
	patience = 50 * time.Millisecond
	// detachAge is how long at most a subscription may hold one message at a place of many topics, when that matters.
	detachAge = time.Second
	// detachRetry is the wait after an attempt that failed.
	detachRetry = time.Second
	// maxDetaching is how many are detached at a time.
	maxDetaching = 4
)

// behind tells whether somebody holds back so much that the shared reader may come to a halt, or has come to one because
// the hub's budget is used up: what is held here can be discarded only where nobody has taken it.
func (f *feed) behind() bool {
	s := &f.source
	switch r := &s.ring; {
	case s.starved && (r.held > 0 || f.bounded() && r.span() > 0):
		return true
	case f.matcher != nil:
		return r.span()+uint64(len(s.aside)) >= s.window/2
	default:
		return r.span() >= min(detachSpan, s.window/2) || r.held >= detachBytes
	}
}

// shed starts the detaching of those who are behind. The caller holds mu.
func (f *feed) shed() {
	if f.shedding || f.ending || f.hub.keep || f.matcher == nil && len(f.subs) < 2 && !f.bounded() {
		return
	}
	f.shedding, f.calm = true, false
	f.hub.work.Go(f.detachSlow)
}

// detachSlow detaches whoever is behind after a moment of patience. One such goroutine runs per feed.
func (f *feed) detachSlow() {
	wait := f.patience() / 2 // a first look tells only who may be slow
	var seen map[*Subscription]look
	for {
		f.hub.pause(wait)
		f.mu.Lock()
		slow, over := f.slow()
		if over || f.hub.ctx.Err() != nil {
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
		wait = f.patience()
		if err := f.detachAll(slow); err != nil {
			f.hub.log.Warn("fanout: a slow subscription cannot be detached", zap.String("place", f.place.Name), zap.Error(err))
			wait = detachRetry
		}
	}
}

// detachAll detaches subscriptions until one cannot be.
func (f *feed) detachAll(slow []*Subscription) error {
	g, ctx := errgroup.WithContext(f.hub.ctx)
	g.SetLimit(maxDetaching)
	for _, sub := range slow {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f.detach(sub) })
	}
	return g.Wait()
}

// look is where a subscription was when it was seen to be slow, so many times running.
type look struct {
	times int
	low   uint64
}

// stuck returns which of those who are slow now have been so for too long. The others have until the next look. seen holds how often
// and where each was seen. The caller holds mu.
func (f *feed) stuck(slow []*Subscription, seen map[*Subscription]look) (stuck []*Subscription, now map[*Subscription]look) {
	now = make(map[*Subscription]look, len(slow))
	for _, sub := range slow {
		before, low := seen[sub], sub.low()
		if f.late(before, low) {
			stuck = append(stuck, sub)
			continue
		}
		if f.matcher != nil && before.low != low {
			before.times = 0
		}
		now[sub] = look{times: before.times + 1, low: low}
	}
	return stuck, now
}

// late tells whether who is slow has been so two looks ago, or at the last one and has not moved since. At a place of many topics, where
// it need not be in anybody's way, it may hold each message for some time as long as it moves.
func (f *feed) late(before look, low uint64) bool {
	if f.matcher == nil {
		return before.times > 1 || before.times == 1 && before.low == low
	}
	return before.times > 1 && before.low == low || f.source.age(low) >= detachAge
}

// slow lists those who are behind. over tells that there is nothing more to look for. The caller holds mu.
func (f *feed) slow() (slow []*Subscription, over bool) {
	switch {
	case f.ending:
		return nil, true
	case f.matcher != nil:
		slow = f.slowOfMany()
		return slow, len(slow) == 0 && !f.behind()
	case f.behind():
		slow = f.slowOfAll()
	}
	return slow, len(slow) == 0
}

// slowOfAll lists the holders of the oldest quarter of what is held, provided that somebody else waits for new messages.
func (f *feed) slowOfAll() (slow []*Subscription) {
	edge := f.edge()
	ahead := f.bounded()
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

// slowOfMany lists who holds much and, where the reader may come to a halt, who holds something for long. Whoever it is holds up other
// topics, even if nobody here subscribes to them.
func (f *feed) slowOfMany() (slow []*Subscription) {
	s := &f.source
	behind, edge := f.behind(), f.edge()
	for _, sub := range f.subs {
		if !sub.hold || !sub.active {
			continue
		}
		low := sub.low()
		if low < s.ring.next && (sub.much() || s.starved && low < edge || behind && s.age(low) >= detachAge) {
			slow = append(slow, sub)
		}
	}
	return slow
}

// edge is the end of the oldest quarter of what is held.
func (f *feed) edge() uint64 {
	r := &f.source.ring
	return r.floor + max(1, r.span()/4)
}

// much tells whether a subscription at a place of many topics holds many messages.
func (s *Subscription) much() bool {
	return s.hold && s.active && s.topics.queue.len()+s.window.len() >= detachSpan
}

// age is how long the shared source has had the entry of an index, at a place of many topics.
func (s *source) age(index uint64) time.Duration {
	if index < s.ring.first {
		return s.feed.hub.age() - s.aside[index].arrived
	}
	return s.feed.hub.age() - s.ring.at(index).arrived
}
