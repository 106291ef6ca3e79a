package fanout

import (
	"context"

	"go.uber.org/zap"
)

// A subscription at a place of many topics may have a source of its own, whose consumer is for the filters that it had then. What a
// consumer is for is never changed: there is a new one for other filters before the old one goes.

// include puts a filter of a subscription into force: when it returns, everything stored from then on is seen. first tells that the
// reader was opened for it.
func (f *feed) include(ctx context.Context, sub *Subscription, name string, hold, first bool) error {
	for {
		var after uint64
		if !first && !f.transient {
			var err error
			if after, err = f.lastSequence(ctx); err != nil {
				return err
			}
		}
		f.mu.Lock()
		closed, fits := sub.closed, sub.source.owner == nil || covered(name, sub.source.filters)
		if fits && !closed {
			sub.put(name, after, hold)
		}
		f.mu.Unlock()
		if closed {
			return errClosed
		}
		if fits {
			return nil
		}
		if done, err := f.widen(ctx, sub, name, hold); done || err != nil {
			return err
		}
	}
}

// widen is include for a detached subscription whose source lacks the filter's topics. done is false where it is not so any more.
func (f *feed) widen(ctx context.Context, sub *Subscription, name string, hold bool) (done bool, err error) {
	select {
	case sub.topics.change <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-sub.topics.change }()
	f.mu.Lock()
	again := sub.closed || sub.source.owner == nil || covered(name, sub.source.filters)
	from, filters := sub.restart(), append(sub.filters(), name)
	f.mu.Unlock()
	if again {
		return false, nil
	}
	own, err := f.open(ctx, sub, from, filters)
	if err != nil {
		return false, err
	}
	// What was stored before the consumer was there, it need not have.
	after, err := f.lastSequence(ctx)
	f.mu.Lock()
	if err != nil || sub.closed || sub.source.owner == nil {
		own.drop()
		f.mu.Unlock()
		return false, err
	}
	if done = sub.topics.within(filters); !done {
		own.drop()
		f.mu.Unlock()
		return false, nil
	}
	sub.put(name, after, hold)
	sub.adopt(own)
	w := sub.waker
	f.mu.Unlock()
	if w != nil {
		w.Wake()
	}
	return true, nil
}

// restart is start for a subscription that is detached already.
func (s *Subscription) restart() (from uint64) {
	if t := s.window.oldest(); t != nil {
		return t.sequence
	}
	return s.last.Sequence + 1
}

// narrow starts refit where a source is for more than the filters that are left: what nobody wants is not to wait behind what is slow. The
// caller holds feed.mu.
func (s *Subscription) narrow() {
	if !s.topics.narrowing && s.loose() {
		s.topics.narrowing = true
		s.feed.hub.work.Go(func() { s.feed.refit(s) })
	}
}

// loose tells whether the subscription has a source of its own for more than its filters.
func (s *Subscription) loose() bool {
	if s.closed || s.source.owner == nil {
		return false
	}
	if s.source.filters == nil {
		return true
	}
	names := s.topics.names()
	for _, name := range s.source.filters {
		if !covered(name, names) {
			return true
		}
	}
	return false
}

// refit gives a detached subscription a source for the filters that it still has.
func (f *feed) refit(sub *Subscription) {
	select {
	case sub.topics.change <- struct{}{}:
		defer func() { <-sub.topics.change }()
	case <-f.hub.ctx.Done():
	}
	for {
		f.mu.Lock()
		if !sub.loose() || f.hub.ctx.Err() != nil {
			sub.topics.narrowing = false
			f.mu.Unlock()
			return
		}
		from, filters := sub.restart(), sub.filters()
		f.mu.Unlock()
		own, err := f.open(f.hub.ctx, sub, from, filters)
		if err != nil {
			f.hub.log.Warn("fanout: a slow subscription keeps a consumer for filters taken back", zap.String("place", f.place.Name), zap.Error(err))
			f.hub.pause(detachRetry)
			continue
		}
		f.move(sub, own, true)
	}
}

// passUnwanted passes over what a source of a single subscription has for filters taken back, or from before a filter was there. The
// caller holds feed.mu.
func (s *source) passUnwanted() {
	sub := s.owner
	for r := &s.ring; s.settled && sub.cursor < r.next; {
		i := sub.cursor
		d := &r.at(i).d
		if sub.topics.wants(d) {
			return
		}
		sub.last = place{d.Stream, d.Sequence}
		sub.unnote(d.Sequence)
		sub.cursor++
		r.strip(i)
		s.changed()
		s.release(i)
	}
}
