// Package fanout shares one reader per topic among all sessions of a bridge that subscribe to it. A session holds a
// cursor into the reader's buffer, not a queue of its own.
//
// A feed is one topic: its shared source (a reader and the ring it fills) and the subscriptions. A subscription that
// falls behind the others gets a source of its own and later joins the shared one again. One lock per feed guards all
// of this. Lock order: session, Hub.mu, feed.mu, reader; a session is woken with none of the others held. Whatever waits
// for JetStream runs on goroutines of the hub, which Close awaits.
package fanout

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/reader"
)

// Log is what the hub needs of a tenant's message log. Values are compared, so they are pointers.
type Log interface {
	// Attach opens a consumer on the topic's stream, after its newest message, or at sequence from where that is
	// not 0. name tells apart the consumers of one bridge on one stream; "" is the shared one.
	Attach(ctx context.Context, topic, name string, from uint64, sink reader.Sink) (reader.Attached, error)
	// AttachErrors delivers the error topic of one client identifier and user, or of all with clientID "".
	AttachErrors(ctx context.Context, clientID, user string, sink reader.Sink) (reader.Attached, error)
	// LastSequence is the sequence of the newest message stored on the topic, as the stream's leader tells it:
	// everything stored before the call counts.
	LastSequence(ctx context.Context, topic string) (uint64, error)
}

// Session is the receiving end: the hub calls Wake when one of its subscriptions has something new, once, until Next
// has said again that there is nothing. Wake must not block and must not call back into the hub. One more may come
// after Subscription.Close, and one before Subscribe has returned: a session calls Next once it has the Subscription.
type Session interface {
	Wake()
}

// Config of a Hub.
type Config struct {
	// Budget is how many bytes of messages all readers together may hold; 0: 256 MiB.
	Budget  int64
	Log     *zap.Logger
	Metrics *Metrics
}

// Hub holds the readers of one bridge.
type Hub struct {
	// Immutable.
	budget  int64
	log     *zap.Logger
	metrics *Metrics
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	relieve chan struct{} // wakes the goroutine that keeps the budget; holds one token; never closed

	work     sync.WaitGroup
	names    atomic.Uint64 // of consumers for single sessions
	buffered atomic.Int64  // bytes in all sources
	starving atomic.Int64  // sources that wait for room in the budget

	mu     sync.Mutex
	closed bool
	shared map[key]*feed
	feeds  map[*feed]struct{} // the shared ones and those of the error topic
}

type key struct {
	log   Log
	topic string
}

// errClosed: the hub takes no more subscriptions.
var errClosed = errors.New("fanout: hub is closed")

const defaultBudget = 256 << 20

// New returns a hub. Close ends it.
func New(cfg Config) *Hub {
	h := &Hub{
		budget:  cfg.Budget,
		log:     cfg.Log,
		metrics: cfg.Metrics,
		relieve: make(chan struct{}, 1),
		shared:  make(map[key]*feed),
		feeds:   make(map[*feed]struct{}),
	}
	if h.budget == 0 {
		h.budget = defaultBudget
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.metrics.watch(h)
	h.work.Go(h.keepBudget)
	return h
}

// Subscribe returns once the topic's consumer exists: every message stored from then on is seen by Next, none stored
// before. hold tells whether messages wait for this session's Ack (QoS 1) or pass it by (QoS 0).
func (h *Hub) Subscribe(ctx context.Context, log Log, topic string, hold bool, s Session) (*Subscription, error) {
	k := key{log, topic}
	for {
		sub, f, first, err := h.enter(k, hold, s)
		if err != nil {
			return nil, err
		}
		if sub == nil { // its last subscription has just left; the next feed begins when this one has ended
			select {
			case <-f.ended:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		after := uint64(0)
		err = f.wait(ctx)
		if err == nil && !first {
			// The consumer may be older than this subscription, and so may be what it has yet to deliver.
			after, err = f.lastSequence(ctx)
		}
		if err != nil {
			sub.Close()
			return nil, err
		}
		if !first {
			f.join(sub, after)
		}
		return sub, nil
	}
}

// enter adds a subscription to the topic's feed, and makes the feed where there is none. The subscription is nil where
// the feed is about to end.
func (h *Hub) enter(k key, hold bool, s Session) (sub *Subscription, f *feed, first bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, false, errClosed
	}
	f = h.shared[k]
	if f == nil {
		first = true
		f = h.newFeed(k.topic, k.log)
		h.shared[k] = f
		h.feeds[f] = struct{}{}
	}
	sub = f.add(hold, s, first)
	if first {
		h.work.Go(func() {
			f.attach(func(ctx context.Context) (reader.Attached, error) {
				return k.log.Attach(ctx, k.topic, "", 0, &f.source)
			})
		})
	}
	return sub, f, first, nil
}

// SubscribeErrors subscribes to the error topic of one client identifier and user, with what was kept of its previous
// connections, or with clientID "" to the whole tenant's. It shares its reader with nobody.
func (h *Hub) SubscribeErrors(ctx context.Context, log Log, clientID, user string, hold bool, s Session) (*Subscription, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errClosed
	}
	f := h.newFeed("", log)
	h.feeds[f] = struct{}{}
	sub := f.add(hold, s, true)
	h.work.Go(func() {
		f.attach(func(ctx context.Context) (reader.Attached, error) {
			return log.AttachErrors(ctx, clientID, user, &f.source)
		})
	})
	h.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// Close ends all subscriptions, deletes their consumers and waits for everything the hub has started.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	feeds := make([]*feed, 0, len(h.feeds))
	for f := range h.feeds {
		feeds = append(feeds, f)
	}
	h.mu.Unlock()
	for _, f := range feeds {
		f.closeAll()
	}
	var err error
	for _, f := range feeds {
		select {
		case <-f.ended:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	h.cancel() // what has not ended by now does so without the server
	h.work.Wait()
	h.metrics.unwatch(h)
	return err
}

// gone takes a feed out once its readers are closed.
func (h *Hub) gone(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.feeds, f)
	if k := (key{f.log, f.topic}); h.shared[k] == f {
		delete(h.shared, k)
	}
}

func (h *Hub) nextName() string { return strconv.FormatUint(h.names.Add(1), 10) }
