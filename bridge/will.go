package bridge

import (
	"context"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// checkWill refuses a will that could not be published.
func checkWill(w *codec.Will, tenantName string, l tenant.Limits) error {
	switch {
	case w.QoS == 2:
		return reason.New(reason.QoSUnsupported, "will QoS 2 is not served [MQTT-3.2.2-12]")
	case w.Retain:
		return reason.New(reason.RetainUnsupported, "will retain is not served [MQTT-3.2.2-13]")
	}
	if err := quota.Topic(l, tenantName, w.Topic); err != nil {
		return reason.New(reason.WillTopicInvalid, refused(err).Message)
	}
	return nil
}

func willMessage(w *codec.Will, clientID string, p authn.Principal) *message.Message {
	m := &message.Message{
		Topic: w.Topic, Payload: w.Payload, QoS: message.QoS(w.QoS),
		ClientID: clientID, User: p.User, Role: string(p.Role),
	}
	copyProperties(m, &w.Properties.Message)
	return m
}

// publishWill publishes the will, if there is one, and waits for its PubAck. A will delay is not waited for: the
// session ends with the connection, and the will goes out when either is over [MQTT-3.1.3-9].
func (c *conn) publishWill() {
	if c.will == nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.server.base, willTimeout)
	defer cancel()
	if err := c.storeWill(ctx); err != nil {
		c.server.Metrics.publishes.WithLabelValues(string(err.Reason)).Inc()
		c.report(&fault{Error: err, packet: codec.CONNECT, topic: c.will.Topic})
		c.server.Logger.Warn("will not published", append(c.fields(),
			zap.String("reason", string(err.Reason)), zap.String("detail", err.Message), zap.NamedError("cause", err.Err))...)
		return
	}
	c.server.Metrics.stored.Inc()
}

func (c *conn) storeWill(ctx context.Context) *reason.Error {
	route, err := c.log.Topic(ctx, c.will.Topic)
	if err != nil {
		return refused(err)
	}
	if route.Wait(ctx) != nil {
		return unknownOutcome
	}
	a := make(answer, 1)
	route.Publish(c.will, a, 0)
	select {
	case r := <-a:
		if r.Outcome != publisher.Stored {
			return refused(r.Err)
		}
		return nil
	case <-ctx.Done():
		return unknownOutcome
	}
}

// answer takes the answer to one publish. It has room for one.
type answer chan publisher.Result

// Published implements publisher.Done.
func (a answer) Published(_ uint64, r publisher.Result) { a <- r }
