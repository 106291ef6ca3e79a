package fanout

import (
	"context"
	"slices"
	"time"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// returning is what the Log of a stored subscriber is as well. What the subscriber has in streams that its topics have moved away from comes
// before everything else, one stream after the other.
type returning interface {
	// Former lists these streams, those that moved first at the beginning.
	Former(ctx context.Context) ([]reader.Former, error)
	// Returned tells that the filter is in force, or will not be. It may come again.
	Returned()
}

// resume opens what a stored subscriber has in former streams, once.
func (m *Member) resume(ctx context.Context, log returning) error {
	if m.resumed {
		return nil
	}
	former, err := log.Former(ctx)
	if err != nil {
		return err
	}
	m.resumed = true
	var subs []*Subscription
	for _, stream := range former {
		sub, err := m.drain(stream)
		if err != nil {
			return err
		}
		subs = append(subs, sub)
	}
	for _, sub := range subs {
		if err := sub.feed.wait(ctx); err != nil {
			return err
		}
		if err := sub.settle(); err != nil {
			return err
		}
	}
	tell(subs)
	return nil
}

// drain opens a former stream. Its subscription ends by itself when everything in it is acknowledged.
func (m *Member) drain(stream reader.Former) (*Subscription, error) {
	h := m.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || m.left {
		return nil, errClosed
	}
	place := tenant.Place{Name: stream.Stream}
	f, sub := h.makeAlone(m, place, true)
	sub.draining, sub.until = true, stream.Last
	m.mu.Lock()
	m.former = append(m.former, sub)
	m.bar()
	m.mu.Unlock()
	h.work.Go(func() {
		f.attach(func(ctx context.Context) (reader.Attached, error) {
			return m.log.Attach(ctx, place, "", 0, nil, &f.source)
		})
	})
	return sub, nil
}

// waits reports whether a message waits for what is in former streams, and if so has the subscription woken when it need not any more. The caller
// holds feed.mu and mu.
func (m *Member) waits(s *Subscription) bool {
	if len(m.former) == 0 || m.former[0] == s || s.feed.transient {
		return false
	}
	if !slices.Contains(m.stopped, s) {
		m.stopped = append(m.stopped, s)
	}
	return true
}

// drained takes a former stream out, and returns whom to wake for it. The caller holds feed.mu.
func (m *Member) drained(s *Subscription) (stopped []*Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.former, s)
	if i < 0 {
		return nil
	}
	m.former = slices.Delete(m.former, i, i+1)
	stopped, m.stopped = m.stopped, nil
	m.bar()
	return stopped
}

// bar notes whether anything may have to wait. The caller holds mu.
func (m *Member) bar() { m.barred.Store(len(m.barriers) > 0 || len(m.former) > 0) }

// isFormer tells whether the place is a former stream of a stored subscriber. The caller holds mu.
func (f *feed) isFormer() bool {
	return f.hub.keep && f.place.Stream == "" && f.place.Name != "" && len(f.subs) > 0
}

// How often the server is asked how far a stored subscriber has come, at first and at last.
const (
	surveyFirst = 20 * time.Millisecond
	surveyLast  = 5 * time.Second
)

// survey asks the server whether the subscription has everything up to a sequence, until it has: its consumer has filters, so that the mark
// which says so to others does not come, and the heartbeat comes late.
func (s *Subscription) survey(r reader.Attached, last uint64) {
	f := s.feed
	for wait := surveyFirst; f.hub.ctx.Err() == nil; wait = min(2*wait, surveyLast) {
		ctx, cancel := context.WithTimeout(f.hub.ctx, attachTimeout)
		pending, after, err := r.Pending(ctx)
		cancel()
		f.mu.Lock()
		if err == nil && pending == 0 && s.source.passed >= after && s.source.reader == r {
			s.source.passed = max(s.source.passed, last)
			s.passBounds()
		}
		over := s.closed || s.past(last)
		f.mu.Unlock()
		if over {
			return
		}
		f.hub.pause(wait)
	}
}
