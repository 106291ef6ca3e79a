package bridge

import (
	"fmt"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

func sharedRules() tenant.Rules {
	return tenant.Rules{{Filter: "s/#", Stream: tenant.StreamShared, Name: "s", BacklogBytes: 1 << 26}}
}

// TestSharedTopicsAgainstNoQuota: a session subscribes to any number of topics of a shared rule, and all of them are one consumer.
func TestSharedTopicsAgainstNoQuota(t *testing.T) {
	r := ruled(t, tenant.Quotas{Topics: 1}, sharedRules())
	sub, pub := r.connect(codec.V5, "sub"), r.connect(codec.V311, "pub")
	const n = 500
	for first := 0; first < n; first += 100 {
		p := &codec.Subscribe{PacketID: 1, SubscriptionID: uint32(first + 1)}
		for i := range 100 {
			p.Subscriptions = append(p.Subscriptions, codec.Subscription{Filter: fmt.Sprint("s/", first+i), QoS: 1})
		}
		sub.send(p)
		for i, code := range expect[*codec.Suback](sub).Codes {
			if code != 1 {
				t.Fatalf("s/%d: SUBACK 0x%02X", first+i, byte(code))
			}
		}
	}
	for i := range n {
		pub.mustPublish(fmt.Sprint("s/", i), uint16(i+1), "x")
		p := sub.receive()
		if ids := p.Properties.SubscriptionIDs; string(p.Topic) != fmt.Sprint("s/", i) || len(ids) != 1 || ids[0] != uint32(i/100*100+1) {
			t.Fatalf("got %s", show(p))
		}
	}
	if consumers := r.consumers(); consumers != 1 {
		t.Errorf("%d consumers", consumers)
	}
	var filters []string
	for i := range n {
		if i%2 == 0 {
			filters = append(filters, fmt.Sprint("s/", i))
		}
	}
	sub.send(&codec.Unsubscribe{PacketID: 2, Filters: filters})
	expect[*codec.Unsuback](sub)
	for i := range 10 {
		pub.mustPublish(fmt.Sprint("s/", i), uint16(i+1), "y")
	}
	sub.expectAll("s/1 y 1 [1]", "s/3 y 1 [1]", "s/5 y 1 [1]", "s/7 y 1 [1]", "s/9 y 1 [1]")
}

// TestSlowAtSharedRule: who does not acknowledge some topics of a rule gets the others, and holds up nobody, whether somebody else
// subscribes or not. What it subscribes to meanwhile it gets as well.
func TestSlowAtSharedRule(t *testing.T) {
	r := ruled(t, tenant.Quotas{Inflight: 2000}, sharedRules())
	slow, pub := r.connect(codec.V5, "slow"), r.connect(codec.V311, "pub")
	slow.mustSubscribe("s/slow/+", 1)
	const n = 600
	var held []*codec.Publish
	take := func(topic string) {
		t.Helper()
		for {
			p := expect[*codec.Publish](slow)
			if string(p.Topic) == topic {
				slow.send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
				return
			}
			held = append(held, p)
		}
	}
	store := func(i int) { pub.mustPublish(fmt.Sprint("s/slow/", i%7), uint16(i+1), fmt.Sprint(i)) }
	ctx := r.context()
	i := 0
	for ; i < n || r.consumers() < 2; i++ {
		if ctx.Err() != nil {
			t.Fatal("not detached")
		}
		store(i)
	}
	fast := r.connect(codec.V311, "fast")
	fast.mustSubscribe("s/#", 1)
	slow.subscribeBehind(&held, "s/other", 1)
	for end := i + 100; i < end; i++ {
		store(i)
		if p := fast.receive(); string(p.Payload) != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", show(p), i)
		}
	}
	pub.mustPublish("s/other", 1, "x")
	if p := fast.receive(); string(p.Topic) != "s/other" {
		t.Fatalf("got %s", show(p))
	}
	take("s/other")
	for k, p := range held {
		if string(p.Payload) != fmt.Sprint(k) {
			t.Fatalf("got %s, want %d", show(p), k)
		}
		slow.send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
	}
	if len(held) != i {
		t.Errorf("got %d messages, want %d", len(held), i)
	}
}

// subscribeBehind subscribes while messages come, which are put with the others.
func (c *client) subscribeBehind(held *[]*codec.Publish, filter string, qos codec.QoS) {
	c.t.Helper()
	c.send(&codec.Subscribe{PacketID: 1000, Subscriptions: []codec.Subscription{{Filter: filter, QoS: qos}}})
	for {
		p, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		switch p := p.(type) {
		case *codec.Publish:
			*held = append(*held, p)
		case *codec.Suback:
			if p.Codes[0] != codec.ReasonCode(qos) {
				c.t.Fatalf("got %s", show(p))
			}
			return
		default:
			c.t.Fatalf("got %s", show(p))
		}
	}
}
