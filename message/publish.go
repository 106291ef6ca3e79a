package message

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/message/puback"
	"github.com/weirmq/weir/reason"
)

// publishTimeout bounds Publish and Ensure where the context has no deadline.
const publishTimeout = 10 * time.Second

// Pauses between attempts to publish to a topic that Weir has made and JetStream does not take yet.
const (
	firstPause = 10 * time.Millisecond
	maxPause   = time.Second
)

// EnsureSubject is where a native service asks, with the topic name as payload, for the stream of a dedicated topic
// that does not exist yet.
func EnsureSubject(tenant string) string { return "weir.topic.ensure." + tenant }

// Publish stores m in the stream of its topic, which Weir makes where there is none yet, and returns JetStream's
// acknowledgement. With m.To set, only that client identifier gets it. It tries until ctx ends, for 10 s where ctx has no deadline.
//
// The error is a *reason.Error whose Reason is one of docs/errors.md: backlog_full, message_too_large, storage_full, topic_quota, topic_invalid,
// topic_reserved, or nats_unavailable mean that m is not stored; publish_outcome_unknown that it may be. To publish it again then may store it twice.
//
// Nothing stores a transient topic. Publish to one fails, and nobody gets the message: use PublishTransient.
func Publish(ctx context.Context, js natsjs.JetStream, tenant string, m *Message) (*natsjs.PubAck, error) {
	if err := checkTopic(m.Topic); err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	msg := m.Msg(tenant)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		ack, err := js.PublishMsg(ctx, msg, natsjs.WithRetryAttempts(0))
		if err == nil {
			return ack, nil
		}
		refused := refusal(err)
		if !errors.Is(refused, puback.NoStream) {
			return nil, refused
		}
		if err := Ensure(ctx, js.Conn(), tenant, m.Topic); err != nil {
			return nil, err
		}
		// Right after the topic was made, and while a change of rules moves it, servers may not all know yet.
		if pause > firstPause {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil, &reason.Error{Reason: reason.NATSUnavailable, Message: "no stream stores the topic; nothing stores a transient one", Err: ctx.Err()}
			}
		}
	}
}

// PublishTransient publishes m to a transient topic, over core NATS: to whoever listens at that moment. Nothing acknowledges it. On a topic that is
// stored it is stored as well, but lost without a word where the stream is full or missing: use Publish.
func PublishTransient(nc *nats.Conn, tenant string, m *Message) error {
	if err := checkTopic(m.Topic); err != nil {
		return err
	}
	if err := nc.PublishMsg(m.Msg(tenant)); err != nil {
		return refusal(err)
	}
	return nil
}

// Ensure makes the stream of a topic where there is none yet, so that what is published to it is stored for whoever subscribes. Publish does it by itself. The error
// is a *reason.Error.
func Ensure(ctx context.Context, nc *nats.Conn, tenant, topic string) error {
	return request(ctx, nc, EnsureSubject(tenant), []byte(topic))
}

// request asks Weir for something that it does or refuses. The error is a *reason.Error.
func request(ctx context.Context, nc *nats.Conn, subject string, data []byte) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return &reason.Error{Reason: reason.NATSUnavailable, Message: "no Weir serves the tenant", Err: err}
	case err != nil:
		return &reason.Error{Reason: reason.NATSUnavailable, Message: "Weir did not answer", Err: err}
	}
	var reply struct {
		Error *struct {
			Code    reason.Reason `json:"code"`
			Message string        `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return &reason.Error{Reason: reason.InternalError, Message: "Weir's answer is not what was expected", Err: err}
	}
	if reply.Error != nil {
		return reason.New(reply.Error.Code, reply.Error.Message)
	}
	return nil
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, publishTimeout)
}

// checkTopic refuses what has no subject. Weir checks the tenant's limits.
func checkTopic(topic string) error {
	switch {
	case !validName([]byte(topic)):
		if !utf8.ValidString(topic) {
			return reason.New(reason.TopicInvalid, "the topic name is not UTF-8")
		}
		return reason.New(reason.TopicInvalid, "a topic name is not empty, and has no U+0000, + or #")
	case topic[0] == '$':
		return reason.New(reason.TopicReserved, "topics that start with $ are reserved")
	}
	return nil
}

// refusal is what an error of a publish means.
func refusal(err error) *reason.Error {
	var api *natsjs.APIError
	switch {
	case errors.As(err, &api):
		return puback.Refusal(int(api.ErrorCode), api.Description)
	case errors.Is(err, natsjs.ErrNoStreamResponse):
		return puback.NoStream
	case errors.Is(err, nats.ErrMaxPayload):
		return puback.TooLarge
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, nats.ErrInvalidConnection):
		return &reason.Error{Reason: reason.NATSUnavailable, Message: "there is no connection to NATS", Err: err}
	}
	return &reason.Error{Reason: reason.PublishUnknown, Message: "JetStream has not answered", Err: err}
}
