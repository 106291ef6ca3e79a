package message

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/filter"
)

// How long a pull request stands, and how often the server says that it does.
const (
	pullExpiry    = 30 * time.Second
	pullHeartbeat = 2 * time.Second
)

// place is one stream of a subscription.
type place struct {
	// immutable
	stream string
	topic  string // of a dedicated stream; empty: shared

	last atomic.Uint64 // sequence of the last message that was settled for good; 0: none

	mu       sync.Mutex
	consumer natsjs.Consumer
	filter   string    // of the rule of a shared stream
	known    uint64    // the last sequence when filter and parked were looked at
	passed   uint64    // what was consumed up to this sequence, or known, if that is not known by last
	parked   time.Time // when it was found to take no more messages; zero: it takes them
	current  *Delivery // received and not settled
	stop     context.CancelFunc
	ended    chan struct{} // of the running goroutine; nil: none
}

// update notes what has become of the stream.
func (p *place) update(info *natsjs.StreamInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, parked := info.Config.Metadata[metaFilter], isParked(info.Config)
	switch {
	case !parked:
		p.parked = time.Time{}
	case p.parked.IsZero():
		p.parked = time.Now()
	}
	p.filter, p.known, p.passed = f, info.State.LastSeq, 0
}

// gone is update where the stream was deleted.
func (p *place) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parked, p.passed = time.Now(), p.known
}

// isParked tells whether a stream takes no messages, any more or yet.
func isParked(config natsjs.StreamConfig) bool {
	return len(config.Subjects) == 1 && config.Subjects[0] == drainPrefix+config.Name
}

func (p *place) isParked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.parked.IsZero()
}

// has tells whether messages of the topic are stored here now.
func (p *place) has(topic string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.parked.IsZero() && (p.topic == topic || p.topic == "" && filter.Match(p.filter, topic))
}

// behind tells whether messages that were stored before the place was looked at last may have to be consumed: they may be of topics that
// it does not have any more.
func (p *place) behind() bool { return p.unconsumed(p.last.Load()) }

// unconsumed tells whether something was stored behind a sequence when the place was looked at last.
func (p *place) unconsumed(sequence uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(sequence, p.passed) < p.known
}

// unheardOf tells whether a message was stored after the place was looked at last.
func (p *place) unheardOf(sequence uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sequence > p.known
}

func (p *place) caughtUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed = p.known
}

func (p *place) attach(consumer natsjs.Consumer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.consumer = consumer
}

func (p *place) pull() natsjs.Consumer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.consumer
}

func (p *place) hold(d *Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = d
}

func (p *place) held() *Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// start runs the place until ctx ends or its consumer does.
func (p *place) start(ctx context.Context, tenant string, arrived chan<- *Delivery, wg *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, p.stop = context.WithCancel(ctx)
	ended := make(chan struct{})
	p.ended = ended
	consumer := p.consumer
	wg.Go(func() {
		defer close(ended)
		p.run(ctx, consumer, tenant, arrived)
	})
}

// running tells whether start was called and what it started has not ended.
func (p *place) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// cancel ends what start has started, without waiting for it.
func (p *place) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		p.stop()
	}
}

// run hands messages on, one at a time. It ends with ctx, or with any fault, after which the place is opened again.
func (p *place) run(ctx context.Context, consumer natsjs.Consumer, tenant string, arrived chan<- *Delivery) {
	messages, err := consumer.Messages(natsjs.PullExpiry(pullExpiry), natsjs.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return
	}
	defer giveBack(messages)
	for {
		msg, err := messages.Next(natsjs.NextContext(ctx))
		if err != nil {
			return
		}
		d := p.delivery(tenant, msg)
		if d == nil {
			continue
		}
		p.hold(d)
		select {
		case arrived <- d:
			<-d.done // at the latest when Consume returns
		case <-ctx.Done():
			_ = d.Nak(0) // at once for whoever consumes next; after ackWait where this is lost
		}
		p.hold(nil)
	}
}

// delivery is nil for what no service gets: what is meant for one device, has expired, or is no message of a topic.
func (p *place) delivery(tenant string, msg natsjs.Msg) *Delivery {
	meta, err := msg.Metadata()
	if err != nil {
		return nil
	}
	d := &Delivery{
		Stream: meta.Stream, Sequence: meta.Sequence.Stream, Delivered: meta.NumDelivered,
		msg: msg, place: p, done: make(chan struct{}),
	}
	if d.Message, err = FromJetStream(tenant, msg); err != nil {
		_ = d.Term()
		return nil
	}
	if d.To != "" || d.expired(time.Now()) {
		_ = d.Ack()
		return nil
	}
	return d
}

// giveBack ends a pull, and with it hands back what has come and was not taken.
func giveBack(messages natsjs.MessagesContext) {
	messages.Drain()
	for {
		msg, err := messages.Next(natsjs.NextMaxWait(pullHeartbeat))
		switch {
		case err == nil:
			_ = msg.Nak()
		case errors.Is(err, natsjs.ErrMsgIteratorClosed), errors.Is(err, context.DeadlineExceeded), errors.Is(err, natsjs.ErrConnectionClosed):
			messages.Stop()
			return
		}
	}
}
