package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// listenToServices answers native services that want a durable subscriber, or do not want it any more.
func (l *Log) listenToServices() error {
	for subject, answer := range map[string]func(context.Context, message.SubscriberRequest) error{
		message.SubscriberEnsureSubject(l.tenant): l.ensureSubscriber,
		message.SubscriberRemoveSubject(l.tenant): l.removeNative,
	} {
		if err := l.answerServices(subject, func(ctx context.Context, data []byte) error {
			var r message.SubscriberRequest
			if err := json.Unmarshal(data, &r); err != nil {
				return &reason.Error{Reason: reason.BadRequest, Message: "the request is not a JSON object with name and filter", Err: err}
			}
			if subject == message.SubscriberRemoveSubject(l.tenant) {
				r.Filter = "#" // a name has one
			}
			if err := message.CheckSubscriber(r.Filter, r.Name); err != nil {
				return badRequest(err)
			}
			return answer(ctx, r)
		}); err != nil {
			return err
		}
	}
	return nil
}

// ensureSubscriber makes a durable subscriber of a native service, with a consumer on every stream that has topics of its filter. From then on
// whoever makes such a stream makes its consumer.
func (l *Log) ensureSubscriber(ctx context.Context, r message.SubscriberRequest) error {
	if err := l.rules.enter(ctx); err != nil {
		return err
	}
	defer l.rules.leave()
	key := SubscriberKey{Name: r.Name, Filter: r.Filter, native: true}
	if err := l.subscribers.use(ctx, key); err != nil {
		return err
	}
	places, dedicated := l.Places(r.Filter)
	if dedicated && !topicfilter.HasWildcards(r.Filter) && len(places) == 0 {
		if err := l.provide(ctx, r.Filter); err != nil {
			return err
		}
	}
	topics, err := l.matching(ctx, r.Filter)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inviteWidth)
	for _, topic := range topics {
		g.Go(func() error { return l.attachNative(ctx, key, topic) })
	}
	for _, p := range places {
		if s := l.sharedOf(p.Name); p.Stream == tenant.StreamShared && s != nil {
			g.Go(func() error {
				if err := s.ready(ctx, false); err != nil {
					return err
				}
				return l.subscribers.prepareNative(ctx, s.stream, key, reader.StartNew)
			})
		}
	}
	return g.Wait()
}

// attachNative makes the consumer on a dedicated topic that exists.
func (l *Log) attachNative(ctx context.Context, key SubscriberKey, topic string) error {
	for {
		t := l.register.topic(topic)
		if err := t.ready(ctx, false); err != nil {
			return err
		}
		stream := t.stream()
		err := l.subscribers.prepareNative(ctx, stream, key, reader.StartNew)
		if errors.Is(err, natsjs.ErrStreamNotFound) {
			err = t.ready(ctx, true)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if held, err := l.holds(ctx, topic, stream); held || err != nil {
			return err
		}
	}
}

// prepareNative makes a consumer that a native service pulls from. One that is there already is left as it is.
func (s *subscribers) prepareNative(ctx context.Context, stream string, key SubscriberKey, start reader.Start) error {
	config := message.Consumer(s.log.tenant, key.Filter, key.Name)
	if config.DeliverPolicy = natsjs.DeliverAllPolicy; start == reader.StartNew {
		config.DeliverPolicy = natsjs.DeliverNewPolicy
	}
	_, err := s.log.link.js.CreateConsumer(ctx, stream, config)
	if errors.Is(err, natsjs.ErrConsumerExists) {
		return nil
	}
	return err
}

// removeNative removes a durable subscriber of a native service.
func (l *Log) removeNative(ctx context.Context, r message.SubscriberRequest) error {
	_, err := l.removeSubscriber(ctx, SubscriberKey{Name: r.Name, Filter: r.Filter, native: true}, nil)
	return err
}

// consumes reports whether a native service has asked for messages of late, as far as that can be seen.
func (s *subscribers) consumes(ctx context.Context, key SubscriberKey) bool {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	idle := s.log.Limits().SubscriberIdle
	recent := func(stream string) bool {
		c, err := s.log.link.js.Consumer(ctx, stream, key.id())
		if err != nil {
			return !errors.Is(err, natsjs.ErrConsumerNotFound) && !errors.Is(err, natsjs.ErrStreamNotFound)
		}
		last := c.CachedInfo().Delivered.Last
		return last != nil && time.Since(*last) < idle
	}
	for _, t := range s.log.register.all() {
		if stream := t.stream(); stream != "" && topicfilter.Match(key.Filter, t.name) && recent(stream) {
			return true
		}
	}
	places, _ := s.log.Places(key.Filter)
	for _, p := range places {
		if p.Stream == tenant.StreamShared && recent(naming.SharedStream(s.log.tenant, p.Name)) {
			return true
		}
	}
	return false
}
