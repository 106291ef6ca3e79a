package reader

import (
	"context"
	"errors"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// ErrTaken is the answer of Prepare where a consumer of that name delivers to somebody already.
var ErrTaken = errors.New("reader: the consumer is there and delivers elsewhere")

// Prepare makes the consumer of a reader that is to be opened later, perhaps by another bridge, with Adopt or Keep and the same Stream, Durable
// and Deliver. It holds every message from then on, those kept so far included unless Start is StartNew. One that is there already is left as it
// is. Of cfg only these, Keep, Metadata, JetStream, Filters and MaxWindow count.
func Prepare(ctx context.Context, cfg Config) error {
	policy := natsjs.DeliverAllPolicy
	if cfg.Start == StartNew {
		policy = natsjs.DeliverNewPolicy
	}
	_, err := cfg.JetStream.CreatePushConsumer(ctx, cfg.Stream, cfg.consumer(cfg.Durable, policy, newFlow(0, cfg.MaxWindow).window))
	if !errors.Is(err, natsjs.ErrConsumerExists) {
		return err
	}
	// Of a release with other settings, or not for a reader to come.
	c, err := cfg.JetStream.PushConsumer(ctx, cfg.Stream, cfg.Durable)
	if err == nil && c.CachedInfo().Config.DeliverSubject != cfg.Deliver {
		err = ErrTaken
	}
	return err
}

// consumer is the configuration of a reader's consumer, but for where it starts in the stream. It has as many replicas as the stream: the
// server takes no other number.
func (cfg *Config) consumer(durable string, policy natsjs.DeliverPolicy, window int) natsjs.ConsumerConfig {
	c := natsjs.ConsumerConfig{
		Durable:        durable,
		DeliverSubject: cfg.Deliver,
		DeliverPolicy:  policy,
		AckPolicy:      natsjs.AckExplicitPolicy,
		AckWait:        ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  window,
		IdleHeartbeat:  heartbeat,
		Metadata:       cfg.Metadata,
	}
	if !cfg.Keep {
		c.InactiveThreshold = inactiveThreshold
	}
	// The server keeps one filter and several in different places.
	if len(cfg.Filters) == 1 {
		c.FilterSubject = cfg.Filters[0]
	} else {
		c.FilterSubjects = cfg.Filters
	}
	return c
}

// Consumer names the consumer that the reader has now, and its stream; ok is false while it is being made again.
func (r *Reader) Consumer() (stream, durable string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream, r.durable, !r.adrift && !r.lost && !r.mending
}
