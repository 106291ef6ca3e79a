package bridge

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"

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

// maxAttaching is how many filters of one SUBSCRIBE attach at a time.
const maxAttaching = 8

// request is one filter of a SUBSCRIBE and what became of it: one of sub and err is set.
type request struct {
	codec.Subscription
	sub *subscription
	err *reason.Error
}

// subscribe carries out a SUBSCRIBE: each filter as if it had come in a packet of its own, with one answer
// [MQTT-3.8.4-5]. Messages flow only after the SUBACK.
func (c *conn) subscribe(p *codec.Subscribe) {
	requests := c.subscribeEach(p)
	if c.ctx.Err() != nil {
		// The connection has ended. Where that is because nothing was decided about a filter, the client must not take the
		// answer for a refusal: it comes back.
		return
	}
	ack := &codec.Suback{PacketID: p.PacketID, Codes: make([]codec.ReasonCode, len(requests))}
	for i, r := range requests {
		if r.err == nil {
			ack.Codes[i] = codec.ReasonCode(min(r.QoS, 1))
			continue
		}
		ack.Codes[i] = subackCode(r.err.Reason, c.session.version)
		if ack.ReasonString == "" {
			ack.ReasonString = c.session.reasonString(r.err)
		}
		c.server.Metrics.filters.WithLabelValues(string(r.err.Reason)).Inc()
		c.report(&fault{Error: r.err, packet: codec.SUBSCRIBE, topic: r.Filter, packetID: p.PacketID})
	}
	c.mu.Lock()
	bad := c.session.answer(ack)
	if bad != nil && ack.ReasonString != "" {
		ack.ReasonString = ""
		bad = c.session.answer(ack)
	}
	for _, r := range requests {
		if r.err == nil {
			r.sub.live = true
			c.session.subs.enqueue(r.sub)
		}
	}
	c.mu.Unlock()
	c.carryOut(effect{end: bad})
}

// subscribeEach makes the subscriptions of a SUBSCRIBE. Filters of topics that exist attach at the same time, since each waits for
// JetStream. New topics are made in the order of the filters, so that it is the first ones that the quota has room for; and a
// filter that comes twice is made and then replaced.
func (c *conn) subscribeEach(p *codec.Subscribe) []request {
	requests := make([]request, len(p.Subscriptions))
	for i, one := range p.Subscriptions {
		requests[i].Subscription = one
	}
	c.mu.Lock()
	admitted := c.session.admitEach(requests, p.SubscriptionID)
	c.mu.Unlock()
	admitted = c.inOrder(admitted)
	concurrently(len(admitted), maxAttaching, func(i int) {
		c.guard(func() bool {
			for _, r := range admitted[i] {
				if c.ctx.Err() != nil {
					break // nobody waits for the answer any more
				}
				if r.sub, r.err = c.subscribeOne(r.Subscription); r.err != nil && r.err.Reason == reason.NATSUnavailable {
					c.end(ending{Error: r.err})
				}
			}
			return true
		})
	})
	return requests
}

// admitEach refuses the filters that cannot be, and returns the others, those that are equal together.
func (s *session) admitEach(requests []request, subscriptionID uint32) (admitted [][]*request) {
	place := map[string]int{} // of a filter in admitted
	count := len(s.subs.byFilter)
	for i := range requests {
		r := &requests[i]
		if r.err = s.admit(r.Filter, subscriptionID); r.err != nil {
			continue
		}
		if at, ok := place[r.Filter]; ok {
			admitted[at] = append(admitted[at], r)
			continue
		}
		if s.subs.byFilter[r.Filter] == nil {
			if err := quota.Subscriptions(count + 1); err != nil {
				r.err = refused(err)
				continue
			}
			count++
		}
		place[r.Filter] = len(admitted)
		admitted = append(admitted, []*request{r})
	}
	return admitted
}

// inOrder puts the filters whose topics have to be made together, without changing their order.
func (c *conn) inOrder(admitted [][]*request) (independent [][]*request) {
	var made []*request
	for _, equal := range admitted {
		if filter := equal[0].Filter; filter[0] == '$' || c.log.Lookup([]byte(filter)) != nil {
			independent = append(independent, equal)
		} else {
			made = append(made, equal...)
		}
	}
	if made != nil {
		independent = append(independent, made)
	}
	return independent
}

// concurrently calls f with each number below n in order, at most limit at a time, and returns when all have returned.
func concurrently(n, limit int, f func(i int)) {
	var g errgroup.Group
	g.SetLimit(limit)
	for i := range n {
		g.Go(func() error {
			f(i)
			return nil
		})
	}
	_ = g.Wait() // f has no error
}

// subscribeOne makes one subscription, or replaces the one with the same filter without losing a message of it
// [MQTT-3.8.4-3] [MQTT-3.8.4-4].
func (c *conn) subscribeOne(one codec.Subscription) (*subscription, *reason.Error) {
	granted := min(one.QoS, 1)
	c.mu.Lock()
	old := c.session.subs.byFilter[one.Filter]
	if old != nil && (old.hold || granted == 0) {
		// What holds messages can also pass them by.
		old.granted, old.noLocal = granted, one.NoLocal
		c.mu.Unlock()
		return old, nil
	}
	c.mu.Unlock()
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
