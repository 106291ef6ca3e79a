package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Bounds of what is in flight when a run is not paced, the same for all systems.
const (
	// Window is each publisher's number of PUBLISH packets without PUBACK: below the 1,024 that Weir, nats-server and
	// mochi-mqtt take.
	Window = 1000
	// Undelivered is the number of messages on their way over all publishers: below every system's queue.
	Undelivered = 1000
	// Batch is how many PUBLISH packets leave in one write.
	Batch = 25
)

// pacedWindow bounds a paced run, which waits for nobody: below the number of packet identifiers.
const pacedWindow = 60_000

// drainTimeout is how long the last messages may take.
const drainTimeout = 10 * time.Second

// Kind is how messages come to the server, or from it.
type Kind string

// The kinds. Publishers are none over WebSocket.
const (
	MQTT Kind = ""
	JSON Kind = "weir.v1.json" // over WebSocket
	Avro Kind = "Avro"         // over WebSocket
	NATS Kind = "NATS"         // to or from JetStream
	Like Kind = "like Weir"    // the same with nats-server's user who may do what Weir lets a service do, and with the headers that Weir writes
)

// Config says what a run does.
type Config struct {
	MQTTAddr   string
	HTTPAddr   string // where WebSockets are
	NATSAddr   string
	From, To   Kind
	Publishers int           // at least 1
	Topics     int           // publisher i publishes to topic i modulo Topics; more than 1 between MQTT and MQTT only
	Interval   time.Duration // between messages of one publisher; 0: as fast as possible
	Backlog    int64         // so many messages are stored before the subscriber receives, and none after; a multiple of Batch
	Trusted    bool          // a native subscriber logs in as who may do everything
}

// Run is load on one server, from Start to Stop.
type Run struct {
	// immutable
	in          *intake
	subscriber  subscriber
	publishers  []*publisher
	undelivered *semaphore.Weighted
	limit       int64 // weight of undelivered

	sending   *errgroup.Group // the publishers' send goroutines
	receiving *errgroup.Group
	stop      context.CancelFunc // ends sending
	failed    context.Context    // ends with the first error, with that as its cause
	fail      context.CancelCauseFunc
}

// Outcome is what became of the messages.
type Outcome struct {
	Sent       int64
	Delivered  int64    // each counted once
	Missing    int64    // sent and not delivered
	Late       int64    // delivered after a later message of the same publisher
	Duplicates int64    // delivered again
	Samples    []Sample // of a paced run, in order of arrival
}

// Start connects everyone, subscribes, and begins to publish; or publishes the backlog, and begins to receive. After a nil error Stop must be called.
func Start(ctx context.Context, cfg Config) (*Run, error) {
	batch, window, limit := Batch, int64(Window), int64(Undelivered)
	if cfg.Interval > 0 {
		batch, window, limit = 1, pacedWindow, pacedWindow
	}
	if cfg.Backlog > 0 {
		limit = cfg.Backlog
	}
	r := &Run{
		undelivered: semaphore.NewWeighted(limit), limit: limit,
		sending: new(errgroup.Group), receiving: new(errgroup.Group),
	}
	topics := make([]string, cfg.Topics)
	for i := range topics {
		topics[i] = fmt.Sprintf("bench/topic/%02d", i)
	}
	if err := r.connect(ctx, cfg, topics, batch, window); err != nil {
		r.close()
		return nil, err
	}
	r.failed, r.fail = context.WithCancelCause(ctx)
	sending, stop := context.WithCancel(r.failed)
	r.stop = stop
	for _, p := range r.publishers {
		r.receiving.Go(r.watched(p.receive))
		r.sending.Go(r.watched(func() error {
			switch {
			case cfg.Backlog > 0:
				return p.fill(sending)
			case cfg.Interval > 0:
				return p.pace(sending, cfg.Interval)
			default:
				return p.flood(sending)
			}
		}))
	}
	if cfg.Backlog > 0 {
		_ = r.sending.Wait() // errors are the cause of r.failed
	}
	r.receiving.Go(r.watched(r.subscriber.receive))
	return r, nil
}

func (r *Run) connect(ctx context.Context, cfg Config, topics []string, batch int, window int64) error {
	r.in = newIntake(cfg.Publishers, r.undelivered, cfg.Interval > 0)
	var err error
	if r.subscriber, err = subscribe(ctx, cfg, topics, r.in); err != nil {
		return err
	}
	for i := range cfg.Publishers {
		topic := topics[i%len(topics)]
		var l link
		clientID := fmt.Sprintf("bench-publisher-%02d", i)
		switch cfg.From {
		case NATS:
			l, err = linkNATS(cfg.NATSAddr, user, topic, batch, nil)
		case Like:
			l, err = linkNATS(cfg.NATSAddr, service, topic, batch, weirHeader(clientID))
		default:
			l, err = linkMQTT(ctx, cfg.MQTTAddr, clientID, topic, batch)
		}
		if err != nil {
			return err
		}
		r.publishers = append(r.publishers, newPublisher(l, i, int64(batch), window, r.undelivered))
	}
	return nil
}

// watched makes the first error end the run.
func (r *Run) watched(f func() error) func() error {
	return func() error {
		if err := f(); err != nil {
			r.fail(err)
		}
		return nil
	}
}

// Delivered is the number of messages delivered so far.
func (r *Run) Delivered() int64 { return r.in.delivered.Load() }

// Failed ends with the first error, which is its cause, or with the context given to Start.
func (r *Run) Failed() context.Context { return r.failed }

// WaitDrained returns when everything of a backlog is delivered, or when the run has failed.
func (r *Run) WaitDrained() {
	if r.undelivered.Acquire(r.failed, r.limit) == nil {
		r.undelivered.Release(r.limit)
	}
}

// Stop ends publishing, waits for what is still on its way, and disconnects. It returns the error that ended
// the run, if one did.
func (r *Run) Stop() (Outcome, error) {
	r.stop()
	_ = r.sending.Wait() // errors are the cause of r.failed
	drained := r.drain()
	err := context.Cause(r.failed)
	r.fail(nil)
	r.close()
	_ = r.receiving.Wait() // what it says now is that the connections are closed

	o := Outcome{
		Delivered:  r.in.delivered.Load(),
		Late:       r.in.late,
		Duplicates: r.in.duplicates,
		Samples:    r.in.samples,
	}
	for _, p := range r.publishers {
		o.Sent += int64(p.sequence)
	}
	o.Missing = o.Sent - o.Delivered
	if err == nil && drained != nil && o.Missing == 0 {
		err = errors.New("not every message was acknowledged")
	}
	return o, err
}

// drain waits until everything is acknowledged and delivered.
func (r *Run) drain() error {
	ctx, cancel := context.WithTimeout(r.failed, drainTimeout)
	defer cancel()
	for _, p := range r.publishers {
		if err := p.acknowledged(ctx); err != nil {
			return err
		}
	}
	return r.undelivered.Acquire(ctx, r.limit)
}

func (r *Run) close() {
	if r.subscriber != nil {
		r.subscriber.close()
	}
	for _, p := range r.publishers {
		p.link.close()
	}
}
