package bridge

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/codec"
	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// admit says why a filter is refused, nil where it is not.
func (s *session) admit(name string) *reason.Error {
	if err := topicfilter.Check(name); err != nil {
		return reason.New(reason.TopicInvalid, "not a topic filter: "+err.Error())
	}
	switch {
	case strings.HasPrefix(name, "$share/"):
		return reason.New(reason.SharedUnsupported, "shared subscriptions are not served")
	case name == errorTopic:
		return nil
	case name == errorTopicOfAll && s.role == tenant.RoleApplication:
		return nil
	}
	if err := quota.Topic(s.limits, s.tenant, name); err != nil {
		return refused(err)
	}
	return nil
}

// maxAttaching is how many filters of one SUBSCRIBE attach at a time.
const maxAttaching = 8

// request is one filter of a SUBSCRIBE and what became of it: one of made and err is set.
type request struct {
	codec.Subscription
	made *filter
	err  *reason.Error
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
			ack.Codes[i] = codec.ReasonCode(granted(r.QoS))
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
			c.session.subs.grant(r.made)
		}
	}
	c.session.subs.changing = false
	c.session.subs.prune()
	c.mu.Unlock()
	c.carryOut(effect{end: bad})
}

// subscribeEach makes the subscriptions of a SUBSCRIBE. Filters that make no topic attach at the same time, since each waits for
// JetStream. New topics are made in the order of the filters, so that it is the first ones that the quota has room for; and a
// filter that comes twice is made and then replaced.
func (c *conn) subscribeEach(p *codec.Subscribe) []request {
	requests := make([]request, len(p.Subscriptions))
	for i, one := range p.Subscriptions {
		requests[i].Subscription = one
	}
	if c.member == nil {
		c.member = c.server.Hub.Join(c.log, c)
	}
	c.mu.Lock()
	admitted := c.session.admitEach(requests)
	c.session.subs.changing = true
	c.mu.Unlock()
	admitted = c.inOrder(admitted)
	concurrently(len(admitted), maxAttaching, func(i int) {
		c.guard(func() bool {
			for _, r := range admitted[i] {
				if c.ctx.Err() != nil {
					break // nobody waits for the answer any more
				}
				if r.made, r.err = c.subscribeOne(r.Subscription, p.SubscriptionID); r.err != nil && r.err.Reason == reason.NATSUnavailable {
					c.end(ending{Error: r.err})
				}
			}
			return true
		})
	})
	return requests
}

// admitEach refuses the filters that cannot be, and returns the others, those that are equal together.
func (s *session) admitEach(requests []request) (admitted [][]*request) {
	place := map[string]int{} // of a filter in admitted
	count := len(s.subs.filters)
	for i := range requests {
		r := &requests[i]
		if r.err = s.admit(r.Filter); r.err != nil {
			continue
		}
		if at, ok := place[r.Filter]; ok {
			admitted[at] = append(admitted[at], r)
			continue
		}
		if s.subs.filters[r.Filter] == nil {
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
		if filter := equal[0].Filter; filter[0] == '$' || matchesMore(filter) || c.known(filter) {
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

// known reports whether a topic need not be made before it can be subscribed to.
func (c *conn) known(topic string) bool {
	route, _ := c.log.Lookup([]byte(topic))
	return route != nil
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
func (c *conn) subscribeOne(one codec.Subscription, identifier uint32) (*filter, *reason.Error) {
	c.mu.Lock()
	f := c.session.subs.filters[one.Filter]
	if f != nil {
		if granted(one.QoS) > 0 {
			c.hold(f)
		}
		f.setOptions(one, identifier)
	}
	c.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f = newFilter(one.Filter)
	f.setOptions(one, identifier)
	if err := c.keep(f); err != nil {
		return nil, refused(err)
	}
	if err := c.attach(f); err != nil {
		f.release()
		return nil, refused(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.subs.filters[f.name] = f
	return f, nil
}

// keep lets the topic of a filter without wildcards count while it is subscribed to, where its rule has a limit of topics.
func (c *conn) keep(f *filter) error {
	if f.wild || f.name[0] == '$' {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, storeTimeout)
	defer cancel()
	release, err := c.log.KeepTopic(ctx, f.name)
	if err == nil {
		f.release = release
	}
	return err
}

// hold lets the messages that come for a filter wait for the client's acknowledgement. The caller holds mu.
func (c *conn) hold(f *filter) {
	if one := c.session.subs.cursors[errorPlace(f.name)]; one != nil {
		one.source.Hold()
	} else {
		c.member.Hold(f.name)
	}
}

// attach opens the cursors of a filter: when it returns, no message that is stored from now on is missed.
func (c *conn) attach(f *filter) error {
	ctx, cancel := context.WithTimeout(c.ctx, storeTimeout)
	defer cancel()
	hold := f.granted > 0
	var sub *fanout.Subscription
	var err error
	switch f.name {
	case errorTopic:
		sub, err = c.member.SubscribeErrors(ctx, c.session.clientID, c.principal.User, hold)
	case errorTopicOfAll:
		sub, err = c.member.SubscribeErrors(ctx, "", "", hold)
	default:
		return c.member.Subscribe(ctx, f.name, hold)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.subs.open(errorPlace(f.name), sub, c.woken)
	return nil
}

// Opened takes the cursor of a place with topics that a filter matches.
func (c *conn) Opened(sub *fanout.Subscription) {
	c.mu.Lock()
	c.session.subs.open(sub.Place(), sub, c.woken)
	c.mu.Unlock()
	c.signal()
}

// Moved keeps the cursor of a topic that has moved beside the one that the topic may get now.
func (c *conn) Moved(sub *fanout.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.subs.moved(sub.Place(), sub)
}

// Ended drops a cursor for which nothing comes any more.
func (c *conn) Ended(sub *fanout.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.subs.ended(sub)
}

// woken notes that a cursor may have a message.
func (c *conn) woken(one *cursor) {
	c.mu.Lock()
	c.session.subs.enqueue(one)
	c.mu.Unlock()
	c.signal()
}

// unsubscribe carries out an UNSUBSCRIBE. What was sent stays in the window until it is acknowledged
// [MQTT-3.10.4-3].
func (c *conn) unsubscribe(p *codec.Unsubscribe) {
	ack := &codec.Unsuback{PacketID: p.PacketID, Codes: make([]codec.ReasonCode, len(p.Filters))}
	c.mu.Lock()
	for i, name := range p.Filters {
		f := c.session.subs.filters[name]
		switch {
		case f != nil:
			c.member.Unsubscribe(f.name)
			c.session.subs.drop(f)
		case topicfilter.Check(name) == nil:
			ack.Codes[i] = codec.NoSubscriptionExisted
		default:
			ack.Codes[i] = codec.TopicFilterInvalid
		}
	}
	bad := c.session.answer(ack)
	c.mu.Unlock()
	c.carryOut(effect{end: bad})
}
