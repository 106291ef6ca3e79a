package message

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/filter"
)

// What streams and consumers say about themselves.
const (
	metaTenant = "weir.tenant"
	metaTopic  = "weir.topic"
	metaFilter = "weir.filter"
	// MetaSubscriber is the name of the durable subscriber that a consumer is one of.
	MetaSubscriber   = "weir.subscriber"
	metaSubscription = "weir.subscription"
	metaSince        = "weir.since" // when the subscription began, where that was not with this consumer

	// drainPrefix and its own name are the subject of a stream that takes no messages any more, or none yet.
	drainPrefix = "weir.drain."

	// ackWait is when JetStream gives up on a service that says nothing more of its message. One that works on it says so.
	ackWait = 5 * time.Second
	// clockSkew is how much this machine's clock may be ahead of the server's.
	clockSkew = time.Minute
)

var errOtherFilter = errors.New("the durable subscription has another filter, unsubscribe first")

// streamNames are the streams of the tenant that have one of the subjects, and those that are parked.
func streamNames(ctx context.Context, js natsjs.JetStream, tenant string, subjects []string) (parked map[string]bool, err error) {
	parked = make(map[string]bool)
	for _, subject := range append(subjects, drainPrefix+"*") {
		list := js.StreamNames(ctx, natsjs.WithStreamListSubject(subject))
		for name := range list.Name() {
			if strings.HasPrefix(name, "MQTT_"+tenant+"_") {
				parked[name] = subject == drainPrefix+"*"
			}
		}
		if err := list.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
			return nil, fmt.Errorf("the streams of tenant %s: %w", tenant, err)
		}
	}
	return parked, nil
}

// begin finds the subscription's consumers, and makes those that are missing.
func (s *Subscription) begin(ctx context.Context) error {
	names, err := streamNames(ctx, s.js, s.tenant, FilterSubjects(s.tenant, s.filter))
	if err != nil {
		return err
	}
	// Those that exist come first: they tell since when there is a subscription.
	var missing []string
	for name := range names {
		found, err := s.open(ctx, name, nil)
		if err != nil {
			return err
		}
		if !found {
			missing = append(missing, name)
		}
	}
	first := s.since.IsZero()
	config := s.consumer(natsjs.DeliverNewPolicy)
	if !first {
		config = s.later()
	}
	for _, name := range missing {
		if first && names[name] {
			continue
		}
		if _, err := s.open(ctx, name, &config); err != nil {
			return err
		}
	}
	if s.since.IsZero() {
		// Nothing was stored yet, so nothing is too old, and this machine's clock may be fast.
		s.since = time.Now().Add(-clockSkew)
	}
	return nil
}

// later is the consumer on a stream that is found after the subscription began.
func (s *Subscription) later() natsjs.ConsumerConfig {
	since := s.since
	config := s.consumer(natsjs.DeliverByStartTimePolicy)
	config.OptStartTime = &since
	return config
}

// consumer is the subscription's consumer on any stream. One message is under way at a time, so that a message that is not
// acknowledged comes again before those behind it.
func (s *Subscription) consumer(from natsjs.DeliverPolicy) natsjs.ConsumerConfig {
	config := Consumer(s.tenant, s.filter, s.durable)
	config.DeliverPolicy = from
	if !s.since.IsZero() {
		config.Metadata[metaSince] = s.since.UTC().Format(time.RFC3339Nano)
	}
	return config
}

// open adds the place of a stream. This is the one function that makes consumers: with a config, where there is none; without, it
// takes what is there. A stream that has gone meanwhile is not found.
func (s *Subscription) open(ctx context.Context, name string, config *natsjs.ConsumerConfig) (found bool, err error) {
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return false, ignoreGone(err)
	}
	if stream.CachedInfo().Config.Metadata[metaTenant] != s.tenant {
		return false, nil
	}
	consumer, err := stream.Consumer(ctx, ConsumerName(s.durable))
	if errors.Is(err, natsjs.ErrConsumerNotFound) && config != nil && s.wants(stream.CachedInfo()) {
		if consumer, err = stream.CreateConsumer(ctx, *config); errors.Is(err, natsjs.ErrConsumerExists) { // by another process
			consumer, err = stream.Consumer(ctx, ConsumerName(s.durable))
		}
	}
	if err != nil {
		if gone := ignoreGone(err); gone != nil {
			return false, fmt.Errorf("consumer of %q on stream %s: %w", s.durable, name, gone)
		}
		return false, nil
	}
	info := consumer.CachedInfo()
	if has := info.Config.Metadata[metaSubscription]; has != s.filter {
		return false, fmt.Errorf("%w: %q is to %q, not to %q", errOtherFilter, s.durable, has, s.filter)
	}
	s.add(stream.CachedInfo(), consumer)
	return true, nil
}

// began is when the subscription of a consumer began.
func began(info *natsjs.ConsumerInfo) time.Time {
	if since, err := time.Parse(time.RFC3339Nano, info.Config.Metadata[metaSince]); err == nil {
		return since
	}
	return info.Created
}

// wants tells whether a stream is worth a consumer: one that is parked may be about to be opened for the first time, or have nothing for the subscription.
func (s *Subscription) wants(info *natsjs.StreamInfo) bool {
	if !isParked(info.Config) {
		return true
	}
	if info.State.Msgs == 0 || info.State.LastTime.Before(s.since) {
		return false
	}
	if topic := info.Config.Metadata[metaTopic]; topic != "" {
		return filter.Match(s.filter, topic)
	}
	f := info.Config.Metadata[metaFilter]
	return f != "" && filter.Intersects(s.filter, f)
}

// add notes a place, or what has become of one.
func (s *Subscription) add(info *natsjs.StreamInfo, consumer natsjs.Consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if began := began(consumer.CachedInfo()); s.since.IsZero() || began.Before(s.since) {
		s.since = began
	}
	p := s.places[info.Config.Name]
	if p == nil {
		p = &place{stream: info.Config.Name, topic: info.Config.Metadata[metaTopic]}
		s.places[info.Config.Name] = p
		if p.topic != "" {
			s.dedicated[p.topic] = append(s.dedicated[p.topic], p)
		} else {
			s.shared = append(s.shared, p)
		}
	}
	p.attach(consumer)
	p.update(info)
}

// all are the places at this moment.
func (s *Subscription) all() iter.Seq[*place] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Values(maps.Clone(s.places))
}

// ignoreGone is nil where a stream or a consumer is not there.
func ignoreGone(err error) error {
	if errors.Is(err, natsjs.ErrStreamNotFound) || errors.Is(err, natsjs.ErrConsumerNotFound) {
		return nil
	}
	return err
}
