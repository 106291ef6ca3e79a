package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

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
	slots := make(chan struct{}, maxEnsures)
	ensures, err := l.link.nc.QueueSubscribe(message.EnsureSubject(l.tenant), queueGroup, func(m *nats.Msg) {
		slots <- struct{}{}
		if !l.store.spawn(func() { l.onEnsure(m); <-slots }) {
			<-slots
		}
	})
	if err != nil {
		return err
	}
	l.subscribed(ensures)
	// Whoever asks beyond that gets no answer, and asks again.
	return ensures.SetPendingLimits(maxEnsuresWaiting, -1)
}

func (l *Log) subscribed(sub *nats.Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscriptions = append(l.subscriptions, sub)
}

// ensureReply answers a native service that asked for a topic.
type ensureReply struct {
	Error *ensureError `json:"error,omitempty"`
}

type ensureError struct {
	Code    reason.Reason `json:"code"`
	Message string        `json:"message"`
}

// onEnsure makes a topic for a native service. It is made although the register may say that it exists: whoever asks has
// found no stream.
func (l *Log) onEnsure(m *nats.Msg) {
	ctx, cancel := context.WithTimeout(l.store.ctx, mendTimeout)
	defer cancel()
	topic := string(m.Data)
	err := l.validTopic(topic)
	if err == nil {
		err = l.provide(ctx, topic)
	}
	var reply ensureReply
	if err != nil {
		refused := refusal(err, 0)
		reply.Error = &ensureError{Code: refused.Reason, Message: refused.Message}
	}
	data, err := json.Marshal(reply)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil && !errors.Is(err, nats.ErrMsgNoReply) {
		l.log.Info("topic request not answered", zap.Error(err))
	}
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
