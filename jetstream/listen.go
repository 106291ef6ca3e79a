package jetstream

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// maxEnsures is how many requests for topics are worked on at a time, and maxEnsuresWaiting how many may wait.
const (
	maxEnsures        = 8
	maxEnsuresWaiting = 1024
)

// listen begins to answer other bridges and native services.
func (l *Log) listen() error {
	takeovers, err := l.link.nc.Subscribe(takeoverSubject(l.store.config.Bridge, l.tenant), l.onTakeover)
	if err != nil {
		return err
	}
	l.subscribed(takeovers)
	if err := l.answerServices(message.EnsureSubject(l.tenant), l.ensureTopic); err != nil {
		return err
	}
	return l.listenToServices()
}

func (l *Log) subscribed(sub *nats.Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscriptions = append(l.subscriptions, sub)
}

// ensureTopic makes a topic for a native service. It is made although the register may say that it exists: whoever asks has
// found no stream.
func (l *Log) ensureTopic(ctx context.Context, data []byte) error {
	if err := l.validTopic(string(data)); err != nil {
		return err
	}
	return l.provide(ctx, string(data))
}

// provide returns once there is what takes the messages of a topic, although somebody may have found that there is not.
func (l *Log) provide(ctx context.Context, topic string) error {
	for {
		r := l.currentRouting()
		if err := l.provideBy(ctx, r, topic); !errors.Is(err, errMoved) {
			return err
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

func (l *Log) provideBy(ctx context.Context, r *routing, topic string) error {
	switch place := r.policies.Place(topic); place.Stream {
	case tenant.StreamShared:
		s := r.sharedRule(place.Name)
		if s == nil {
			return errNoRule
		}
		if err := s.ready(ctx, true); err != nil {
			return err
		}
		return s.enlist(ctx, topic)
	case tenant.StreamTransient:
		return nil
	case tenant.StreamDedicated:
	}
	return l.register.topic(topic).ready(ctx, true)
}

// validTopic checks a topic name that comes from a native service as those of devices are checked.
func (l *Log) validTopic(topic string) error {
	limit := l.Limits().TopicBytes
	if len(topic) > limit {
		return reason.New(reason.TopicInvalid, fmt.Sprintf("the topic has %d bytes; topic_bytes is %d", len(topic), limit))
	}
	levels := 1
	for _, r := range topic {
		switch r {
		case '/':
			levels++
		case 0, '+', '#':
			return reason.New(reason.TopicInvalid, "a topic name has no U+0000, + or #")
		}
	}
	switch {
	case topic == "" || !utf8.ValidString(topic):
		return reason.New(reason.TopicInvalid, "a topic name is not empty and is UTF-8")
	case topic[0] == '$':
		return reason.New(reason.TopicReserved, "topics that start with $ are reserved")
	case levels > tenant.MaxTopicLevels:
		return reason.New(reason.TopicInvalid, fmt.Sprintf("the topic has %d levels; the maximum is %d", levels, tenant.MaxTopicLevels))
	case len(message.Subject(l.tenant, topic)) > tenant.MaxSubjectBytes:
		return reason.New(reason.TopicInvalid, fmt.Sprintf("the topic's subject is over %d bytes", tenant.MaxSubjectBytes))
	}
	return nil
}
