// Package fanout shares one reader per place among all sessions of a bridge that subscribe to topics there. A session holds a
// cursor into the reader's buffer, not a queue of its own.
//
// A feed is one place: its shared source (a reader and the ring it fills) and the subscriptions, at most one of each session
// however many of its topic filters match. A subscription that falls behind the others gets a source of its own and later
// joins the shared one again. One lock per feed guards all of this.
//
// At a dedicated topic everybody wants everything, so that a cursor is an index. A shared or transient place has many topics: a feed
// there has an index of filters, and a subscription a queue of the ring's indexes that are its own (see todo.go). What nobody wants is let
// go at once. Who is slow is detached even if it is alone, because other topics wait behind it. A filter comes into force when its reader is
// open, for messages above the last sequence then.
//
// For dedicated topics, filters with wildcards are in an index. Whoever makes a feed adds a subscription for every session with a filter that
// matches, before the reader exists, so that these see all that it delivers; for a topic that was created after the filter
// was announced that is everything. Topics that existed before are attached one by one, and begin after what was stored.
//
// A hub for named subscribers (Config.Keep) has logs of one session each, whose consumers stay when nobody reads. There, what lies in streams that
// topics have moved away from comes first, see former.go.
//
// Where a rule bounds what a subscription may hold, the oldest messages are let go for it, see hold.go.
//
// Lock order: session, Hub.mu, feed.mu, then Member.mu, overflows.mu or the reader; a session is called with none of them held. Whatever
// waits for JetStream runs on the caller's goroutine or on one of the hub, which Close awaits.
package fanout

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// Log is what the hub needs of a tenant's message log. Values are compared, so they are pointers.
type Log interface {
	// Places are the shared and transient places with topics that a filter matches; dedicated tells whether dedicated topics may be
	// among them.
	Places(filter string) (places []tenant.Place, dedicated bool)
	// Attach opens a consumer on a place's stream, after its newest message, or at sequence from where that is
	// not 0. name tells apart the consumers of one bridge on one stream; "" is the shared one. Where there is a name, filters say which
	// of the place's topics the consumer is for; nil: all.
	Attach(ctx context.Context, place tenant.Place, name string, from uint64, filters []string, sink reader.Sink) (reader.Attached, error)
	// AttachErrors delivers the error topic of one client identifier and user, or of all with clientID "".
	AttachErrors(ctx context.Context, clientID, user string, sink reader.Sink) (reader.Attached, error)
	// LastSequence is the sequence of the newest message stored at the place, as the stream's leader tells it:
	// everything stored before the call counts.
	LastSequence(ctx context.Context, place tenant.Place) (uint64, error)
	// Watch announces a filter with wildcards and returns the topics that exist and match it. Those created from then on are told
	// to the function given to OnCreated, once a consumer for this bridge exists that has everything since: Attach adopts it.
	Watch(ctx context.Context, filter string) (topics []string, err error)
	// Unwatch takes one Watch back. It does not block.
	Unwatch(filter string)
	// OnCreated sets who is told of created topics. It is called before the first Watch.
	OnCreated(f func(topic string))
	// OnMove sets who is told when the rules move topics to other places. It is called before the first Attach.
	OnMove(m reader.Mover)
	// Release gives back a topic told by OnCreated that nobody wants any more. It does not block.
	Release(topic string)
	// Hold is how much one subscription to a place may hold, tenant.Unlimited where there is no bound. ok is false where no rule in
	// force puts topics there: then it stays as it was. Revision changes when Hold may answer otherwise. Neither blocks.
	Hold(place tenant.Place) (messages, bytes int64, ok bool)
	Revision() uint64
}

// Config of a Hub.
type Config struct {
	// Keep says that consumers outlive their readers, as a Log of a stored subscriber has them. Each such Log is that of one session, which holds.
	// Nothing is acknowledged but by its Ack, nothing that a consumer has is passed over, and the session is never detached: who is slow holds up
	// only itself.
	Keep bool
	// Budget is how many bytes of messages all readers together may hold; 0: 256 MiB.
	Budget  int64
	Log     *zap.Logger
	Metrics *Metrics
}

// Hub holds the readers of one bridge.
type Hub struct {
	// Immutable.
	budget  int64
	keep    bool
	log     *zap.Logger
	metrics *Metrics
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	start   time.Time
	relieve chan struct{} // wakes the goroutine that keeps the budget; holds one token; never closed

	work     sync.WaitGroup
	names    atomic.Uint64 // of consumers for single sessions
	buffered atomic.Int64  // bytes in all sources
	starving atomic.Int64  // sources that wait for room in the budget

	overflows overflows

	mu      sync.Mutex
	closed  bool
	shared  map[key]*feed
	opening map[*feed]struct{} // of the shared ones, those whose reader is not open yet
	feeds   map[*feed]struct{} // the shared ones and those of the error topic
	watched map[Log]*watched   // the filters with wildcards that may match dedicated topics
	tenants map[Log]*audience
	ruled   map[Log]*ruled
}

type key struct {
	log   Log
	place tenant.Place
}

// errClosed: the hub takes no more subscriptions.
var errClosed = errors.New("fanout: hub is closed")

const defaultBudget = 256 << 20

// New returns a hub. Close ends it.
func New(cfg Config) *Hub {
	h := &Hub{
		budget:  cfg.Budget,
		keep:    cfg.Keep,
		log:     cfg.Log,
		metrics: cfg.Metrics,
		start:   time.Now(),
		relieve: make(chan struct{}, 1),
		shared:  make(map[key]*feed),
		opening: make(map[*feed]struct{}),
		feeds:   make(map[*feed]struct{}),
		watched: make(map[Log]*watched),
		tenants: make(map[Log]*audience),
		ruled:   make(map[Log]*ruled),
	}
	if h.budget == 0 {
		h.budget = defaultBudget
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.metrics.watch(h)
	h.work.Go(h.keepBudget)
	h.work.Go(h.keepBounds)
	return h
}

// enter adds a subscription of m to the topic's feed, or finds the one it has, and makes the feed where there is none: then the
// subscription is its first. It is nil where the feed is about to end. At a place of many topics it is for a filter, name.
func (h *Hub) enter(k key, m *Member, name string, hold bool) (sub *Subscription, f *feed, first bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || m.left {
		return nil, nil, false, errClosed
	}
	f = h.shared[k]
	if f == nil {
		f = h.make(k, h.matching(k))
		sub = f.add(m, hold, true, false) // before the reader, so that it sees all that this delivers
		if h.keep && f.matcher != nil {
			f.begins(sub, name)
		}
		h.open(k, f)
		return sub, f, true, nil
	}
	return f.add(m, hold, true, false), f, false, nil
}

// make makes the feed of a topic, with a subscription for everybody who watches it. The caller holds mu, and opens it then.
func (h *Hub) make(k key, watches []*subscribed) *feed {
	f := h.newFeed(k.place, k.log)
	h.rule(f)
	h.shared[k], h.opening[f], h.feeds[f] = f, struct{}{}, struct{}{}
	for _, w := range watches {
		f.add(w.member, w.hold, !w.settled, true)
	}
	return f
}

// open opens the reader of a feed.
func (h *Hub) open(k key, f *feed) {
	h.work.Go(func() {
		f.attach(func(ctx context.Context) (reader.Attached, error) {
			return k.log.Attach(ctx, k.place, "", 0, nil, f.source.sink())
		})
	})
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
	delete(h.opening, f)
	h.unrule(f)
	if k := (key{f.log, f.place}); h.shared[k] == f {
		delete(h.shared, k)
	}
}

// opened notes that a feed's reader is open.
func (h *Hub) opened(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.opening, f)
}

// age is how long the hub has been there: a clock that never goes back.
func (h *Hub) age() time.Duration { return time.Since(h.start) }

func (h *Hub) nextName() string { return strconv.FormatUint(h.names.Add(1), 10) }
