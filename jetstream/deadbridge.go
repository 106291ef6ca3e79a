package jetstream

import (
	"context"
	"errors"
	"maps"
	"slices"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream/naming"
)

// cleanUpWidth is how many streams of a tenant are looked at at a time after a bridge has died. Until its consumers are
// gone they hold messages for nobody, and with a server that is not on the same machine the time goes into waiting.
const cleanUpWidth = 16

// cleanUpAfter deletes the claims and consumers that a dead bridge left in any tenant.
func (s *Store) cleanUpAfter(ctx context.Context, bridge string) error {
	names := s.tenants.names()
	for _, l := range s.open() {
		names[l.tenant] = true
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(names)) {
		l, err := s.Tenant(ctx, name)
		if err == nil {
			err = l.cleanUpAfter(ctx, bridge)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// cleanUpAfter reports the first consumer that could not be deleted, and deletes all others. The filters go first, and what is
// being created then is waited for: its creator may have seen them.
func (l *Log) cleanUpAfter(ctx context.Context, bridge string) error {
	err := l.register.settle(ctx)
	if err == nil {
		err = errors.Join(l.filters.endOf(ctx, bridge), l.rules.endOf(ctx, bridge))
	}
	if err == nil {
		err = l.register.settle(ctx)
	}
	if err != nil {
		return err
	}
	released := l.sessions.releaseOf(ctx, bridge)
	deleted := l.deleteConsumersOf(ctx, bridge)
	l.limitsChanged() // the dead bridge may not have come to bring its last topics to them
	return errors.Join(released, deleted)
}

// deleteConsumersOf deletes the consumers of a bridge, or of a subscriber, in all streams of the tenant. It waits for those that are being made.
func (l *Log) deleteConsumersOf(ctx context.Context, owner string) error {
	parkedStreams, err := l.parkedStreams(ctx)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(cleanUpWidth)
	g.Go(func() error { return l.deleteConsumers(ctx, l.names.errors, owner) })
	for _, s := range l.currentRouting().shared {
		if s != nil {
			g.Go(func() error { return l.deleteConsumers(ctx, s.stream, owner) })
		}
	}
	for _, info := range parkedStreams {
		g.Go(func() error { return l.deleteConsumers(ctx, info.Config.Name, owner) })
	}
	for _, t := range l.register.all() {
		g.Go(func() error {
			if _, err := l.there(ctx, t); err != nil {
				return err
			}
			e, _, _ := t.look()
			if !e.Live {
				return nil
			}
			return l.deleteConsumers(ctx, naming.Stream(l.tenant, t.name, generation(e)), owner)
		})
	}
	return g.Wait()
}

// leaveAll ends the filters of this bridge and deletes the consumers that were made for it and that nobody has adopted.
func (l *Log) leaveAll(ctx context.Context) error {
	bridge := l.store.config.Bridge
	if !l.filters.has(bridge) {
		return nil
	}
	if err := l.filters.endOf(ctx, bridge); err != nil {
		return err
	}
	var unwanted []*Topic
	for _, t := range l.register.all() {
		if _, err := l.there(ctx, t); err != nil {
			return err
		}
		if _, _, ok := t.offered(); ok {
			unwanted = append(unwanted, t)
		}
	}
	l.discardAll(ctx, unwanted, cleanUpWidth)
	return nil
}

func (l *Log) deleteConsumers(ctx context.Context, stream, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := l.link.js.Stream(ctx, stream)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.CachedInfo().State.Consumers == 0 && l.store.config.Replicas == 1 {
		return nil
	}
	names, err := consumerNames(ctx, s)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if !ownedBy(owner, name) {
			continue
		}
		if err := s.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, natsjs.ErrConsumerNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// consumerNames lists the consumers of a stream.
func consumerNames(ctx context.Context, stream natsjs.Stream) (all []string, err error) {
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
		return nil, err
	}
	return all, nil
}
