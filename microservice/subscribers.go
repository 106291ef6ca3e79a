package microservice

import (
	"context"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/reason"
)

// subscriberKey tells subscribers apart. What is kept for one and what is not are two things.
type subscriberKey struct {
	tenant, subscriber, subscription string
	volatile                         bool
}

func (g *Grant) key() subscriberKey {
	return subscriberKey{g.Tenant, g.Subscriber, g.Subscription, g.Volatile}
}

// join makes a connection one of its subscriber's, and opens the subscriber where there is none. Where the two do not share, the connections that are there
// are pinged: if one of them answers, the new one is refused, else they are replaced.
func (s *sockets) join(ctx context.Context, c *consumer) error {
	for {
		sub, first := s.find(c.grant)
		if first {
			return sub.begin(ctx, c)
		}
		select {
		case <-sub.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		entered, err := sub.enter(ctx, c)
		if entered || err != nil {
			return err
		}
		select { // it is about to go, and another one may be opened then
		case <-sub.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// find returns the subscriber of a grant, or a new one, which the caller opens.
func (s *sockets) find(g Grant) (sub *subscriber, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := g.key()
	if sub = s.subscribers[k]; sub != nil {
		return sub, false
	}
	sub = s.newSubscriber(k, g)
	s.subscribers[k] = sub
	return sub, true
}

// forget takes a subscriber out that is closed.
func (s *sockets) forget(sub *subscriber) {
	s.mu.Lock()
	delete(s.subscribers, sub.key)
	s.mu.Unlock()
	close(sub.gone)
}

// begin opens the subscriber for its first connection.
func (sub *subscriber) begin(ctx context.Context, c *consumer) error {
	opened := false
	defer func() {
		if !opened {
			sub.closing = true // nobody looks before ready is closed
			close(sub.ready)
			sub.close()
		}
	}()
	if err := sub.open(ctx); err != nil {
		return err
	}
	sub.mu.Lock()
	sub.add(c)
	sub.mu.Unlock()
	opened = true
	close(sub.ready)
	return nil
}

// add makes a connection one of the subscriber's. The caller holds mu.
func (sub *subscriber) add(c *consumer) {
	c.sub = sub
	sub.conns = append(sub.conns, c)
	c.signal() // there may be something for it already
}

// enter makes a further connection one of the subscriber's. Without an error and without entered the subscriber is about to go.
func (sub *subscriber) enter(ctx context.Context, c *consumer) (entered bool, err error) {
	sub.mu.Lock()
	if sub.closing {
		sub.mu.Unlock()
		return false, nil
	}
	sub.awaited++ // it stays when the holders go, with what they have not acknowledged
	for err == nil && !entered {
		holders := sub.against(c)
		if len(holders) == 0 {
			sub.add(c)
			entered = true
			break
		}
		sub.mu.Unlock()
		err = replace(ctx, holders)
		sub.mu.Lock()
	}
	sub.awaited--
	last := sub.settle()
	sub.mu.Unlock()
	if last {
		sub.close()
	}
	return entered, err
}

// against are the connections beside which another one cannot be. The caller holds mu.
func (sub *subscriber) against(c *consumer) []*consumer {
	if c.grant.Shared && !slices.ContainsFunc(sub.conns, func(h *consumer) bool { return !h.grant.Shared }) {
		return nil
	}
	return slices.Clone(sub.conns)
}

// replace ends connections that do not answer a ping. The error is subscriber_in_use where one answers.
func replace(ctx context.Context, holders []*consumer) error {
	var there atomic.Bool
	var g errgroup.Group
	for _, h := range holders {
		g.Go(func() error {
			if h.responds(ctx) {
				there.Store(true)
			}
			return nil
		})
	}
	_ = g.Wait() // it has no error
	switch {
	case there.Load():
		return reason.New(reason.SubscriberInUse, "another connection of the subscriber is open")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	for _, h := range holders {
		h.end(endFor(reason.TakenOver, ""))
		h.close()
	}
	return nil
}

// revoked ends all connections: another bridge has the subscriber.
func (sub *subscriber) revoked() {
	<-sub.ready
	for _, h := range sub.connections() {
		h.end(endFor(reason.TakenOver, ""))
		h.close()
	}
	<-sub.gone
}

func (sub *subscriber) connections() []*consumer {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	return slices.Clone(sub.conns)
}

// remove removes a subscriber with all that is kept for it. Its connections end before.
func (s *sockets) remove(ctx context.Context, g Grant) error {
	for {
		sub, first := s.find(g)
		if first { // nobody takes its place meanwhile
			defer s.forget(sub)
			sub.closing = true
			close(sub.ready)
			return s.Unsubscribe(ctx, g)
		}
		select {
		case <-sub.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, h := range sub.connections() {
			h.end(endFor(reason.Unsubscribed, ""))
			h.close()
		}
		select {
		case <-sub.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
