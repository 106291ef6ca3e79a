package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream"
)

const (
	// opensAtOnce bounds the tenants whose message logs are opened at the same time.
	opensAtOnce = 8
	// openRetry is when those that could not be opened are tried again.
	openRetry = 5 * time.Second
)

// opening opens the message logs of tenants before anybody connects: native services ask for topics, and idle topics are removed,
// with or without devices.
type opening struct {
	store *jetstream.Store
	wake  chan struct{} // holds one token while names were added; never closed

	mu    sync.Mutex
	names map[string]struct{} // still to be opened
}

func newOpening(store *jetstream.Store) *opening {
	return &opening{store: store, wake: make(chan struct{}, 1), names: map[string]struct{}{}}
}

// add asks for tenants to be opened, and forgets others.
func (o *opening) add(names, others []string) {
	o.mu.Lock()
	for _, name := range others {
		delete(o.names, name)
	}
	for _, name := range names {
		o.names[name] = struct{}{}
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// pass tries to open everything that was added. The store logs what fails.
func (o *opening) pass(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(opensAtOnce)
	for _, name := range o.left() {
		g.Go(func() error {
			if _, err := o.store.Tenant(ctx, name); err != nil {
				return err
			}
			o.mu.Lock()
			delete(o.names, name)
			o.mu.Unlock()
			return nil
		})
	}
	_ = g.Wait() // what has failed is still among the names
}

func (o *opening) left() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := make([]string, 0, len(o.names))
	for name := range o.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// run opens what is added until ctx ends.
func (o *opening) run(ctx context.Context) {
	for {
		o.pass(ctx)
		var retry <-chan time.Time
		if len(o.left()) > 0 {
			retry = time.After(openRetry)
		}
		select {
		case <-o.wake:
		case <-retry:
		case <-ctx.Done():
			return
		}
	}
}
