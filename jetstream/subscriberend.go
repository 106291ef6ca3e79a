package jetstream

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// How often subscribers are looked at that may be unused: four times in subscriber_idle, within these bounds.
const (
	minUnusedLook = 500 * time.Millisecond
	maxUnusedLook = 5 * time.Second
)

// keepSubscribers removes subscribers that nobody uses until the store is closed.
func (l *Log) keepSubscribers() {
	for {
		select {
		case <-time.After(min(max(l.Limits().SubscriberIdle/4, minUnusedLook), maxUnusedLook)):
		case <-l.store.ctx.Done():
			return
		}
		if err := l.removeUnused(l.store.ctx); err != nil && l.store.ctx.Err() == nil {
			l.log.Info("subscribers that nobody uses not cleaned up", zap.Error(err))
		}
	}
}

// RemoveSubscriber removes a subscriber with everything that is kept for it. A connection that receives for it is closed first, on whatever
// bridge. It reports whether there was one. Errors are *reason.Error: nats_unavailable.
func (l *Log) RemoveSubscriber(ctx context.Context, key SubscriberKey) (bool, error) {
	removed, err := l.removeSubscriber(ctx, key, nil)
	if err != nil {
		return false, refusal(err, 0)
	}
	return removed, nil
}

func (l *Log) removeSubscriber(ctx context.Context, key SubscriberKey, only *subscriberEntry) (bool, error) {
	claim, err := l.claimSubscriber(ctx, key, func() {})
	if err != nil {
		return false, err
	}
	defer claim.Release(context.WithoutCancel(ctx))
	if err := l.register.settle(ctx); err != nil {
		return false, err
	}
	removed, err := l.subscribers.end(ctx, key.id(), only)
	if err != nil || !removed {
		return false, err
	}
	// What is being created has a creator who may have seen the entry.
	if err := l.register.settle(ctx); err != nil {
		return false, err
	}
	return true, l.deleteConsumersOf(ctx, key.id())
}

// removeUnused removes the subscribers that nobody has used for longer than the tenant allows.
func (l *Log) removeUnused(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	for _, e := range l.subscribers.all() {
		key := e.Value.key()
		switch sub := l.subscribers.servedAs(key.id()); {
		case sub != nil:
			if time.Since(e.Value.Used) > l.Limits().SubscriberIdle/2 {
				if err := l.subscribers.use(ctx, key); err != nil {
					return err
				}
			}
		case time.Since(e.Value.Used) < l.Limits().SubscriberIdle || l.sessions.claimed(subscriberClient(key)):
		case key.native && l.subscribers.consumes(ctx, key):
			if err := l.subscribers.use(ctx, key); err != nil {
				return err
			}
		default:
			if _, err := l.removeSubscriber(ctx, key, &e); err != nil {
				return fmt.Errorf("subscriber %q of %q: %w", key.Name, key.Filter, err)
			}
		}
	}
	return nil
}
