package fanout

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/filter/index"
	"github.com/weirmq/weir/tenant"
)

const (
	// maxOpening is how many topics of one filter, or of those created in a tenant, are attached at a time. The server makes one
	// consumer after the other; more requests at once only wait there.
	maxOpening = 4
	// openRetry is the wait after a created topic could not be attached.
	openRetry = time.Second
)

// watch is one filter with wildcards of one session.
type watch struct {
	// Immutable.
	member *Member
	filter string

	announced bool // to the log; owned by Watch, then immutable

	// Guarded by hub.mu.
	hold bool
	// settled: Watch has returned. Before that a topic that matches may be one that existed.
	settled bool
}

// watched are the filters of one tenant's sessions, and its created topics that are to be attached; guarded by hub.mu.
type watched struct {
	index   index.Index[*watch]
	watches int
	created []string // in the order told; bounded by the topics that there are
	workers int      // goroutines that attach them
}

// Watch opens a subscription to every topic that matches the filter, those that exist and those to come, and returns when
// the ones that exist are handed to the session: every message stored from then on is seen. Of a topic created later all
// messages are.
func (m *Member) Watch(ctx context.Context, name string, hold bool) (err error) {
	m.begin()
	defer func() { m.end(err) }()
	w, err := m.hub.watch(m, name, hold)
	if err != nil {
		return err
	}
	topics, err := m.log.Watch(ctx, name)
	if err == nil {
		w.announced = true
		err = m.attachAll(ctx, topics, hold)
	}
	if err != nil {
		m.Unwatch(name)
		return err
	}
	tell(m.hub.settle(w))
	return nil
}

// attachAll subscribes to topics.
func (m *Member) attachAll(ctx context.Context, topics []string, hold bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range min(maxOpening, len(topics)) {
		workers.Go(func() {
			for {
				mu.Lock()
				if len(topics) == 0 || ctx.Err() != nil {
					mu.Unlock()
					return
				}
				topic := topics[0]
				topics = topics[1:]
				mu.Unlock()
				if _, err := m.attach(ctx, topic, hold); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// Unwatch takes a filter back. The subscriptions that it opened stay until they are closed.
func (m *Member) Unwatch(name string) {
	m.hub.mu.Lock()
	w := m.watches[name]
	if w != nil {
		delete(m.watches, name)
		m.hub.unwatch(w)
	}
	m.hub.mu.Unlock()
	if w != nil {
		w.takeBack()
	}
}

// Hold lets the messages of all topics that a watched filter matches wait for Ack from now on.
func (m *Member) Hold(name string) {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	if w := m.watches[name]; w != nil && !w.hold {
		w.hold = true
		w.raise()
	}
}

// watch puts a filter into the index. Feeds whose readers are not open yet may be of topics that are being created now: they
// get a subscription at once.
func (h *Hub) watch(m *Member, name string, hold bool) (*watch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || m.left {
		return nil, errClosed
	}
	all := h.watched[m.log]
	if all == nil {
		all = new(watched)
		h.watched[m.log] = all
		m.log.OnCreated(func(topic string) { h.created(m.log, topic) })
	}
	w := &watch{member: m, filter: name, hold: hold}
	if m.watches == nil {
		m.watches = make(map[string]*watch)
	}
	m.watches[name] = w
	all.index.Add(name, w)
	all.watches++
	if hold {
		w.raise()
	}
	for f := range h.opening {
		if f.log == m.log && f.matches(name) {
			f.add(m, hold, true, true)
		}
	}
	return w, nil
}

// raise lets the subscriptions that there are hold. The caller holds hub.mu.
func (w *watch) raise() {
	for _, sub := range w.member.matching(w.filter) {
		sub.Hold()
	}
}

// settle notes that a filter has all topics that existed, and returns the subscriptions to them.
func (h *Hub) settle(w *watch) (open []*Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.settled = true
	for _, sub := range w.member.matching(w.filter) {
		if sub.settle() == nil && sub.ready() {
			open = append(open, sub)
		}
	}
	return open
}

// unwatch takes a filter out of the index. The caller holds mu.
func (h *Hub) unwatch(w *watch) {
	log := w.member.log
	all := h.watched[log]
	all.index.Remove(w.filter, w)
	if all.watches--; all.watches == 0 && all.workers == 0 {
		delete(h.watched, log)
	}
}

// takeBack tells the log that a filter was taken back.
func (w *watch) takeBack() {
	if w.announced {
		w.member.log.Unwatch(w.filter)
	}
}

// matching are the watches of a topic. The caller holds mu.
func (h *Hub) matching(k key) []*watch {
	if all := h.watched[k.log]; all != nil {
		return all.index.Match(nil, k.place.Name)
	}
	return nil
}

// created is told of a topic that was created while somebody watched a filter that matches.
func (h *Hub) created(log Log, topic string) {
	h.mu.Lock()
	all := h.watched[log]
	if h.closed || all == nil {
		h.mu.Unlock()
		log.Release(topic)
		return
	}
	all.created = append(all.created, topic)
	if all.workers < maxOpening {
		all.workers++
		h.work.Go(func() { h.openCreated(log, all) })
	}
	h.mu.Unlock()
}

// openCreated attaches created topics until there are no more.
func (h *Hub) openCreated(log Log, all *watched) {
	h.mu.Lock()
	for len(all.created) > 0 && !h.closed {
		topic := all.created[0]
		all.created = all.created[1:]
		h.mu.Unlock()
		again := h.openOne(key{log, tenant.Dedicated(topic)})
		if again {
			h.pause(openRetry)
		}
		h.mu.Lock()
		if again {
			all.created = append(all.created, topic)
		}
	}
	if all.workers--; all.workers == 0 && all.watches == 0 {
		delete(h.watched, log)
	}
	h.mu.Unlock()
}

// openOne makes the feed of a created topic, or gives the topic back where nobody wants it any more. It reports whether it
// has to be tried again.
func (h *Hub) openOne(k key) (again bool) {
	h.mu.Lock()
	f := h.shared[k]
	if f == nil {
		watches := h.matching(k)
		if h.closed || len(watches) == 0 {
			h.mu.Unlock()
			k.log.Release(k.place.Name)
			return false
		}
		f = h.make(k, watches)
		h.open(k, f)
	}
	h.mu.Unlock()
	if err := f.wait(h.ctx); err != nil {
		h.log.Warn("fanout: a created topic cannot be attached", zap.String("topic", k.place.Name), zap.Error(err))
		return h.ctx.Err() == nil
	}
	if f.leaving() {
		// Its last subscription has left. The consumer goes with it, but somebody may watch the topic meanwhile.
		select {
		case <-f.ended:
			return h.openOne(k)
		case <-h.ctx.Done():
		}
	}
	return false
}

// pause waits for a moment, or for the end of the hub.
func (h *Hub) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.ctx.Done():
	}
}
