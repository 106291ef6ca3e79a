package fanout

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/reader"
)

// detach gives a subscription a source of its own, from its first unacknowledged message on. Until that exists the
// subscription goes on with the shared one, and holds there what it has not acknowledged.
func (f *feed) detach(sub *Subscription) error {
	for all := false; ; all = true { // the second time for whatever filters it may have by then
		f.mu.Lock()
		from, ok := sub.start()
		filters := sub.filters()
		f.mu.Unlock()
		if !ok {
			return nil
		}
		if all {
			filters = nil
		}
		own, err := f.open(f.hub.ctx, sub, from, filters)
		if err != nil {
			return err
		}
		if f.move(sub, own, false) {
			return nil
		}
	}
}

// open opens a source for one subscription.
func (f *feed) open(ctx context.Context, sub *Subscription, from uint64, filters []string) (own *source, err error) {
	own = &source{feed: f, owner: sub, filters: filters}
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	r, err := f.log.Attach(ctx, f.stream(), f.hub.nextName(), from, filters, own.sink())
	if err != nil {
		return nil, err
	}
	own.opened = r
	return own, nil
}

// move lets a subscription go on with a source opened for it, if it is still as expected, detached or not. It reports false where the
// source lacks some of the subscription's filters. A source that is not used is closed.
func (f *feed) move(sub *Subscription, own *source, detached bool) bool {
	f.mu.Lock()
	var w Waker
	fits := sub.topics == nil || sub.topics.within(own.filters)
	if sub.closed || (sub.source.owner != nil) != detached || !fits {
		own.drop()
	} else {
		sub.adopt(own)
		w = sub.waker
	}
	f.mu.Unlock()
	if w != nil { // else it comes by itself, after Bind
		w.Wake()
	}
	return fits
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

// filters lists the filters of a subscription at a place of many topics; nil at another.
func (s *Subscription) filters() []string {
	if s.topics == nil {
		return nil
	}
	return s.topics.names()
}

// adopt makes the subscription read from its own source. What it has taken and not acknowledged is held there from now on.
func (s *Subscription) adopt(own *source) {
	former := s.source
	s.leave()
	s.window.open(func(t *taken) { t.source, t.index = own, absent })
	if s.old != nil {
		s.old.drop()
		s.old = nil
	}
	if former.owner != nil {
		former.drop()
	}
	s.source, s.cursor, own.since = own, 0, time.Now()
	own.settled = true
	own.attached(own.opened)
	for i := own.ring.first; i < own.ring.next; i++ {
		own.noteOwn(&own.ring.at(i).d)
		own.settle(i)
	}
	if s.topics != nil {
		s.prune()
	}
	s.letGo()
	s.feed.hub.metrics.detach()
}

// deliverOwn takes the next message for a detached subscription, and tells whether to wake it.
func (s *source) deliverOwn(d reader.Delivery) (wake bool) {
	if s.feed.matcher != nil && s.reader != nil && !s.owner.topics.matches(d.Topic) {
		s.acknowledge(d) // for a filter that was taken back
		s.owner.unnote(d.Sequence)
		return false
	}
	s.ring.push(d, 1)
	s.changed()
	if !s.settled {
		return false
	}
	s.settle(s.ring.next - 1)
	sub := s.owner
	s.noteOwn(&d)
	sub.letGo()
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

// drop closes a source of a single subscription. The caller holds feed.mu and uses the source no more.
func (s *source) drop() {
	s.clear()
	r := s.opened
	s.feed.hub.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.feed.hub.ctx, closeTimeout)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			s.feed.hub.log.Warn("fanout: closing reader", zap.String("place", s.feed.place.Name), zap.Error(err))
		}
	})
}
