package fanout

import (
	"context"
	"sync"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// Session is the receiving end of a Member.
type Session interface {
	// Opened hands over the subscription to a topic that a watched filter matches: before Watch returns, and whenever such a topic is
	// created. It may come again for the same subscription, and for one that is not wanted any more, which it closes. It must not
	// block.
	Opened(s *Subscription)
}

// Member is one session in the hub: its subscriptions, one per topic, and the filters with wildcards for which it gets more.
type Member struct {
	// Immutable.
	hub     *Hub
	log     Log
	session Session

	// Guarded by hub.mu.
	watches map[string]*watch // by filter
	left    bool

	mu   sync.Mutex // taken last
	subs map[*feed]*Subscription
	// pending are the calls of Subscribe and Watch under way; failed tells that one of them has left something behind.
	pending int
	failed  bool
}

// Join makes a session a member. Leave ends it.
func (h *Hub) Join(log Log, s Session) *Member { return &Member{hub: h, log: log, session: s} }

// Subscribe returns once the topic's consumer exists: every message stored from then on is seen by Next, none stored
// before unless a watched filter wants it. hold tells whether messages wait for this session's Ack (QoS 1) or pass it by
// (QoS 0). Where the session has a subscription to the topic it is that one; it holds if one of the two wants it.
func (m *Member) Subscribe(ctx context.Context, topic string, hold bool) (sub *Subscription, err error) {
	m.begin()
	defer func() { m.end(err) }()
	return m.attach(ctx, topic, hold)
}

// attach is Subscribe.
func (m *Member) attach(ctx context.Context, topic string, hold bool) (*Subscription, error) {
	for {
		sub, f, first, err := m.hub.enter(key{m.log, tenant.Dedicated(topic)}, m, hold)
		if err != nil {
			return nil, err
		}
		if sub == nil { // its last subscription has just left; the next feed begins when this one has ended
			select {
			case <-f.ended:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if err := f.wait(ctx); err != nil {
			return nil, err
		}
		if sub.begun() || first && !f.adopted {
			return sub, sub.settle()
		}
		// The consumer may be older than this subscription, and so may be what it has yet to deliver.
		after, err := f.lastSequence(ctx)
		if err != nil {
			return nil, err
		}
		f.begin(sub, after)
		return sub, sub.settle()
	}
}

// SubscribeErrors subscribes to the error topic of one client identifier and user, with what was kept of its previous
// connections, or with clientID "" to the whole tenant's. It shares its reader with nobody.
func (m *Member) SubscribeErrors(ctx context.Context, clientID, user string, hold bool) (sub *Subscription, err error) {
	m.begin()
	defer func() { m.end(err) }()
	h := m.hub
	h.mu.Lock()
	if h.closed || m.left {
		h.mu.Unlock()
		return nil, errClosed
	}
	f := h.newFeed(tenant.Place{}, m.log)
	h.feeds[f] = struct{}{}
	sub = f.add(m, hold, true, false)
	h.work.Go(func() {
		f.attach(func(ctx context.Context) (reader.Attached, error) {
			return m.log.AttachErrors(ctx, clientID, user, &f.source)
		})
	})
	h.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	return sub, sub.settle()
}

// Leave closes the session's subscriptions and takes its filters back. Nothing more is opened.
func (m *Member) Leave() {
	m.hub.mu.Lock()
	m.left = true
	watches := m.watches
	m.watches = nil
	for _, w := range watches {
		m.hub.unwatch(w)
	}
	m.hub.mu.Unlock()
	for _, w := range watches {
		w.takeBack()
	}
	for _, sub := range m.all() {
		sub.Close()
	}
}

// begin and end stand around what makes subscriptions. What a call that failed has left behind is closed when none is
// under way that may want it.
func (m *Member) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending++
}

func (m *Member) end(err error) {
	m.mu.Lock()
	m.pending--
	m.failed = m.failed || err != nil
	over := m.pending == 0 && m.failed
	if over {
		m.failed = false
	}
	m.mu.Unlock()
	if !over {
		return
	}
	for _, sub := range m.all() {
		sub.giveUp()
	}
}

// all lists the subscriptions.
func (m *Member) all() []*Subscription {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*Subscription, 0, len(m.subs))
	for _, sub := range m.subs {
		all = append(all, sub)
	}
	return all
}

// matching lists the subscriptions whose topics a filter with wildcards matches.
func (m *Member) matching(name string) (all []*Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f, sub := range m.subs {
		if f.matches(name) {
			all = append(all, sub)
		}
	}
	return all
}

func (m *Member) find(f *feed) *Subscription {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.subs[f]
}

func (m *Member) put(sub *Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.subs == nil {
		m.subs = make(map[*feed]*Subscription)
	}
	m.subs[sub.feed] = sub
}

func (m *Member) remove(sub *Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subs, sub.feed)
}
