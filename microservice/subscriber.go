package microservice

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/weirmq/weir/bridge/fifo"

	"go.uber.org/zap"

	"github.com/weirmq/weir/bridge/fanout"
	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// subscriber is one member of a hub, with the connections that share what comes for it. It exists while it has connections.
type subscriber struct {
	// immutable
	owner *sockets
	key   subscriberKey
	grant Grant         // of whoever came first
	ready chan struct{} // closed by whoever came first, when everything is open or has failed
	gone  chan struct{} // closed when everything is closed and another one may take its place

	// set before ready is closed, then immutable
	view    *View
	member  *fanout.Member // nil where opening has failed
	release []func()       // gives back what was opened, the last first

	mu sync.Mutex
	// guarded by mu
	cursors  cursors
	conns    []*consumer
	turn     int // of the connection after the one that got the last message
	awaited  int // connections that are about to come
	closing  bool
	returned fifo.Queue[delivery] // of connections that have ended, the oldest first
	id       uint64               // of the last message
}

// newSubscriber returns one with ids that nobody can have from an earlier one: an acknowledgement that comes too late must not hit another message.
func (s *sockets) newSubscriber(k subscriberKey, g Grant) *subscriber {
	return &subscriber{
		owner: s, key: k, grant: g, ready: make(chan struct{}), gone: make(chan struct{}), id: rand.Uint64() >> 1,
		cursors: cursors{places: map[tenant.Place]*cursor{}},
	}
}

// open brings the subscriber into its hub. Every message that is stored when it has returned is seen, and whatever was kept.
func (sub *subscriber) open(ctx context.Context) error {
	log, err := sub.owner.Log(ctx, sub.grant.Tenant)
	if err != nil {
		return err
	}
	release, err := sub.owner.Claim(ctx, sub.grant, sub.revoked)
	if err != nil {
		return err
	}
	sub.release = append(sub.release, release)
	sub.view = &View{Hub: sub.owner.Hub, Log: log}
	if !sub.grant.isVolatile() {
		if sub.view, err = sub.owner.Durable(ctx, sub.grant); err != nil {
			return err
		}
	}
	if sub.view.Release != nil {
		sub.release = append(sub.release, sub.view.Release)
	}
	if name := sub.grant.Subscription; name != errorTopics && !topicfilter.HasWildcards(name) {
		keep, err := log.KeepTopic(ctx, name)
		if err != nil {
			return err
		}
		sub.release = append(sub.release, keep)
	}
	sub.member = sub.view.Hub.Join(sub.view.Log, sub)
	return sub.subscribe(ctx)
}

func (sub *subscriber) subscribe(ctx context.Context) error {
	if sub.grant.Subscription != errorTopics {
		return sub.member.Subscribe(ctx, sub.grant.Subscription, true)
	}
	src, err := sub.member.SubscribeErrors(ctx, "", "", true)
	if err == nil {
		sub.Opened(src)
	}
	return err
}

// close gives back everything that open took. Nobody uses the subscriber any more.
func (sub *subscriber) close() {
	sub.mu.Lock()
	sub.cursors.end()
	sub.mu.Unlock()
	if sub.member != nil {
		sub.member.Leave()
	}
	for i := len(sub.release) - 1; i >= 0; i-- {
		sub.release[i]()
	}
	sub.owner.forget(sub)
}

// Opened takes the cursor of a place with topics that the subscription matches.
func (sub *subscriber) Opened(src *fanout.Subscription) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.cursors.open(src, sub)
	sub.rouse()
}

// Moved keeps the cursor of a topic that has moved beside the one that the topic may get now.
func (sub *subscriber) Moved(src *fanout.Subscription) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.cursors.moved(src)
}

// Ended drops a cursor for which nothing comes any more.
func (sub *subscriber) Ended(src *fanout.Subscription) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if c := sub.cursors.find(src); c != nil {
		sub.cursors.close(c)
	}
}

// Overflowed counts messages that were let go because the subscriber holds as many as the rule of their topics allows.
func (sub *subscriber) Overflowed(place tenant.Place, messages uint64) {
	sub.owner.Metrics.drops.WithLabelValues(string(reason.SessionOverflow)).Add(float64(messages))
	sub.owner.Logger.Warn("subscriber holds too much", zap.String("reason", string(reason.SessionOverflow)),
		zap.String("tenant", sub.grant.Tenant), zap.String("subscriber", sub.grant.Subscriber),
		zap.String("place", place.Name), zap.Uint64("messages", messages))
}
