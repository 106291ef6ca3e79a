package follow

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"
)

const (
	requestTimeout = 5 * time.Second
	minPause       = 20 * time.Millisecond
	maxPause       = 2 * time.Second
)

var (
	errGap     = errors.New("a message is missing")
	errSilence = errors.New("no heartbeat")
	errReset   = errors.New("the connection or the consumer was lost")
)

// run builds the copy, and builds it again whenever it cannot be sure any more that it sees everything.
func (c *Copy[T]) run(ctx context.Context) {
	defer close(c.done)
	pause := minPause
	for ctx.Err() == nil {
		synced, err := c.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if synced {
			pause = minPause
		}
		c.config.Log.Debug("following a stream again", zap.String("stream", c.config.Stream), zap.Error(err))
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, maxPause)
	}
}

// follow builds the copy over one consumer and keeps it until something is lost. It reports whether the copy was
// complete in the meantime.
func (c *Copy[T]) follow(ctx context.Context) (synced bool, err error) {
	info, err := c.stream(ctx)
	if err != nil {
		return false, err
	}
	sub, err := c.nc.SubscribeSync(c.nc.NewInbox())
	if err != nil {
		return false, err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return false, errors.Join(err, sub.Unsubscribe())
	}
	// Unsubscribing is what wakes the loop below; a second time it is an error without meaning.
	stop := context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })
	defer func() {
		stop()
		_ = sub.Unsubscribe()
	}()
	name := "f_" + nuid.Next()
	unwatch, err := c.watch(sub, name)
	if err != nil {
		return false, err
	}
	defer unwatch()
	pending, err := c.consumer(ctx, name, sub.Subject)
	if err != nil {
		return false, err
	}
	defer c.deleteConsumer(name)
	b := &build[T]{
		c:       c,
		pending: pending,
		target:  info.State.LastSeq,
		single:  info.Config.Replicas <= 1,
		renewed: !info.Created.Equal(c.created),
	}
	c.epoch++
	c.created = info.Created
	b.progress(pending)
	for {
		m, err := sub.NextMsg(2*c.config.Heartbeat + c.config.Heartbeat/2)
		switch {
		case err == nil:
			err = b.message(m)
		case errors.Is(err, nats.ErrTimeout):
			err = errSilence
		default:
			err = errReset
		}
		if err != nil {
			return b.synced, err
		}
		c.expire(time.Now())
	}
}

// stream looks the stream up, and makes it where it is missing.
func (c *Copy[T]) stream(ctx context.Context) (*natsjs.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := c.js.Stream(ctx, c.config.Stream)
	if errors.Is(err, natsjs.ErrStreamNotFound) && c.config.Ensure != nil {
		if err := c.config.Ensure(ctx); err != nil {
			return nil, err
		}
		s, err = c.js.Stream(ctx, c.config.Stream)
	}
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// consumer creates the consumer and returns how many messages it has to deliver.
func (c *Copy[T]) consumer(ctx context.Context, name, deliver string) (pending uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := c.js.CreatePushConsumer(ctx, c.config.Stream, natsjs.ConsumerConfig{
		Name:              name,
		DeliverSubject:    deliver,
		DeliverPolicy:     natsjs.DeliverAllPolicy,
		AckPolicy:         natsjs.AckNonePolicy,
		MaxDeliver:        1,
		IdleHeartbeat:     c.config.Heartbeat,
		InactiveThreshold: 30 * time.Second,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return 0, err
	}
	info := consumer.CachedInfo()
	return info.NumPending + info.Delivered.Consumer, nil
}

// deleteConsumer is a courtesy: what cannot be deleted now ends by its inactivity.
func (c *Copy[T]) deleteConsumer(name string) {
	if !c.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.js.DeleteConsumer(ctx, c.config.Stream, name); err != nil {
		c.config.Log.Debug("consumer not deleted", zap.String("stream", c.config.Stream), zap.Error(err))
	}
}

// watch unsubscribes sub as soon as the connection is made again, or the consumer or the stream is deleted: messages
// can have been lost then.
func (c *Copy[T]) watch(sub *nats.Subscription, consumer string) (stop func(), err error) {
	var advisories []*nats.Subscription
	for _, subject := range []string{
		"$JS.EVENT.ADVISORY.STREAM.DELETED." + c.config.Stream,
		"$JS.EVENT.ADVISORY.CONSUMER.DELETED." + c.config.Stream + "." + consumer,
	} {
		advisory, err := c.nc.Subscribe(subject, func(*nats.Msg) { _ = sub.Unsubscribe() })
		if err != nil {
			return nil, err
		}
		advisories = append(advisories, advisory)
	}
	status := c.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range status {
			_ = sub.Unsubscribe()
		}
	}()
	return func() {
		for _, advisory := range advisories {
			_ = advisory.Unsubscribe()
		}
		c.nc.RemoveStatusListener(status)
		<-done
	}, nil
}

// build is the state of one consumer's deliveries.
type build[T any] struct {
	c         *Copy[T]
	pending   uint64 // messages that the consumer had before it when it was made
	target    uint64 // last sequence of the stream before the consumer was made
	single    bool   // one replica: what the consumer says about the stream is never behind the stream
	renewed   bool   // the stream is not the one that the copy came from
	delivered uint64 // consumer sequence
	last      uint64 // stream sequence up to which everything was delivered
	synced    bool
}

// message takes one delivery or status message.
func (b *build[T]) message(m *nats.Msg) error {
	if m.Reply == "" || m.Header.Get("Status") != "" {
		return b.status(m)
	}
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != b.delivered+1 {
		return errGap
	}
	b.delivered++
	stored := time.Now()
	if !b.synced && meta.Timestamp.Before(stored) {
		stored = meta.Timestamp
	}
	b.c.apply(m, meta.Sequence.Stream, stored)
	b.last = max(b.last, meta.Sequence.Stream)
	b.progress(meta.NumPending)
	return nil
}

// status takes a heartbeat: it tells of deliveries that did not arrive, and of a position beyond messages that were
// removed before they could be delivered.
func (b *build[T]) status(m *nats.Msg) error {
	delivered, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64)
	if err != nil {
		return nil
	}
	if delivered != b.delivered {
		return errGap
	}
	if last, err := strconv.ParseUint(m.Header.Get("Nats-Last-Stream"), 10, 64); err == nil {
		b.last = max(b.last, last)
	}
	b.progress(0)
	return nil
}

// progress ends the build when the consumer has delivered what was in the stream when it was made. pending is what it
// has yet to deliver: with several replicas that can be the view of one that lags behind, so there only the
// sequence counts.
func (b *build[T]) progress(pending uint64) {
	if !b.synced {
		if b.last < b.target {
			if !b.single || b.delivered < b.pending && pending > 0 {
				return
			}
			b.last = b.target
		}
		b.synced = true
		b.c.sweep()
		b.c.advance(b.last, b.renewed)
		if b.c.config.Synced != nil {
			b.c.config.Synced()
		}
		return
	}
	b.c.advance(b.last, false)
}
