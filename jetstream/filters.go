package jetstream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/filter/index"
	"github.com/weirmq/weir/reason"
)

const (
	// maxFilters is how many different filters one bridge watches for a tenant.
	maxFilters = 100_000
	// filterTombstone is how long the register remembers that a filter has ended: longer than anybody takes to follow.
	filterTombstone = time.Hour
)

// filterRecord is what the register says about one topic filter of one bridge.
type filterRecord struct {
	Version int    `json:"v"`
	Filter  string `json:"filter"`
	Bridge  string `json:"bridge"`
	Ended   bool   `json:"ended,omitempty"`
}

// filters are those of all bridges, as the register says, and those that this bridge watches itself.
type filters struct {
	// immutable
	log     *Log
	restore chan struct{} // holds one token when own records may be missing; never closed
	leave   chan struct{} // holds one token when somebody has left; never closed

	bridges index.Index[string]   // names of bridges, by the filters in the register
	own     index.Index[*watched] // those in use

	mu      sync.Mutex
	watched map[string]*watched // by filter: those in use, and those that are about to go
	used    int                 // how many are in use
	leaving []*watched          // not in use when they were added, in the order of left
}

// watched is one filter of this bridge.
type watched struct {
	filter string
	work   chan struct{} // a slot, held by whoever writes its record

	// guarded by the filters' mu
	uses    int
	left    time.Time // when uses came to 0
	leaving bool      // it is among the leaving
}

func newFilters(l *Log) *filters {
	return &filters{
		log: l, restore: make(chan struct{}, 1), leave: make(chan struct{}, 1), watched: make(map[string]*watched),
	}
}

// change takes what the register says. It runs on the goroutine of the register's copy.
func (f *filters) change(before, after registerEntry) {
	was, is := before.Value.filter, after.Value.filter
	switch {
	case after.Live && !before.Live:
		f.bridges.Add(is.Filter, is.Bridge)
	case before.Live && !after.Live:
		f.bridges.Remove(was.Filter, was.Bridge)
		if was.Bridge == f.log.store.config.Bridge && f.inUse(was.Filter) {
			f.restoreAll() // somebody took this bridge for dead
		}
	}
}

// of returns the bridges with a filter that matches the topic.
func (f *filters) of(topic string) []string {
	bridges := f.bridges.Match(nil, topic)
	slices.Sort(bridges)
	return slices.Compact(bridges)
}

// wants reports whether this bridge watches a filter that matches the topic.
func (f *filters) wants(topic string) bool { return len(f.own.Match(nil, topic)) > 0 }

// any reports whether this bridge watches anything.
func (f *filters) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used > 0
}

func (f *filters) inUse(filter string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.watched[filter]
	return w != nil && w.uses > 0
}

// inUseNow returns those that are in use.
func (f *filters) inUseNow() []*watched {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*watched, 0, f.used)
	for _, w := range f.watched {
		if w.uses > 0 {
			all = append(all, w)
		}
	}
	return all
}

// use counts one more use of a filter.
func (f *filters) use(filter string) (*watched, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.watched[filter]
	if w == nil {
		if len(f.watched) >= maxFilters {
			return nil, reason.New(reason.SubscriptionLimit, fmt.Sprintf("this bridge watches %d filters with wildcards for the tenant", maxFilters))
		}
		w = &watched{filter: filter, work: make(chan struct{}, 1)}
		f.watched[filter] = w
	}
	if w.uses++; w.uses == 1 {
		f.used++
		f.own.Add(filter, w)
	}
	return w, nil
}

// unuse takes one use back.
func (f *filters) unuse(filter string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.watched[filter]
	if w.uses--; w.uses > 0 {
		return
	}
	f.used--
	f.own.Remove(filter, w)
	w.left = time.Now()
	if !w.leaving {
		w.leaving = true
		f.leaving = append(f.leaving, w)
		if len(f.leaving) == 1 {
			signal(f.leave)
		}
	}
}

// announce returns when the register has the record of a filter in use. Who finds it there needs no position of his own: what was
// created since it was written is attached by its creator.
func (f *filters) announce(ctx context.Context, w *watched) error {
	return f.write(ctx, w.filter, f.log.store.config.Bridge, w, true)
}

// write brings the record of a filter to live, or ended. It waits for the own position. w is nil for the filter of another
// bridge.
func (f *filters) write(ctx context.Context, filter, bridge string, w *watched, live bool) error {
	if w != nil {
		select {
		case w.work <- struct{}{}:
			defer func() { <-w.work }()
		case <-ctx.Done():
			return ctx.Err()
		}
		if !live && f.inUse(filter) {
			return nil
		}
	}
	r := f.log.register
	subject := f.log.names.filterSubject(bridge, filter)
	rec := filterRecord{Version: recordVersion, Filter: filter, Bridge: bridge, Ended: !live}
	var ttl time.Duration
	if !live {
		ttl = filterTombstone
	}
	for {
		e := r.copy.Get(subject)
		if e.Live == live {
			return nil
		}
		_, err := r.set(ctx, subject, rec, e, ttl)
		if !conflict(err) {
			return err
		}
		// Somebody else was faster, or an answer was lost. What was written is there when the own position is.
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
}

// endOf ends the filters of a bridge that does not live, or that is about to go.
func (f *filters) endOf(ctx context.Context, bridge string) error {
	var g errgroup.Group
	g.SetLimit(cleanUpWidth)
	for _, e := range f.log.register.copy.Live() {
		if rec := e.Value.filter; rec != nil && rec.Bridge == bridge {
			g.Go(func() error { return f.write(ctx, rec.Filter, bridge, nil, false) })
		}
	}
	return g.Wait()
}

// has reports whether the register has a filter of the bridge.
func (f *filters) has(bridge string) bool {
	for _, e := range f.log.register.copy.Live() {
		if rec := e.Value.filter; rec != nil && rec.Bridge == bridge {
			return true
		}
	}
	return false
}

func (f *filters) restoreAll() { signal(f.restore) }

// signal puts a token into a channel that holds one.
func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
