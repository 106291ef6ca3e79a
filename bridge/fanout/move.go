package fanout

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// audience is all sessions of one tenant. It is told when topics move to other places.
type audience struct {
	// Immutable.
	hub *Hub
	log Log

	// Guarded by hub.mu.
	members map[*Member]struct{}
	holding *tenant.Move // between Hold and Release
}

var _ reader.Mover = (*audience)(nil)

// tenantOf returns the sessions of a tenant. The caller holds mu.
func (h *Hub) tenantOf(log Log) *audience {
	a := h.tenants[log]
	if a == nil {
		a = &audience{hub: h, log: log, members: make(map[*Member]struct{})}
		h.tenants[log] = a
		log.OnMove(a)
	}
	return a
}

// enter takes a session in. The caller holds hub.mu.
func (a *audience) enter(m *Member) {
	a.members[m] = struct{}{}
	if a.holding != nil {
		m.raiseBarrier(*a.holding)
	}
}

// leave takes a session out. The caller holds mu.
func (h *Hub) leave(m *Member) {
	a := h.tenants[m.log]
	if a == nil {
		return // it has left already
	}
	delete(a.members, m)
	if h.keep && len(a.members) == 0 {
		delete(h.tenants, m.log)
	}
}

// Prepare attaches the filters of all sessions to what the rules after the move need besides.
func (a *audience) Prepare(ctx context.Context, move tenant.Move) error {
	for _, sub := range a.subscriptions() {
		sub.need(move)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxOpening)
	for _, w := range a.filters() {
		g.Go(func() error { return w.prepare(ctx, move) })
	}
	return g.Wait()
}

// filters lists those of all sessions.
func (a *audience) filters() (all []*subscribed) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	for m := range a.members {
		for _, w := range m.filters {
			all = append(all, w)
		}
	}
	return all
}

// everybody lists the sessions.
func (a *audience) everybody() (all []*Member) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	for m := range a.members {
		all = append(all, m)
	}
	return all
}

// subscriptions lists those of all sessions, without those to error topics.
func (a *audience) subscriptions() (all []*Subscription) {
	for _, m := range a.everybody() {
		for _, sub := range m.all() {
			if sub.feed.place.Stream != "" {
				all = append(all, sub)
			}
		}
	}
	return all
}

// prepare attaches one filter.
func (w *subscribed) prepare(ctx context.Context, move tenant.Move) error {
	m := w.member
	m.begin()
	var err error
	defer func() { m.end(err) }()
	if to := tenant.Dedicated(w.filter); !filter.HasWildcards(w.filter) && move.Gains(to) {
		w.await()
	}
	places, dedicated := m.log.Places(w.filter)
	err = w.extend(ctx, places, dedicated)
	h := m.hub
	h.mu.Lock()
	gone := m.left || m.filters[w.filter] != w
	subs := append(m.matching(w.filter), w.subs...)
	h.mu.Unlock()
	if gone {
		err = nil
		return nil
	}
	if err == nil {
		tell(subs)
	}
	return err
}

// await notes that the filter's topic is not to be made.
func (w *subscribed) await() {
	w.member.hub.mu.Lock()
	defer w.member.hub.mu.Unlock()
	w.awaits = true
}

func (w *subscribed) waits() bool {
	w.member.hub.mu.Lock()
	defer w.member.hub.mu.Unlock()
	return w.awaits
}

// Hold raises a barrier in every session.
func (a *audience) Hold(move tenant.Move) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	a.holding = &move
	for m := range a.members {
		m.raiseBarrier(move)
	}
}

// Release says where the barriers stand, and lets what is left of the former places drain.
func (a *audience) Release(move tenant.Move, last map[tenant.Place]uint64) {
	a.hub.awaitCreated(a.log) // those that move are retired with the others
	moved := a.retire(move)
	for _, sub := range moved {
		sub.member.session.Moved(sub)
	}
	a.countTransient(last)
	a.hub.mu.Lock()
	a.holding = nil
	a.hub.mu.Unlock()
	for _, m := range a.everybody() {
		m.setBarrier(move, last)
	}
	for _, sub := range a.subscriptions() {
		sub.drain(move, last)
	}
}

// retire takes the feeds of dedicated topics that have moved out of the way, and returns their subscriptions.
func (a *audience) retire(move tenant.Move) (moved []*Subscription) {
	h := a.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, f := range h.shared {
		if k.log != a.log || k.place.Stream != tenant.StreamDedicated || !move.Loses(k.place) {
			continue
		}
		delete(h.shared, k)
		f.mu.Lock()
		f.retired = move.Revision
		moved = append(moved, f.subs...)
		f.mu.Unlock()
	}
	return moved
}

// countTransient adds how many messages have come at transient places: that is what sequences are there.
func (a *audience) countTransient(last map[tenant.Place]uint64) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	for k, f := range a.hub.shared {
		if k.log == a.log && k.place.Stream == tenant.StreamTransient {
			f.mu.Lock()
			last[k.place] = f.source.passed
			f.mu.Unlock()
		}
	}
}

// stream is what a consumer for one subscription is attached to: the place, or the stream that its topic had.
func (f *feed) stream() tenant.Place {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retired != 0 {
		return tenant.Place{Name: f.source.ring.stream}
	}
	return f.place
}

// need takes back that the subscription drains where rules to come have something for it.
func (s *Subscription) need(move tenant.Move) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.feed.retired == 0 && s.wantedBy(move.To) {
		s.draining = false
	}
}

// drain closes the subscription, once everything is acknowledged, where the new rules have nothing more for it.
func (s *Subscription) drain(move tenant.Move, last map[tenant.Place]uint64) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.draining || s.closed || s.feed.retired == 0 && s.wantedBy(move.To) {
		return
	}
	s.draining, s.until = true, last[s.feed.place]
	s.finish()
}

// wantedBy tells whether messages come for the subscription by a list of rules. The caller holds feed.mu.
func (s *Subscription) wantedBy(policies tenant.Policies) bool {
	place := s.feed.place
	if s.topics == nil {
		return policies.Place(place.Name) == place
	}
	for _, name := range s.topics.names() {
		places, _ := policies.Places(name)
		for _, p := range places {
			if p == place {
				return true
			}
		}
	}
	return false
}

// finish has the subscription closed if it has drained. The caller holds feed.mu.
func (s *Subscription) finish() {
	if !s.drained() || s.ending {
		return
	}
	s.ending = true
	s.feed.hub.work.Go(func() { s.feed.hub.finish(s) })
}

// drained tells that nothing comes any more and everything is acknowledged.
func (s *Subscription) drained() bool {
	return s.draining && !s.closed && len(s.bounds) == 0 && s.window.oldest() == nil && s.past(s.until) && s.head() >= s.source.ring.next
}

// finish closes a subscription that has drained, unless it is needed again.
func (h *Hub) finish(s *Subscription) {
	m := s.member
	h.mu.Lock()
	s.feed.mu.Lock()
	over := s.drained()
	s.ending = false
	if over {
		for _, w := range m.filters {
			w.forget(s)
		}
		s.close()
	}
	s.feed.mu.Unlock()
	h.mu.Unlock()
	if over {
		m.session.Ended(s)
	}
}

// forget takes a subscription out of those of the filter. The caller holds hub.mu.
func (w *subscribed) forget(s *Subscription) {
	var rest []*Subscription
	for _, sub := range w.subs {
		if sub != s {
			rest = append(rest, sub)
		}
	}
	w.subs = rest
}
