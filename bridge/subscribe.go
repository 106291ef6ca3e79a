package bridge

import (
	"context"
	"strings"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// admit says why a filter is refused, nil where it is not.
func (s *session) admit(filter string, subscriptionID uint32) *reason.Error {
	switch {
	case subscriptionID != 0:
		return reason.New(reason.SubscriptionIDUnsupp, "subscription identifiers are not served")
	case !codec.ValidFilter(filter):
		return reason.New(reason.TopicInvalid, "not a topic filter [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1]")
	case strings.HasPrefix(filter, "$share/"):
		return reason.New(reason.SharedUnsupported, "shared subscriptions are not served")
	case filter == errorTopic:
		return nil
	case filter == errorTopicOfAll && s.role == tenant.RoleApplication:
		return nil
	case filter[0] == '$':
		return reason.New(reason.TopicReserved, "topics that start with $ are reserved")
	case strings.ContainsAny(filter, "+#"):
		return reason.New(reason.WildcardUnsupported, "wildcards are not served")
	}
	if err := quota.Topic(s.limits, s.tenant, filter); err != nil {
		return refused(err)
	}
	return nil
}

// subscribe carries out a SUBSCRIBE: each filter as if it had come in a packet of its own, with one answer
// [MQTT-3.8.4-5]. Messages flow only after the SUBACK.
func (c *conn) subscribe(p *codec.Subscribe) {
	ack := &codec.Suback{PacketID: p.PacketID, Codes: make([]codec.ReasonCode, len(p.Subscriptions))}
	var made []*subscription
	for i, one := range p.Subscriptions {
		sub, err := c.subscribeOne(one, p.SubscriptionID)
		if err == nil {
			ack.Codes[i] = codec.ReasonCode(sub.granted)
			made = append(made, sub)
			continue
		}
		if err.Reason == reason.NATSUnavailable {
			// Nothing was decided about the filter, so the client must not take the answer for a refusal: it comes back.
			c.end(ending{Error: err})
			return
		}
		ack.Codes[i] = subackCode(err.Reason, c.session.version)
		if ack.ReasonString == "" {
			ack.ReasonString = c.session.reasonString(err)
		}
		c.server.Metrics.filters.WithLabelValues(string(err.Reason)).Inc()
		c.report(&fault{Error: err, packet: codec.SUBSCRIBE, topic: one.Filter, packetID: p.PacketID})
	}
	c.mu.Lock()
	bad := c.session.answer(ack)
	if bad != nil && ack.ReasonString != "" {
		ack.ReasonString = ""
		bad = c.session.answer(ack)
	}
	for _, sub := range made {
		sub.live = true
		c.session.subs.enqueue(sub)
	}
	c.mu.Unlock()
	c.carryOut(effect{end: bad})
}

// subscribeOne makes one subscription, or replaces the one with the same filter without losing a message of it
// [MQTT-3.8.4-3] [MQTT-3.8.4-4].
func (c *conn) subscribeOne(one codec.Subscription, subscriptionID uint32) (*subscription, *reason.Error) {
	c.mu.Lock()
	err := c.session.admit(one.Filter, subscriptionID)
	old := c.session.subs.byFilter[one.Filter]
	count := len(c.session.subs.byFilter)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	granted := min(one.QoS, 1)
	if old != nil && (old.hold || granted == 0) {
		// What holds messages can also pass them by.
		c.mu.Lock()
		old.granted, old.noLocal = granted, one.NoLocal
		c.mu.Unlock()
		return old, nil
	}
	if old == nil {
		if err := quota.Subscriptions(count + 1); err != nil {
			return nil, refused(err)
		}
	}
	sub := &subscription{filter: one.Filter, hold: granted > 0, granted: granted, noLocal: one.NoLocal, wake: c.woken}
	if err := c.attach(sub); err != nil {
		return nil, refused(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old != nil {
		sub.replace(old)
	}
	c.session.subs.byFilter[one.Filter] = sub
	return sub, nil
}

// attach opens the cursor of a subscription: when it returns, no message that is stored from now on is missed.
func (c *conn) attach(sub *subscription) error {
	ctx, cancel := context.WithTimeout(c.ctx, storeTimeout)
	defer cancel()
	var cursor *fanout.Subscription
	var err error
	switch sub.filter {
	case errorTopic:
		cursor, err = c.server.Hub.SubscribeErrors(ctx, c.log, c.session.clientID, c.principal.User, sub.hold, sub)
	case errorTopicOfAll:
		cursor, err = c.server.Hub.SubscribeErrors(ctx, c.log, "", "", sub.hold, sub)
	default:
		cursor, err = c.server.Hub.Subscribe(ctx, c.log, sub.filter, sub.hold, sub)
	}
	sub.cursor = cursor
	return err
}

// woken notes that a subscription may have a message.
func (c *conn) woken(sub *subscription) {
	c.mu.Lock()
	c.session.subs.enqueue(sub)
	c.mu.Unlock()
	c.signal()
}

// unsubscribe carries out an UNSUBSCRIBE. What was sent stays in the window until it is acknowledged
// [MQTT-3.10.4-3].
func (c *conn) unsubscribe(p *codec.Unsubscribe) {
	ack := &codec.Unsuback{PacketID: p.PacketID, Codes: make([]codec.ReasonCode, len(p.Filters))}
	c.mu.Lock()
	for i, filter := range p.Filters {
		sub := c.session.subs.byFilter[filter]
		switch {
		case sub != nil:
			sub.close()
			delete(c.session.subs.byFilter, filter)
		case codec.ValidFilter(filter):
			ack.Codes[i] = codec.NoSubscriptionExisted
		default:
			ack.Codes[i] = codec.TopicFilterInvalid
		}
	}
	bad := c.session.answer(ack)
	c.mu.Unlock()
	c.carryOut(effect{end: bad})
}
