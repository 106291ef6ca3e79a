// Package reader delivers one stream to one bridge: in stream order, each message once, through restarts of the
// server, gaps and deleted consumers.
//
// A reader is one durable push consumer with explicit acknowledgements. Its subscription's goroutine takes the
// deliveries and hands them to the sink; a second goroutine, the keeper, does whatever waits for the server: it writes
// acknowledgements in batches, watches the heartbeats, resets the consumer and makes it again where it is gone.
package reader

import (
	"context"
	"errors"
	"sync"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
)

// Delivery is one message of the stream.
type Delivery struct {
	*message.Message
	Stream   string // its name; a topic whose stream was replaced counts its sequences anew
	Sequence uint64 // in the stream
	Pending  uint64 // messages in the stream for this consumer after this one
	Size     int    // bytes that it occupies here: subject, headers and payload
	Reply    string // where its acknowledgement goes
	Discards uint64 // calls of Discard that it comes after
}

// Sink takes the deliveries of one reader, on one goroutine at a time, and must not block.
type Sink interface {
	// Deliver hands over the next message, with a sequence higher than all before of the same stream. It reports
	// false where the sink has no room: the reader then forgets the message unacknowledged and delivers it again,
	// in order, after Resume. A message may be on its way here while Discard is called: it has counted fewer of those calls than there
	// were, is among what was discarded, and has to be refused.
	Deliver(d Delivery) bool
	// Lost tells that n messages that this reader had not acknowledged are gone from the stream because the
	// stream or the consumer was deleted by hand. Where the sink is a Chooser, it is n at most: some of them it may not have wanted.
	Lost(n uint64)
}

// Passer is what a sink may be as well: it is told how far its reader has come in the stream where there was nothing to deliver. It is
// called as Deliver is.
type Passer interface {
	// Passed tells that everything up to the sequence was delivered, or is gone. Discards is as in a Delivery.
	Passed(sequence, discards uint64)
}

// Chooser is what a Sink may be as well, at a stream of many topics.
type Chooser interface {
	// Wants reports whether the sink wants messages of a topic. What it does not want is acknowledged, and neither decoded nor delivered. It
	// is called on the goroutine of Deliver, before that, and must not block.
	Wants(topic string) bool
}

// ErrMark is what Decode says of a message that is only there to mark a place in the stream: a sink that is a Passer is told of it.
var ErrMark = errors.New("marks a place in the stream")

// Start is the first message of a new consumer.
type Start byte

// The starts: after the newest message of the stream, at Config.From, or with the oldest message kept.
const (
	StartNew Start = iota
	StartSequence
	StartAll
)

// The consumer's fixed settings. Redelivery is never left to the server's timer, hence the long ackWait.
const (
	ackWait           = 24 * time.Hour
	heartbeat         = 5 * time.Second
	inactiveThreshold = 10 * time.Minute
	abandonTimeout    = time.Second
)

// Config says what to read and how. All fields but Filters, From, Size, MaxWindow, Pace and Reattach are required.
type Config struct {
	// Conn carries deliveries and acknowledgements.
	Conn *wire.Conn
	// JetStream is the API of the same account, on another connection.
	JetStream natsjs.JetStream
	Stream    string
	Durable   string   // name of the consumer, this bridge's own, and what its later names begin with
	Deliver   string   // deliver subject, literal, this consumer's own
	Filters   []string // subjects within the stream, none of which overlaps another; none: all of it
	Start     Start
	From      uint64 // first stream sequence, for StartSequence
	// Adopt says that another has made the consumer, with Prepare, for this reader: it is taken over with all that it holds.
	// Where it is gone, it is made again. Start is StartAll then.
	Adopt bool
	// Keep says that the consumer is there whether somebody reads or not: it is taken over where it is there, begins at Start where it is not,
	// and stays when the reader is closed.
	Keep bool
	// Metadata of the consumer, for people.
	Metadata map[string]string
	Size     int // bytes of a message, as far as that is known beforehand; 0: it is not
	// MaxWindow is how many messages may be unacknowledged at most, however small they are: a power of two; 0: 256.
	MaxWindow int
	// Pace is shared by the readers of Conn. Nil: each starts over, and asks for its lag, when it has to, however many others do.
	Pace *Pace
	// Decode turns what lies in the stream into a message that keeps nothing of m; Stored is filled in by the reader. One that it
	// refuses is acknowledged, counted as bad_subject, logged and not delivered; nil without an error, or with ErrMark, is acknowledged only.
	Decode func(m *wire.Msg) (*message.Message, error)
	// Reattach names the stream that holds the topic now, and makes one where there is none. It is asked before
	// and after a lost consumer is made again. Nil: the stream stays the one named above.
	Reattach func(ctx context.Context) (stream string, err error)
	Log      *zap.Logger
	Metrics  *Metrics
}

// Attached is what the owner of a sink holds on to: its reader.
type Attached interface {
	// Ack acknowledges one delivery. Acknowledgements are collected and written together. It does no I/O.
	Ack(d Delivery)
	// Discard forgets every delivery with a sequence above after, unacknowledged, and stops delivering. They come
	// again after Resume. It does no I/O.
	Discard(after uint64)
	// Resume delivers again what Deliver had no room for, or what was discarded.
	Resume()
	// Window is how many deliveries may be unacknowledged before the reader stops by itself. It becomes smaller with larger messages.
	Window() int
	// Adopted tells that the consumer was there before the reader was opened: what was stored since it was made, and is not acknowledged, is
	// delivered too.
	Adopted() bool
	// Pending asks the server how many messages there are that it has not sent, all after a stream sequence.
	Pending(ctx context.Context) (messages, after uint64, err error)
	// Close stops the deliveries and deletes the consumer; after it returns the sink is not called any more. It must
	// not be called from the sink.
	Close(ctx context.Context) error
}

// Reader is one consumer and its place in the stream.
type Reader struct {
	// Immutable.
	cfg     Config
	sink    Sink
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wake    chan struct{}   // holds one token; never closed
	gone    chan string     // subjects of advisories that a consumer was deleted; never closed
	changed <-chan struct{} // a token when Conn may have another state
	unwatch func()
	keeper  sync.WaitGroup

	// Owned by the keeper, and by Open before.
	epoch    uint64                // of the connection of the subscriptions
	sub      *wire.Subscription    // to the deliveries
	deaths   *wire.Subscription    // to the advisory that the consumer was deleted
	made     natsjs.ConsumerConfig // of the consumer as it is
	patience *time.Timer           // when the reader's turn to start over ends in any case
	probed   time.Time             // when an acknowledgement last asked for an answer
	written  string                // the last acknowledgement that was written
	stood    standstill            // when the reader last looked
	asking   bool                  // turn is set
	turn     *time.Timer           // when the reader's turn to ask for its lag comes
	found    bool                  // the consumer was there; set by Open

	// calls is held while the sink is called, and taken before mu.
	calls sync.Mutex
	// complained is when a bad subject was last logged; guarded by calls.
	complained time.Time

	mu sync.Mutex
	position
	flow
	naming
	acks   []string  // replies not written yet
	spare  []string  // the previous acks, for reuse; owned by the keeper between two calls of flush
	heard  time.Time // last sign of life of the consumer
	cause  cause     // why the consumer must be reset; none: it need not
	lost   bool      // the consumer is gone, or may be: look before resetting
	closed bool
}

var _ Attached = (*Reader)(nil)

// Window is how many deliveries may be unacknowledged before the reader stops by itself.
func (r *Reader) Window() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.window
}

// Pending asks the server how many messages there are that it has not sent, all after a stream sequence.
func (r *Reader) Pending(ctx context.Context) (messages, after uint64, err error) {
	c, err := r.cfg.JetStream.PushConsumer(ctx, r.currentStream(), r.name())
	if err != nil {
		return 0, 0, err
	}
	info := c.CachedInfo()
	return info.NumPending, info.Delivered.Stream, nil
}

// Adopted tells that the consumer was there before the reader was opened.
func (r *Reader) Adopted() bool { return r.cfg.Adopt || r.found }

// Open makes the consumer and returns when it exists. The sink may be called before that.
func Open(ctx context.Context, cfg Config, sink Sink) (*Reader, error) {
	r := &Reader{
		cfg: cfg, sink: sink,
		wake:     make(chan struct{}, 1),
		gone:     make(chan string, 4),
		patience: time.NewTimer(pacePatience),
		heard:    time.Now(),
		flow:     newFlow(cfg.Size, cfg.MaxWindow),
	}
	r.stream, r.durable = cfg.Stream, cfg.Durable
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.changed, r.unwatch = cfg.Conn.Watch()
	if err := r.connect(ctx); err != nil {
		r.patience.Stop()
		r.lock(r.giveBack)
		if !cfg.Adopt && !cfg.Keep {
			r.abandon(ctx, err)
		}
		r.unsubscribe()
		return nil, err
	}
	cfg.Metrics.add(r)
	r.keeper.Go(r.keep)
	return r, nil
}

// connect subscribes first, so that the consumer finds somebody listening.
func (r *Reader) connect(ctx context.Context) (err error) {
	if err = r.enter(ctx); err != nil {
		return err
	}
	var info *natsjs.ConsumerInfo
	if r.cfg.Keep { // before it has anybody to deliver to
		if info, err = r.find(ctx); err != nil {
			return err
		}
	}
	if err = r.subscribe(ctx, r.cfg.Stream); err != nil {
		return err
	}
	policy := map[Start]natsjs.DeliverPolicy{
		StartNew: natsjs.DeliverNewPolicy, StartSequence: natsjs.DeliverByStartSequencePolicy, StartAll: natsjs.DeliverAllPolicy,
	}[r.cfg.Start]
	if info == nil {
		if info, err = r.create(ctx, r.cfg.Stream, r.cfg.Durable, policy, r.cfg.From, r.cfg.Adopt || r.cfg.Keep); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found && r.last == 0 { // else it has begun to deliver, and not with its first
		r.last = info.Delivered.Consumer
	}
	if r.found && info.NumAckPending > 0 {
		r.reset(causeKept) // somebody else was sent what he has not acknowledged
	}
	r.expect(info.NumPending + info.Delivered.Consumer)
	// The consumer starts right after its ack floor, and nothing can have been acknowledged before the sink knew. What an
	// earlier reader that was not opened may have been sent comes again, after a reset by the gap or the heartbeat.
	r.origin = info.AckFloor.Stream
	r.high = max(r.high, r.origin)
	return nil
}

// subscribe listens to the consumer on the connection that is up, unless it does, and returns when the server has taken that up with
// all that was written before.
func (r *Reader) subscribe(ctx context.Context, stream string) (err error) {
	epoch, up := r.cfg.Conn.State()
	if !up {
		return wire.ErrLost
	}
	if epoch != r.epoch {
		if r.sub, err = r.cfg.Conn.Subscribe(epoch, r.cfg.Deliver, r.receive); err != nil {
			return err
		}
		r.epoch = epoch
		if err = r.watch(stream, r.name()); err != nil {
			return err
		}
	}
	return r.cfg.Conn.Flush(ctx, epoch)
}

// create makes the consumer. The name is this bridge's own, so one that is there with other settings is a remnant, unless
// it is kept: then it is this reader's own, made for it or in an attempt that failed later, and holds what has come since.
func (r *Reader) create(
	ctx context.Context, stream, durable string, policy natsjs.DeliverPolicy, from uint64, keep bool,
) (*natsjs.ConsumerInfo, error) {
	r.mu.Lock()
	window := r.window
	r.mu.Unlock()
	cfg := r.cfg.consumer(durable, policy, window)
	if policy == natsjs.DeliverByStartSequencePolicy {
		cfg.OptStartSeq = max(from, 1)
	}
	c, err := r.cfg.JetStream.CreatePushConsumer(ctx, stream, cfg)
	if errors.Is(err, natsjs.ErrConsumerExists) && keep {
		c, err = r.cfg.JetStream.PushConsumer(ctx, stream, durable)
		if err == nil && c.CachedInfo().Config.DeliverSubject != r.cfg.Deliver {
			err = natsjs.ErrConsumerExists
		}
	}
	if errors.Is(err, natsjs.ErrConsumerExists) {
		if err = r.cfg.JetStream.DeleteConsumer(ctx, stream, durable); err == nil || missing(err) {
			c, err = r.cfg.JetStream.CreatePushConsumer(ctx, stream, cfg)
		}
	}
	if err != nil {
		return nil, err
	}
	r.made = c.CachedInfo().Config
	return c.CachedInfo(), nil
}

// adapt brings the consumer's window to what the size of the messages allows.
func (r *Reader) adapt(ctx context.Context) {
	r.mu.Lock()
	window, stream := r.window, r.stream
	r.mu.Unlock()
	if window == r.made.MaxAckPending {
		return
	}
	cfg := r.made
	cfg.MaxAckPending = window
	// Where it fails, the next heartbeat brings it up again.
	if _, err := r.cfg.JetStream.UpdatePushConsumer(ctx, stream, cfg); err != nil {
		r.cfg.Log.Debug("reader: window not changed", zap.String("stream", stream), zap.String("consumer", cfg.Durable), zap.Error(err))
		if wedged(err) {
			r.sidestep(ctx)
		}
		return
	}
	r.made = cfg
}

// watch listens for the advisory that the consumer was deleted, by itself or with its stream.
func (r *Reader) watch(stream, durable string) (err error) {
	subject := "$JS.EVENT.ADVISORY.CONSUMER.DELETED." + stream + "." + durable
	r.lock(func() { r.watched = subject })
	if r.deaths != nil {
		r.deaths.Unsubscribe()
	}
	r.deaths, err = r.cfg.Conn.Subscribe(r.epoch, subject, func(*wire.Msg) {
		select {
		case r.gone <- subject:
		default: // the reader's own watch over the heartbeats notices as well
		}
	})
	return err
}

// Close stops the deliveries and deletes the consumer, unless that is kept; after it returns the sink is not called any more. It must
// not be called from the sink.
func (r *Reader) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	stream := r.stream
	r.mu.Unlock()
	r.cancel()
	r.keeper.Wait()
	r.calls.Lock()   // a delivery under way ends first, and none follows
	r.calls.Unlock() //nolint:staticcheck // it is the wait that counts
	r.cfg.Metrics.remove(r)
	r.flush()
	if r.cfg.Keep {
		r.settleAcks(ctx)
	} else {
		r.lock(func() { r.former = append(r.former, r.durable) })
	}
	r.unsubscribe()
	return r.clear(ctx, stream)
}

// abandon deletes a consumer that may have been made although nobody was told so: it would hold the stream's messages until
// it is taken for inactive. Where that fails, or the request to make it is still under way, so it is.
func (r *Reader) abandon(ctx context.Context, err error) {
	if _, refused := errors.AsType[natsjs.JetStreamError](err); refused || errors.Is(err, wire.ErrLost) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	if err := r.cfg.JetStream.DeleteConsumer(ctx, r.cfg.Stream, r.cfg.Durable); err != nil && !missing(err) {
		r.cfg.Log.Debug("reader: consumer not deleted", zap.String("stream", r.cfg.Stream), zap.String("consumer", r.cfg.Durable), zap.Error(err))
	}
}

// unsubscribe gives back what connect took on the connection.
func (r *Reader) unsubscribe() {
	r.cancel()
	r.unwatch()
	for _, s := range []*wire.Subscription{r.sub, r.deaths} {
		if s != nil {
			s.Unsubscribe()
		}
	}
}

// missing tells whether the error says that a consumer or its stream does not exist.
func missing(err error) bool {
	return errors.Is(err, natsjs.ErrConsumerNotFound) || errors.Is(err, natsjs.ErrStreamNotFound)
}
