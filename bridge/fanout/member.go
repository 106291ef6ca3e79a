package fanout

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// Session is the receiving end of a Member.
type Session interface {
	// Opened hands over a subscription to a place with topics that a filter of the session matches: before Subscribe returns, and whenever
	// there is a further one. It may come again for the same subscription, also for one that is Former, and for one that is not wanted any
	// more, which it closes. It must not block.
	Opened(s *Subscription)
	// Moved tells that a subscription to a dedicated topic is Former, which may be before it is Opened. There may be another one to the
	// same place from now on. It must not block.
	Moved(s *Subscription)
	// Ended tells that a subscription is closed because nothing comes for it any more and all of it is acknowledged. It must not block.
	Ended(s *Subscription)
	// Overflowed tells that so many messages were acknowledged on the session's behalf and will not come, because it holds as much as it
	// may: at most once a second, and once more when it leaves. The newest of them was at a place. It must not block.
	Overflowed(place tenant.Place, messages uint64)
}

// Member is one session in the hub: its topic filters, and its subscriptions, one per place.
type Member struct {
	// Immutable.
	hub     *Hub
	log     Log
	session Session

	// Guarded by hub.mu.
	filters map[string]*subscribed // by name; without those of error topics
	left    bool

	barred atomic.Bool // there are barriers, or former streams

	mu       sync.Mutex // taken last
	subs     map[*feed]*Subscription
	barriers []*barrier // of moves, in their order; each goes when it is passed
	// former are what a stored subscriber has to take before everything else; stopped are those that wait for it.
	former, stopped []*Subscription
	resumed         bool // they are known; owned by Subscribe
	// pending are the calls of Subscribe under way; failed tells that one of them has left something behind.
	pending int
	failed  bool
}

// Join makes a session a member. Leave ends it.
func (h *Hub) Join(log Log, s Session) *Member {
	m := &Member{hub: h, log: log, session: s}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tenantOf(log).enter(m)
	return m
}

// Subscribe puts a topic filter into force. When it returns, the session has been handed a subscription to each place that there is with
// topics which the filter matches, and every message stored from then on is seen by Next; of those stored before only what another filter
// wants. Of a dedicated topic that is created later all messages are seen. hold tells whether messages wait for this session's Ack (QoS
// 1) or pass it by (QoS 0); a subscription holds if one of its filters does. What is not stored never waits.
func (m *Member) Subscribe(ctx context.Context, name string, hold bool) (err error) {
	m.begin()
	defer func() { m.end(err) }()
	if log, ok := m.log.(returning); ok {
		defer log.Returned()
		if err := m.resume(ctx, log); err != nil {
			return err
		}
	}
	w, err := m.hub.subscribe(m, name, hold)
	if err != nil {
		return err
	}
	places, dedicated := m.log.Places(name)
	if err := w.extend(ctx, places, dedicated); err != nil {
		m.Unsubscribe(name)
		return err
	}
	tell(m.hub.settle(w))
	return nil
}

// Unsubscribe takes a filter back. The subscriptions to dedicated topics stay until they are closed, and so do those to other places as
// long as the session has another filter there. It does not block.
func (m *Member) Unsubscribe(name string) {
	m.hub.mu.Lock()
	w := m.filters[name]
	if w == nil {
		m.hub.mu.Unlock()
		return
	}
	delete(m.filters, name)
	m.hub.unwatch(w)
	announced := w.announced
	m.hub.mu.Unlock()
	if announced {
		m.log.Unwatch(name)
	}
	for _, sub := range w.subs { // nobody changes them any more
		m.exclude(sub, name)
	}
}

// exclude takes a filter from a subscription to a place of many topics, which is closed with the last one.
func (m *Member) exclude(sub *Subscription, name string) {
	m.begin()
	var err error
	if sub.exclude(name) {
		err = errClosed // for who subscribes to another filter there at the moment
	}
	m.end(err)
}

// Hold lets the messages of all topics that a filter matches wait for Ack from now on.
func (m *Member) Hold(name string) {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	if w := m.filters[name]; w != nil && !w.hold {
		w.hold = true
		w.raise()
	}
}

// attach subscribes to a dedicated topic.
func (m *Member) attach(ctx context.Context, topic string, hold bool) error {
	sub, f, first, err := m.join(ctx, tenant.Dedicated(topic), "", hold)
	if err != nil {
		return err
	}
	if sub.begun() || first && !f.adopted || m.hub.keep {
		return sub.settle() // what is kept begins where its consumer does, whoever opened the reader
	}
	// The consumer may be older than this subscription, and so may be what it has yet to deliver.
	after, err := f.lastSequence(ctx)
	if err != nil {
		return err
	}
	f.begin(sub, after)
	return sub.settle()
}

// join returns the subscription to a place, for a filter where there are many topics, and whether the reader was opened for it. The reader is
// open.
func (m *Member) join(ctx context.Context, p tenant.Place, name string, hold bool) (sub *Subscription, f *feed, first bool, err error) {
	for {
		sub, f, first, err = m.hub.enter(key{m.log, p}, m, name, hold)
		if err != nil {
			return nil, nil, false, err
		}
		if sub != nil {
			return sub, f, first, f.wait(ctx)
		}
		select { // its last subscription has just left; the next feed begins when this one has ended
		case <-f.ended:
		case <-ctx.Done():
			return nil, nil, false, ctx.Err()
		}
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
	f, sub := h.makeAlone(m, tenant.Place{}, hold)
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

// makeAlone makes a feed that has one subscription and is shared with nobody. The caller holds mu, and opens it then.
func (h *Hub) makeAlone(m *Member, p tenant.Place, hold bool) (*feed, *Subscription) {
	f := h.newFeed(p, m.log)
	h.rule(f)
	h.feeds[f] = struct{}{}
	return f, f.add(m, hold, true, false)
}

// Leave closes the session's subscriptions and takes its filters back. Nothing more is opened.
func (m *Member) Leave() {
	m.hub.mu.Lock()
	m.left = true
	m.hub.leave(m)
	filters := m.filters
	m.filters = nil
	for _, w := range filters {
		m.hub.unwatch(w)
	}
	m.hub.mu.Unlock()
	for _, w := range filters {
		if w.announced {
			m.log.Unwatch(w.filter)
		}
	}
	for _, sub := range m.all() {
		sub.Close()
	}
	m.tellOverflow()
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
	return slices.Collect(maps.Values(m.subs))
}

// matching lists the subscriptions to dedicated topics that a filter matches. The caller holds hub.mu.
func (m *Member) matching(name string) (all []*Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !filter.HasWildcards(name) {
		if sub := m.subs[m.hub.shared[key{m.log, tenant.Dedicated(name)}]]; sub != nil {
			all = append(all, sub)
		}
		return all
	}
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
