package fanout

import (
	"sync"
	"time"

	"github.com/weirmq/weir/tenant"
)

// holdEvery is how often the hub looks for changed rules, and tells sessions what they have lost by their bounds.
const holdEvery = time.Second

// ruled is one log with feeds; guarded by Hub.mu.
type ruled struct {
	feeds    int
	revision uint64 // of its rules, when the feeds last looked at them
}

// overflows are the messages that were let go and not told yet.
type overflows struct {
	mu sync.Mutex // a leaf
	of map[*Member]overflow
}

type overflow struct {
	messages uint64
	place    tenant.Place // of the newest
}

// overflowed counts messages that a subscription will not get.
func (h *Hub) overflowed(sub *Subscription, n uint64) {
	h.metrics.overflow(n)
	o := &h.overflows
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[*Member]overflow)
	}
	o.of[sub.member] = overflow{o.of[sub.member].messages + n, sub.feed.place}
}

// keepBounds follows the rules and tells sessions what was let go, until the hub is closed.
func (h *Hub) keepBounds() {
	tick := time.NewTicker(holdEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.ctx.Done():
			return
		}
		for _, f := range h.outdated() {
			f.bind()
		}
		if h.starving.Load() > 0 {
			for _, s := range h.sources() {
				s.feed.mu.Lock()
				s.expel()
				s.feed.mu.Unlock()
			}
		}
		o := &h.overflows
		o.mu.Lock()
		all := o.of
		o.of = nil
		o.mu.Unlock()
		for m, one := range all {
			m.session.Overflowed(one.place, one.messages)
		}
	}
}

// tellOverflow tells a session that ends the rest.
func (m *Member) tellOverflow() {
	o := &m.hub.overflows
	o.mu.Lock()
	one := o.of[m]
	delete(o.of, m)
	o.mu.Unlock()
	if one.messages > 0 {
		m.session.Overflowed(one.place, one.messages)
	}
}

// outdated lists the feeds whose log has other rules than when they were last looked at.
func (h *Hub) outdated() (feeds []*feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := make(map[Log]bool)
	for log, x := range h.ruled {
		if now := log.Revision(); now != x.revision {
			x.revision, changed[log] = now, true
		}
	}
	if len(changed) == 0 {
		return nil
	}
	for f := range h.feeds {
		if changed[f.log] && f.holdable() {
			feeds = append(feeds, f)
		}
	}
	return feeds
}

// rule gives a new feed its bounds. The caller holds mu.
func (h *Hub) rule(f *feed) {
	x := h.ruled[f.log]
	if x == nil {
		x = &ruled{revision: f.log.Revision()}
		h.ruled[f.log] = x
	}
	x.feeds++
	if !f.holdable() {
		return
	}
	if messages, bytes, ok := f.log.Hold(f.place); ok {
		f.bounds = bounds{messages, bytes}
	}
}

// unrule forgets a feed. The caller holds mu.
func (h *Hub) unrule(f *feed) {
	if x := h.ruled[f.log]; x.feeds > 1 {
		x.feeds--
		return
	}
	delete(h.ruled, f.log)
}

// holdable tells whether there may be bounds: it is no error topic, and stores something.
func (f *feed) holdable() bool { return f.place != (tenant.Place{}) && !f.transient }
