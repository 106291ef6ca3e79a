package bridge

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

// TestPropertiesTravel: the properties of a message reach the subscriber as they were [MQTT-3.3.2-4] [MQTT-3.3.2-15]
// [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20].
func TestPropertiesTravel(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	pub, sub5, sub3 := r.connect(codec.V5, "pub"), r.connect(codec.V5, "five"), r.connect(codec.V311, "three")
	sub5.mustSubscribe("a", 1)
	sub3.mustSubscribe("a", 1)
	p := publish("a", 1, 1, "payload\x00\xff")
	p.Properties.Message = codec.MessageProperties{
		PayloadFormat: 1, HasPayloadFormat: true, MessageExpiry: 1000, HasMessageExpiry: true,
		ContentType: []byte("text/plain; x=%41"), ResponseTopic: []byte("answers/here"), CorrelationData: []byte{0, 1, 255},
		UserProperties: []codec.UserProperty{{Name: "a=b", Value: "1\r\nMqtt-To: you"}, {Name: "a=b", Value: ""}, {Name: "", Value: "ä"}},
	}
	pub.send(p)
	expect[*codec.Ack](pub)
	got := sub5.receive()
	want := p.Properties
	if e := got.Properties.Message.MessageExpiry; e > 1000 || e < 990 {
		t.Errorf("expiry %d", e)
	}
	want.Message.MessageExpiry = got.Properties.Message.MessageExpiry
	if d := cmp.Diff(want, got.Properties); d != "" || string(got.Payload) != "payload\x00\xff" {
		t.Errorf("properties differ (-want +got):\n%s", d)
	}
	if got := sub3.receive(); string(got.Payload) != "payload\x00\xff" {
		t.Errorf("got %s", show(got))
	}
}

// TestNativeMessage: a service publishes over NATS, to all or to one client.
func TestNativeMessage(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	one, two := r.connect(codec.V311, "one"), r.connect(codec.V5, "two")
	one.mustSubscribe("cmd/x y", 1)
	two.mustSubscribe("cmd/x y", 1)
	nc := r.native()
	for _, m := range []*nats.Msg{
		{Subject: "mqtt.acme.cmd.x%20y", Data: []byte("for two"), Header: nats.Header{"Mqtt-To": {"two"}}},
		{Subject: "mqtt.acme.cmd.x%20y", Data: []byte("for all")},
	} {
		if _, err := nc.RequestMsgWithContext(r.context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for c, want := range map[*client][]string{one: {"for all"}, two: {"for two", "for all"}} {
		for _, w := range want {
			if p := c.receive(); string(p.Payload) != w || p.QoS != 1 {
				t.Errorf("%s: got %s, want %s", c.id, show(p), w)
			}
		}
		c.ping()
	}
}

// TestWindow: no more deliveries without a PUBACK than the client's Receive Maximum, over all topics
// [MQTT-3.3.4-9], and every message in order when it acknowledges.
func TestWindow(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	sub := r.connect(codec.V5, "sub", func(p *codec.Connect) { p.Properties.ReceiveMaximum = 3 })
	sub.mustSubscribe("a", 1)
	sub.mustSubscribe("b", 1)
	pub := r.connect(codec.V311, "pub")
	const n = 20
	for i := range uint16(n) {
		pub.mustPublish("a", i+1, fmt.Sprint(i))
		pub.mustPublish("b", i+1, fmt.Sprint(i))
	}
	next := map[string]int{}
	var waiting []uint16
	for range 2 * n {
		if len(waiting) == 3 {
			sub.ping() // nothing but the answer comes
			sub.send(&codec.Ack{Kind: codec.PUBACK, PacketID: waiting[0]})
			waiting = waiting[1:]
		}
		p := expect[*codec.Publish](sub)
		if want := fmt.Sprint(next[string(p.Topic)]); string(p.Payload) != want {
			t.Fatalf("got %s, want %s", show(p), want)
		}
		next[string(p.Topic)]++
		waiting = append(waiting, p.PacketID)
	}
}

// TestSubscribeAgain: a SUBSCRIBE with the same filter replaces the subscription and loses nothing [MQTT-3.8.4-3]
// [MQTT-3.8.4-4].
func TestSubscribeAgain(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	sub, pub := r.connect(codec.V5, "sub"), r.connect(codec.V311, "pub")
	const n = 60
	for i := range uint16(n) {
		// The subscription changes while messages come: QoS 0, 1, 0, …
		if i%5 == 0 {
			sub.send(&codec.Subscribe{PacketID: i + 1, Subscriptions: []codec.Subscription{{Filter: "a", QoS: codec.QoS(i / 5 % 2)}}})
			if i == 0 {
				expect[*codec.Suback](sub)
			}
		}
		pub.mustPublish("a", i+1, fmt.Sprint(i))
	}
	for i := 0; i < n; {
		p, err := sub.next()
		if err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		if p, ok := p.(*codec.Publish); ok {
			if string(p.Payload) != fmt.Sprint(i) {
				t.Fatalf("got %s, want %d", show(p), i)
			}
			if p.QoS == 1 {
				sub.send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
			}
			i++
		}
	}
}

func TestUnsubscribe(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	each(t, func(t *testing.T, v codec.Version) {
		c := r.connect(v, "me")
		c.t = t
		c.mustSubscribe("a", 1)
		c.send(publish("a", 1, 1, "before"))
		var sent *codec.Publish
		for range 2 { // PUBLISH and PUBACK in whatever order
			p, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := p.(*codec.Publish); ok {
				sent = p
			}
		}
		c.send(&codec.Unsubscribe{PacketID: 5, Filters: []string{"a", "b", "c/#/d"}})
		ack := expect[*codec.Unsuback](c)
		if v == codec.V5 {
			want := []codec.ReasonCode{codec.Success, codec.NoSubscriptionExisted, codec.TopicFilterInvalid}
			if d := cmp.Diff(want, ack.Codes); d != "" {
				t.Error(d)
			}
		}
		c.mustPublish("a", 2, "after") // [MQTT-3.10.4-2]
		c.send(&codec.Ack{Kind: codec.PUBACK, PacketID: sent.PacketID})
		c.ping()
	})
}

func TestNoLocal(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c, other := r.connect(codec.V5, "me"), r.connect(codec.V311, "other")
	c.send(&codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: "a", QoS: 1, NoLocal: true}}})
	expect[*codec.Suback](c)
	c.mustPublish("a", 1, "mine")
	other.mustPublish("a", 1, "other")
	if p := c.receive(); string(p.Payload) != "other" { // [MQTT-3.8.3-3]
		t.Errorf("got %s", show(p))
	}
}

// TestSubscriberThatStopsReading: the others see no delay, and when it reads again it gets every QoS 1 message.
func TestSubscriberThatStopsReading(t *testing.T) {
	r := newRig(t, tenant.Quotas{Inflight: 1000}, nil)
	slow, fast, pub := r.connect(codec.V311, "slow"), r.connect(codec.V311, "fast"), r.connect(codec.V311, "pub")
	slow.mustSubscribe("a", 1)
	fast.mustSubscribe("a", 1)
	const n = 3000
	payload := string(make([]byte, 2000))
	for i := range n {
		pub.mustPublish("a", uint16(i%1000+1), fmt.Sprint(i, payload))
		if p := fast.receive(); string(p.Payload) != fmt.Sprint(i, payload) {
			t.Fatalf("fast got %s, want %d", show(p), i)
		}
	}
	for i := range n {
		if p := slow.receive(); string(p.Payload) != fmt.Sprint(i, payload) {
			t.Fatalf("slow got %s, want %d", show(p), i)
		}
	}
}
