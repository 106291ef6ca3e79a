package fanout

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/tenant"
)

// subscribed is one topic filter of one session.
type subscribed struct {
	// Immutable.
	member *Member
	filter string

	// Guarded by hub.mu.
	hold      bool
	watching  bool // it is in the index of those that match dedicated topics
	awaits    bool // its topic is about to become a dedicated one, and is made by whoever publishes first
	announced bool // to the log
	// settled: Subscribe has returned. Before that a topic that matches may be one that existed.
	settled bool
	subs    []*Subscription // at places of many topics
}

// subscribe notes a filter of a session.
func (h *Hub) subscribe(m *Member, name string, hold bool) (*subscribed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || m.left {
		return nil, errClosed
	}
	w := &subscribed{member: m, filter: name, hold: hold}
	if m.filters == nil {
		m.filters = make(map[string]*subscribed)
	}
	m.filters[name] = w
	if hold {
		w.raise()
	}
	return w, nil
}

// extend attaches a filter to the places where it is not, and to the dedicated topics if it is not watched.
func (w *subscribed) extend(ctx context.Context, places []tenant.Place, dedicated bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxOpening)
	for _, p := range places {
		g.Go(func() error { return w.attach(ctx, p) })
	}
	if dedicated {
		g.Go(func() error { return w.watch(ctx) })
	}
	return g.Wait()
}

// attach attaches a filter to a place of many topics.
func (w *subscribed) attach(ctx context.Context, p tenant.Place) error {
	h, m := w.member.hub, w.member
	hold, there := h.attached(w, p)
	if there {
		return nil
	}
	sub, err := m.include(ctx, p, w.filter, hold)
	if err != nil {
		return err
	}
	h.mu.Lock()
	wanted := m.filters[w.filter] == w
	if wanted {
		w.subs = append(w.subs, sub)
		if w.hold {
			sub.Hold()
		}
	}
	h.mu.Unlock()
	if !wanted {
		m.exclude(sub, w.filter)
		return errClosed
	}
	return nil
}

// include puts a filter into force at a place of many topics.
func (m *Member) include(ctx context.Context, p tenant.Place, name string, hold bool) (*Subscription, error) {
	for {
		sub, f, first, err := m.join(ctx, p, name, false)
		if err != nil {
			return nil, err
		}
		// One that has drained may be closed meanwhile: there is another one then, unless the session has left.
		if err = f.include(ctx, sub, name, hold, first); !errors.Is(err, errClosed) {
			return sub, err
		}
	}
}

// attached tells whether a filter has a subscription to a place, and whether it holds.
func (h *Hub) attached(w *subscribed, p tenant.Place) (hold, there bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.hold, slices.ContainsFunc(w.subs, func(sub *Subscription) bool { return sub.Place() == p })
}

// raise lets the subscriptions that there are hold. The caller holds hub.mu.
func (w *subscribed) raise() {
	for _, sub := range w.member.matching(w.filter) {
		sub.Hold()
	}
	for _, sub := range w.subs {
		sub.Hold()
	}
}

// settle notes that a filter has all topics that existed, and returns the subscriptions to them.
func (h *Hub) settle(w *subscribed) (open []*Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.settled = true
	for _, sub := range w.member.matching(w.filter) {
		if sub.settle() == nil && sub.ready() {
			open = append(open, sub)
		}
	}
	return append(open, w.subs...)
}
