package jetstream

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weirmq/weir/reason"
)

// serviceReply answers a native service that asked for something.
type serviceReply struct {
	Error *serviceError `json:"error,omitempty"`
}

type serviceError struct {
	Code    reason.Reason `json:"code"`
	Message string        `json:"message"`
}

// badRequest is an error with a reason.
func badRequest(err error) error {
	if known, ok := errors.AsType[*reason.Error](err); ok {
		return known
	}
	return reason.New(reason.BadRequest, err.Error())
}

// answerServices answers requests of native services, a few at a time.
func (l *Log) answerServices(subject string, answer func(ctx context.Context, data []byte) error) error {
	slots := make(chan struct{}, maxEnsures)
	sub, err := l.link.nc.QueueSubscribe(subject, queueGroup, func(m *nats.Msg) {
		slots <- struct{}{}
		if !l.store.spawn(func() { l.respond(m, answer); <-slots }) {
			<-slots
		}
	})
	if err != nil {
		return err
	}
	l.subscribed(sub)
	// Whoever asks beyond that gets no answer, and asks again.
	return sub.SetPendingLimits(maxEnsuresWaiting, -1)
}

// respond answers one request.
func (l *Log) respond(m *nats.Msg, answer func(ctx context.Context, data []byte) error) {
	ctx, cancel := context.WithTimeout(l.store.ctx, mendTimeout)
	defer cancel()
	var reply serviceReply
	if err := answer(ctx, m.Data); err != nil {
		refused := refusal(err, 0)
		reply.Error = &serviceError{Code: refused.Reason, Message: refused.Message}
	}
	data, err := json.Marshal(reply)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil && !errors.Is(err, nats.ErrMsgNoReply) {
		l.log.Info("request of a service not answered", zap.String("subject", m.Subject), zap.Error(err))
	}
}
