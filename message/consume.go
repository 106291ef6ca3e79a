package message

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

const (
	// followInterval is how often the streams of the tenant are looked at.
	followInterval = time.Second
	// ensureInterval is how often Weir is told that the subscription is used.
	ensureInterval = time.Hour
	// orderInterval is how often a message is looked at that waits for older ones in other streams.
	orderInterval = 50 * time.Millisecond
	// followTimeout bounds one look at the streams.
	followTimeout = 10 * time.Second
	// retireAfter is how long a parked stream keeps its consumer at least: some come back.
	retireAfter = time.Minute
)

// Consume calls handler with one message after the other until ctx ends, and then returns nil. The messages of a topic come in the order
// in which they were stored, also where a change of the topic rules has moved the topic from one stream that was
// found to another. A message that was not acknowledged comes
// again, before those behind it, to this call or to a later one, of this process or another: at least once. Several processes may consume one
// subscription; each message then goes to one of them, in order of each stream, but not where topics move.
//
// Messages that are meant for one device, and those that have expired, are acknowledged and not handed on. A connection that is lost comes back by itself. Where
// JetStream refuses to have a consumer on a stream that has appeared, Consume returns the error.
func (s *Subscription) Consume(ctx context.Context, handler func(*Delivery)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	arrived := make(chan *Delivery)
	var wg sync.WaitGroup
	wg.Go(func() { s.keepAlive(ctx) })
	wg.Go(func() {
		if err := s.follow(ctx, arrived, &wg); err != nil {
			cancel(err)
		}
	})
	err := s.loop(ctx, arrived, handler)
	cancel(nil)
	wg.Wait()
	return err
}

func (s *Subscription) loop(ctx context.Context, arrived <-chan *Delivery, handler func(*Delivery)) error {
	var waiting []*Delivery
	ticker := time.NewTicker(orderInterval)
	defer ticker.Stop()
	for {
		look := ticker.C
		if len(waiting) == 0 {
			look = nil
		}
		select {
		case d := <-arrived:
			waiting = append(waiting, d)
		case <-look:
		case <-ctx.Done():
			for _, d := range waiting {
				_ = d.Nak(0)
				close(d.done)
			}
			if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
				return cause
			}
			return nil
		}
		waiting = slices.DeleteFunc(waiting, func(d *Delivery) bool {
			if ctx.Err() != nil || !s.ready(ctx, d) {
				return false
			}
			handler(d)
			_ = d.finish() // what does not reach JetStream comes again
			return true
		})
	}
}

// keepAlive tells JetStream that what has been received is still worked on, or waits for its turn.
func (s *Subscription) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(ackWait / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		for p := range s.all() {
			if d := p.held(); d != nil && !d.settled.Load() {
				_ = d.msg.InProgress() // in the worst case it comes again
			}
		}
	}
}

// follow starts a goroutine for each place, and finds new ones. It returns an error where JetStream refuses a consumer.
func (s *Subscription) follow(ctx context.Context, arrived chan<- *Delivery, wg *sync.WaitGroup) error {
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	for {
		for p := range s.all() {
			if !p.running() {
				p.start(ctx, s.tenant, arrived, wg)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if s.js.Conn().IsClosed() {
			return nats.ErrConnectionClosed
		}
		if time.Since(s.ensured) > ensureInterval {
			_ = s.ensure(ctx) // so that Weir knows that it is used; there is time to try again
		}
		if err := s.look(ctx); definite(err) {
			return err
		}
	}
}

// definite tells whether an error is JetStream's word, and not the lack of one.
func definite(err error) bool {
	var api *natsjs.APIError
	return errors.Is(err, errOtherFilter) || errors.As(err, &api) && api.Code < 500
}

// look compares the places with the streams that there are.
func (s *Subscription) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	names, err := streamNames(ctx, s.js, s.tenant, FilterSubjects(s.tenant, s.filter))
	if err != nil {
		return err
	}
	var errs []error
	for p := range s.all() {
		parked, exists := names[p.stream]
		switch {
		case !exists: // or it was opened between the two listings
			found, err := s.open(ctx, p.stream, nil)
			if err == nil && !found {
				s.remove(p)
			}
			errs = append(errs, err)
		case parked != p.isParked() || !p.running():
			config := s.resumed(p)
			found, err := s.open(ctx, p.stream, &config)
			if err == nil && !found {
				s.remove(p)
			}
			errs = append(errs, err)
		case parked:
			errs = append(errs, s.retire(ctx, p))
		}
		delete(names, p.stream)
	}
	for name := range names {
		config := s.later()
		_, err := s.open(ctx, name, &config)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// resumed is the consumer of a place where somebody has deleted it: it goes on behind what was settled.
func (s *Subscription) resumed(p *place) natsjs.ConsumerConfig {
	last := p.last.Load()
	if last == 0 {
		return s.later()
	}
	config := s.consumer(natsjs.DeliverByStartSequencePolicy)
	config.OptStartSeq = last + 1
	return config
}

// remove forgets a place whose stream has gone.
func (s *Subscription) remove(p *place) {
	p.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.places, p.stream)
	is := func(other *place) bool { return other == p }
	if p.topic == "" {
		s.shared = slices.DeleteFunc(s.shared, is)
		return
	}
	if s.dedicated[p.topic] = slices.DeleteFunc(s.dedicated[p.topic], is); len(s.dedicated[p.topic]) == 0 {
		delete(s.dedicated, p.topic)
	}
}

// retire takes the consumer away from a stream that topics have moved away from, once it has been so for long enough and nobody's messages are left, so that Weir can
// delete the stream.
func (s *Subscription) retire(ctx context.Context, p *place) error {
	p.mu.Lock()
	early := time.Since(p.parked) < s.retireAfter
	p.mu.Unlock()
	if early {
		return nil
	}
	stream, err := s.js.Stream(ctx, p.stream)
	if err != nil {
		return ignoreGone(err)
	}
	if stream.CachedInfo().State.Msgs > 0 {
		return nil
	}
	s.remove(p)
	return ignoreGone(s.js.DeleteConsumer(ctx, p.stream, ConsumerName(s.durable)))
}
