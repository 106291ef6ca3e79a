package bridge

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

// receiveAll takes n messages, acknowledged, and returns them sorted as "topic payload qos [identifiers]".
func (c *client) receiveAll(n int) (got []string) {
	c.t.Helper()
	for range n {
		p := c.receive()
		slices.Sort(p.Properties.SubscriptionIDs)
		one := fmt.Sprintf("%s %s %d", p.Topic, p.Payload, p.QoS)
		if ids := p.Properties.SubscriptionIDs; len(ids) > 0 {
			one += fmt.Sprint(" ", ids)
		}
		got = append(got, one)
	}
	slices.Sort(got)
	return got
}

func (c *client) expectAll(want ...string) {
	c.t.Helper()
	slices.Sort(want)
	if d := cmp.Diff(want, c.receiveAll(len(want))); d != "" {
		c.t.Errorf("%s (-want +got):\n%s", c.id, d)
	}
	c.ping() // nothing else
}

// options sends one SUBSCRIBE of MQTT 5 with an identifier.
func (c *client) options(identifier uint32, subscriptions ...codec.Subscription) {
	c.t.Helper()
	c.send(&codec.Subscribe{PacketID: 77, SubscriptionID: identifier, Subscriptions: subscriptions})
	for _, code := range expect[*codec.Suback](c).Codes {
		if code > 1 {
			c.t.Fatalf("SUBACK 0x%02X", byte(code))
		}
	}
}

// TestWildcards: filters with wildcards get what the specification's section 4.7 says, of topics that are there and of those that come
// later.
func TestWildcards(t *testing.T) {
	topics := []string{"a", "a/", "a/b", "a/b/c", "a//c", "/a", "/", "b", "b/b", "a/$x"}
	filters := map[string][]string{
		"#":     topics,
		"+":     {"a", "b"},
		"a/#":   {"a", "a/", "a/b", "a/b/c", "a//c", "a/$x"}, // [MQTT-4.7.1-2]
		"a/+":   {"a/", "a/b", "a/$x"},
		"+/+":   {"a/", "a/b", "/a", "/", "b/b", "a/$x"},
		"+/b":   {"a/b", "b/b"},
		"a/+/c": {"a/b/c", "a//c"},
		"/#":    {"/a", "/"},
		"/+":    {"/a", "/"},
		"c/#":   nil,
	}
	for _, v := range []codec.Version{codec.V311, codec.V5} {
		eachPlace(t, func(t *testing.T, rules tenant.Rules) {
			r := ruled(t, tenant.Quotas{}, rules)
			pub := r.connect(codec.V311, "pub")
			pub.t = t
			for i, topic := range topics[:5] {
				pub.mustPublish(topic, uint16(i+1), "before")
			}
			subs := map[string]*client{}
			for f := range filters {
				subs[f] = r.connect(v, "sub "+f)
				subs[f].mustSubscribe(f, 1)
			}
			for i, topic := range topics {
				pub.mustPublish(topic, uint16(i+1), "x")
			}
			for f, want := range filters {
				var all []string
				for _, topic := range want {
					all = append(all, topic+" x 1")
				}
				subs[f].expectAll(all...)
			}
		})
	}
}

// TestNoWildcardMatchesReservedTopics [MQTT-4.7.2-1].
func TestNoWildcardMatchesReservedTopics(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c := r.connect(codec.V5, "me")
	c.mustSubscribe("#", 1)
	c.mustSubscribe("+/$error", 1)
	c.mustSubscribe("a", 1)
	if ack := c.subscribe("$SYS/#", 1); ack.Codes[0] != codec.TopicFilterInvalid {
		t.Errorf("SUBACK 0x%02X", byte(ack.Codes[0]))
	}
	c.ping() // nothing comes of the entry that was written to the error topic
	c.mustSubscribe("$debug/$error", 0)
	if p := c.receive(); string(p.Topic) != "$debug/$error" {
		t.Errorf("got %s", show(p))
	}
}

// TestOverlap: a message comes once, at the highest QoS of all filters that match and with all their identifiers
// [MQTT-3.3.5-1] in 3.1.1, [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] in 5.
func TestOverlap(t *testing.T) {
	eachPlace(t, func(t *testing.T, rules tenant.Rules) {
		each(t, func(t *testing.T, v codec.Version) {
			r := ruled(t, tenant.Quotas{}, rules)
			sub, pub := r.connect(v, "sub"), r.connect(codec.V311, "pub")
			sub.t, pub.t = t, t
			subscribe := func(id uint32, filter string, qos codec.QoS) {
				if v != codec.V5 {
					id = 0
				}
				sub.options(id, codec.Subscription{Filter: filter, QoS: qos})
			}
			with := func(one, fives string) string {
				if v == codec.V5 {
					return one + " " + fives
				}
				return one
			}
			subscribe(1, "a/b", 0)
			subscribe(2, "a/#", 1)
			subscribe(3, "+/b", 0)
			pub.mustPublish("a/b", 1, "x")
			pub.mustPublish("a/c", 2, "x")
			pub.mustPublish("c/b", 3, "x")
			sub.expectAll(with("a/b x 1", "[1 2 3]"), with("a/c x 1", "[2]"), with("c/b x 0", "[3]"))

			// Again, with another QoS and identifier [MQTT-3.8.4-3].
			subscribe(4, "+/b", 1)
			pub.mustPublish("a/b", 1, "x")
			pub.mustPublish("c/b", 2, "x")
			sub.expectAll(with("a/b x 1", "[1 2 4]"), with("c/b x 1", "[4]"))

			unsubscribe := func(filters ...string) {
				sub.send(&codec.Unsubscribe{PacketID: 78, Filters: filters})
				expect[*codec.Unsuback](sub)
			}
			unsubscribe("a/#", "+/b")
			pub.mustPublish("a/b", 1, "x")
			pub.mustPublish("a/c", 2, "x")
			sub.expectAll(with("a/b x 0", "[1]"))
			unsubscribe("a/b")
			pub.mustPublish("a/b", 1, "x") // [MQTT-3.10.4-2]
			sub.ping()
		})
	})
}

// TestOverlapInOnePacket: the filters of one SUBSCRIBE are as those of several [MQTT-3.8.4-5].
func TestOverlapInOnePacket(t *testing.T) {
	eachPlace(t, func(t *testing.T, rules tenant.Rules) {
		r := ruled(t, tenant.Quotas{}, rules)
		for round := range 20 {
			topic := fmt.Sprint("t/", round)
			sub, pub := r.connect(codec.V5, "sub"), r.connect(codec.V311, "pub")
			sub.options(9, codec.Subscription{Filter: topic, QoS: 1}, codec.Subscription{Filter: "t/+"}, codec.Subscription{Filter: "#", QoS: 1})
			pub.mustPublish(topic, 1, "x")
			pub.mustPublish(fmt.Sprint("u/", round), 2, "x")
			sub.expectAll(topic+" x 1 [9 9 9]", fmt.Sprintf("u/%d x 1 [9]", round))
		}
	})
}

// TestNoLocalOfOne: No Local takes away the filter that has it [MQTT-3.8.3-3].
func TestNoLocalOfOne(t *testing.T) {
	eachPlace(t, func(t *testing.T, rules tenant.Rules) {
		r := ruled(t, tenant.Quotas{}, rules)
		c, other := r.connect(codec.V5, "me"), r.connect(codec.V311, "other")
		c.options(1, codec.Subscription{Filter: "a", QoS: 1, NoLocal: true})
		c.options(2, codec.Subscription{Filter: "+"})
		c.options(3, codec.Subscription{Filter: "b/#", QoS: 1, NoLocal: true})
		c.send(publish("a", 0, 0, "mine"), publish("b", 0, 0, "mine"))
		c.expectAll("a mine 0 [2]", "b mine 0 [2]")
		other.mustPublish("a", 1, "other")
		other.mustPublish("b", 2, "other")
		c.expectAll("a other 1 [1 2]", "b other 1 [2 3]")
	})
}

// TestRaiseQoSOfWildcard: from the SUBACK on no message is lost, whatever the client has not acknowledged.
func TestRaiseQoSOfWildcard(t *testing.T) {
	eachPlace(t, func(t *testing.T, rules tenant.Rules) {
		r := ruled(t, tenant.Quotas{}, rules)
		sub, pub := r.connect(codec.V311, "sub"), r.connect(codec.V311, "pub")
		sub.mustSubscribe("a/#", 0)
		const n = 60
		for i := range uint16(n) {
			if i%5 == 4 {
				sub.send(&codec.Subscribe{PacketID: i + 1, Subscriptions: []codec.Subscription{{Filter: "a/#", QoS: codec.QoS(i / 5 % 2)}}})
			}
			pub.mustPublish(fmt.Sprint("a/", i/20), i+1, fmt.Sprint(i))
		}
		for next := [3]int{0, 20, 40}; next != [3]int{20, 40, 60}; {
			p, err := sub.next()
			if err != nil {
				t.Fatalf("at %v: %v", next, err)
			}
			if p, ok := p.(*codec.Publish); ok {
				i := p.Topic[2] - '0'
				if string(p.Payload) != fmt.Sprint(next[i]) {
					t.Fatalf("got %s, want %d", show(p), next[i])
				}
				next[i]++
				if p.QoS == 1 {
					sub.send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
				}
			}
		}
	})
}

// consumers are those of the tenant's topics.
func (r *rig) consumers() (n int) {
	r.t.Helper()
	js, err := natsjs.New(r.native())
	if err != nil {
		r.t.Fatal(err)
	}
	streams := js.ListStreams(r.context(), natsjs.WithStreamListSubject("mqtt.acme.>"))
	for info := range streams.Info() {
		n += info.State.Consumers
	}
	if err := streams.Err(); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// TestUnacknowledgedOfWildcard: what the client has not acknowledged is held in the stream, per topic, and let go when it
// leaves.
func TestUnacknowledgedOfWildcard(t *testing.T) {
	eachPlace(t, func(t *testing.T, rules tenant.Rules) {
		r := ruled(t, tenant.Quotas{BacklogMessages: 2}, rules)
		sub, pub := r.connect(codec.V311, "sub"), r.connect(codec.V5, "pub")
		sub.mustSubscribe("a/+", 1)
		for i := range uint16(2) {
			pub.mustPublish("a/1", i+1, "x")
			pub.mustPublish("a/2", i+11, "x")
		}
		var one []uint16
		for range 4 {
			if p := expect[*codec.Publish](sub); string(p.Topic) == "a/1" {
				one = append(one, p.PacketID)
			}
		}
		if ack := pub.publish("a/2", 21, "y"); ack.Code != codec.QuotaExceeded {
			t.Errorf("PUBACK 0x%02X", byte(ack.Code))
		}
		for _, id := range one {
			sub.send(&codec.Ack{Kind: codec.PUBACK, PacketID: id})
		}
		ctx := r.context()
		stored := func(topic string) {
			for pub.publish(topic, 22, "y").Code != codec.Success {
				if ctx.Err() != nil {
					t.Fatalf("%s stays full", topic)
				}
			}
		}
		stored("a/1")
		if p := sub.receive(); string(p.Payload) != "y" {
			t.Errorf("got %s", show(p))
		}
		sub.send(&codec.Disconnect{})
		sub.expectClosed()
		stored("a/2")
	})
}

// TestCloseOfWildcard: with the last that wants it the consumer of every topic goes, and the filter's record.
func TestCloseOfWildcard(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	pub := r.connect(codec.V311, "pub")
	for i := range uint16(10) {
		pub.mustPublish(fmt.Sprint("a/", i), i+1, "")
	}
	subs := []*client{r.connect(codec.V311, "1"), r.connect(codec.V311, "2"), r.connect(codec.V311, "3")}
	for i, f := range []string{"#", "a/+", "a/#"} {
		subs[i].mustSubscribe(f, 1)
	}
	pub.mustPublish("a/new", 1, "")
	if n := r.consumers(); n != 11 {
		t.Errorf("%d consumers, want one for each topic", n)
	}
	subs[0].send(&codec.Unsubscribe{PacketID: 1, Filters: []string{"#"}})
	subs[1].send(&codec.Disconnect{})
	_ = subs[2].conn.Close()
	ctx := r.context()
	for r.consumers() > 0 {
		if ctx.Err() != nil {
			t.Fatal("consumers are left")
		}
	}
	pub.mustPublish("a/newer", 1, "") // the filter may be known for a moment
	for r.consumers() > 0 {
		if ctx.Err() != nil {
			t.Fatal("the consumer of a topic that nobody wants is left")
		}
	}
}

// TestTakeoverWithWildcard: the session's filters end with the connection that is taken over.
func TestTakeoverWithWildcard(t *testing.T) {
	eachPlace(t, func(t *testing.T, rules tenant.Rules) {
		r := ruled(t, tenant.Quotas{}, rules)
		pub := r.connect(codec.V311, "pub")
		for i := range uint16(10) {
			first := r.connect(codec.V5, "me")
			first.mustSubscribe("#", 1)
			second := r.connect(codec.V5, "me")
			first.expectEnd(codec.SessionTakenOver)
			pub.mustPublish(fmt.Sprint("a/", i), i+1, "x")
			second.ping()
			second.mustSubscribe("a/+", 0)
			pub.mustPublish(fmt.Sprint("b/", i), i+1, "x")
			pub.mustPublish(fmt.Sprint("a/", i), i+1, "y")
			second.expectAll(fmt.Sprintf("a/%d y 0", i))
		}
	})
}

// TestSlowInOneTopicOfWildcard: who does not acknowledge one topic gets the others, and holds up nobody.
func TestSlowInOneTopicOfWildcard(t *testing.T) {
	r := newRig(t, tenant.Quotas{Inflight: 2000}, nil)
	slow, fast, pub := r.connect(codec.V5, "slow"), r.connect(codec.V311, "fast"), r.connect(codec.V311, "pub")
	slow.mustSubscribe("#", 1)
	fast.mustSubscribe("a/+", 1)
	const n = 1000
	var held []uint16
	take := func(topic string) {
		for {
			p := expect[*codec.Publish](slow)
			if string(p.Topic) == "a/slow" {
				held = append(held, p.PacketID)
			} else {
				slow.send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
			}
			if string(p.Topic) == topic {
				return
			}
		}
	}
	for i := range n {
		pub.mustPublish("a/slow", uint16(i+1), fmt.Sprint(i))
		if p := fast.receive(); string(p.Payload) != fmt.Sprint(i) {
			t.Fatalf("fast got %s, want %d", show(p), i)
		}
		if i%50 == 0 {
			pub.mustPublish("b", uint16(i+1), fmt.Sprint(i))
			take("b")
		}
	}
	if consumers := r.consumers(); consumers != 3 {
		t.Errorf("%d consumers, want the shared ones of two topics and an own one of the slow topic", consumers)
	}
	for _, id := range held {
		slow.send(&codec.Ack{Kind: codec.PUBACK, PacketID: id})
	}
	for i := len(held); i < n; i++ {
		if p := slow.receive(); string(p.Payload) != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", show(p), i)
		}
	}
}
