package fanout

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/filter/index"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

const (
	// maxOpening is how many topics of one filter, or of those created in a tenant, are attached at a time. The server makes one
	// consumer after the other; more requests at once only wait there.
	maxOpening = 4
	// openRetry is the wait after a created topic could not be attached.
	openRetry = time.Second
	// openPatience is how long the end of a move waits for topics that were created before it and are not attached yet.
	openPatience = 5 * time.Second
)

// watched are the filters of one tenant's sessions, and its created topics that are to be attached; guarded by hub.mu.
type watched struct {
	index   index.Index[*subscribed]
	watches int
	created []string      // in the order told; bounded by the topics that there are
	workers int           // goroutines that attach them
	idle    chan struct{} // closed when there are none, and replaced; nil: nobody waits for that
}

// watch subscribes to every dedicated topic that the filter matches, those that exist and those to come.
func (w *subscribed) watch(ctx context.Context) error {
	m := w.member
	hold, err := m.hub.watch(w)
	if err != nil {
		return err
	}
	if !filter.HasWildcards(w.filter) && !w.waits() {
		err := m.attach(ctx, w.filter, hold)
		if !errors.Is(err, reader.ErrMoved) {
			return err
		}
		w.await() // it is not made before the topics have moved
		if _, err = m.hub.watch(w); err != nil {
			return err
		}
	}
	topics, err := m.log.Watch(ctx, w.filter)
	if err != nil {
		return err
	}
	if !m.hub.announced(w) {
		m.log.Unwatch(w.filter)
		return nil
	}
	return m.attachAll(ctx, topics, hold)
}

// announced notes that the log knows a filter. It reports false where that is one time too many.
func (h *Hub) announced(w *subscribed) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.announced || w.member.filters[w.filter] != w {
		return false
	}
	w.announced = true
	return true
}

// attachAll subscribes to topics.
func (m *Member) attachAll(ctx context.Context, topics []string, hold bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxOpening)
	for _, topic := range topics {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := m.attach(ctx, topic, hold); !errors.Is(err, reader.ErrMoved) {
				return err
			}
			return nil
		})
	}
	return g.Wait()
}

// watch puts a filter with wildcards into the index, and tells whether it holds. Feeds whose readers are not open yet may be of topics that are being created now: they
// get a subscription at once.
func (h *Hub) watch(w *subscribed) (hold bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := w.member
	if h.closed || m.filters[w.filter] != w {
		return false, errClosed
	}
	if !filter.HasWildcards(w.filter) && !w.awaits || w.watching {
		return w.hold, nil
	}
	all := h.watched[m.log]
	if all == nil {
		all = new(watched)
		h.watched[m.log] = all
		m.log.OnCreated(func(topic string) { h.created(m.log, topic) })
	}
	w.watching = true
	all.index.Add(w.filter, w)
	all.watches++
	for f := range h.opening {
		if f.log == m.log && f.matches(w.filter) {
			f.add(m, w.hold, true, true)
		}
	}
	return w.hold, nil
}

// unwatch takes a filter out of the index, if it is there. The caller holds mu.
func (h *Hub) unwatch(w *subscribed) {
	if !w.watching {
		return
	}
	log := w.member.log
	all := h.watched[log]
	all.index.Remove(w.filter, w)
	if all.watches--; all.watches == 0 && all.workers == 0 {
		delete(h.watched, log)
	}
}

// matching are the watches of a topic. The caller holds mu.
func (h *Hub) matching(k key) []*subscribed {
	if all := h.watched[k.log]; all != nil && k.place.Stream == tenant.StreamDedicated {
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
	if all.workers--; all.workers == 0 {
		if all.idle != nil {
			close(all.idle)
			all.idle = nil
		}
		if all.watches == 0 {
			delete(h.watched, log)
		}
	}
	h.mu.Unlock()
}

// awaitCreated returns when the topics that were told of are attached, or after some time.
func (h *Hub) awaitCreated(log Log) {
	h.mu.Lock()
	all := h.watched[log]
	if all == nil || all.workers == 0 {
		h.mu.Unlock()
		return
	}
	if all.idle == nil {
		all.idle = make(chan struct{})
	}
	idle := all.idle
	h.mu.Unlock()
	timer := time.NewTimer(openPatience)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	case <-h.ctx.Done():
	}
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
		if errors.Is(err, reader.ErrMoved) {
			return false // with nothing that is for this bridge
		}
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
