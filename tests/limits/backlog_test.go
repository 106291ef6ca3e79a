package limits

import (
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A backlog that is full refuses, and what is consumed makes room.
func TestBacklogFull(t *testing.T) {
	for name, limit := range map[string]struct {
		quotas  string
		payload string
		holds   [2]int // at least, at most
	}{
		"messages": {"backlog_messages: 5", "x", [2]int{5, 5}},
		"bytes":    {"backlog_bytes: 65536", strings.Repeat("x", 10_000), [2]int{6, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			weir := start(t, limit.quotas)
			nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
			each(t, func(t *testing.T, v codec.Version, name string) {
				consumer := weirtest.Durable(t, nc, "demo", name, "service")
				client := login(t, weir, v, name)
				accepted := 0
				fill := func() {
					for {
						client.Send(&codec.Publish{QoS: 1, PacketID: 1, Topic: []byte(name), Payload: []byte(limit.payload)})
						packet, err := client.Read()
						if err != nil && v != codec.V5 && weirtest.Closed(err) {
							client = login(t, weir, v, name)
							return
						}
						if err != nil {
							t.Fatal(err)
						}
						ack, ok := packet.(*codec.Ack)
						if ok && ack.Code == codec.QuotaExceeded {
							return
						}
						if !ok || ack.Code != codec.Success {
							t.Fatalf("received %+v", packet)
						}
						if accepted++; accepted > limit.holds[1] {
							t.Fatalf("%d messages are accepted", accepted)
						}
					}
				}
				fill()
				if accepted < limit.holds[0] {
					t.Fatalf("only %d messages were accepted", accepted)
				}
				for range 3 {
					for range 2 {
						if got := take(t, consumer); got != limit.payload {
							t.Errorf("consumed %q", got)
						}
						accepted--
					}
					fill()
					if accepted < limit.holds[0] {
						t.Fatalf("what was consumed made no room: %d", accepted)
					}
				}
				expectRefused(t, client, name, limit.payload, "backlog_full")
				clean := login(t, weir, v, "errors of "+name)
				expectRefused(t, clean, name, limit.payload, "backlog_full")
				expectReported(t, weir, v, "errors of "+name, name, "backlog_full")
			})
		})
	}
}

// An MQTT subscriber that does not acknowledge holds the backlog as a service does.
func TestSubscriberHoldsBacklog(t *testing.T) {
	weir := start(t, "backlog_messages: 5")
	each(t, func(t *testing.T, v codec.Version, name string) {
		subscriber := login(t, weir, v, "subscriber "+name)
		subscriber.Subscribe(name, 1)
		publisher := login(t, weir, v, "publisher "+name)
		var ids []uint16
		for i := range 5 {
			publisher.Publish(name, number(i))
			p := weirtest.Expect[*codec.Publish](subscriber)
			if string(p.Payload) != number(i) {
				t.Fatalf("received %q", p.Payload)
			}
			ids = append(ids, p.PacketID)
		}
		expectRefused(t, publisher, name, "x", "backlog_full")
		publisher = login(t, weir, codec.V5, "publisher "+name)
		for i, id := range ids {
			subscriber.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: id})
			weirtest.Until(t, "there is room", func() bool { return publisher.Publish(name, "more").Code == codec.Success })
			if p := weirtest.Expect[*codec.Publish](subscriber); string(p.Payload) != "more" {
				t.Fatalf("received %q after acknowledgement %d", p.Payload, i)
			}
		}
		expectRefused(t, publisher, name, "x", "backlog_full")
	})
}

// At QoS 0 nobody waits for an answer: what is refused is dropped, the connection stays, and the error topic tells.
func TestBacklogFullAtQoS0(t *testing.T) {
	weir := start(t, "backlog_messages: 2")
	nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
	each(t, func(t *testing.T, v codec.Version, name string) {
		consumer := weirtest.Durable(t, nc, "demo", name, "service")
		client := login(t, weir, v, name)
		client.Subscribe("$debug/$error", 1)
		for i := range 3 {
			client.Send(&codec.Publish{Topic: []byte(name), Payload: []byte(number(i))})
		}
		expectEntry(t, client, entry{ClientID: name, Code: "backlog_full", Packet: "PUBLISH", Topic: name})
		for i := range 2 {
			if got := take(t, consumer); got != number(i) {
				t.Errorf("consumed %q", got)
			}
		}
		client.Send(&codec.Publish{Topic: []byte(name), Payload: []byte("after")})
		if got := take(t, consumer); got != "after" {
			t.Errorf("consumed %q", got)
		}
		client.Send(&codec.Pingreq{})
		weirtest.Expect[*codec.Pingresp](client)
	})
}

// A client that asked for no problem information gets the code alone. [MQTT-3.1.2-29]
func TestNoReasonStringWhereNoneIsWanted(t *testing.T) {
	weir := start(t, "backlog_messages: 1")
	nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
	weirtest.Durable(t, nc, "demo", "topic", "service")
	client := weirtest.Dial(t, weir.MQTT(), codec.V5)
	connect := weirtest.Credentials("client", "demo/device", "demo")
	connect.Properties.NoProblemInfo = true
	client.Send(connect)
	weirtest.Expect[*codec.Connack](client)
	client.Publish("topic", "x")
	if ack := client.Publish("topic", "x"); ack.Code != codec.QuotaExceeded || ack.ReasonString != "" || len(ack.UserProperties) != 0 {
		t.Errorf("PUBACK %+v", ack)
	}
}

// What waits for longer than the time to live goes silently, and makes room.
func TestTTL(t *testing.T) {
	weir := start(t, "backlog_messages: 3, ttl: 2s")
	nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
	each(t, func(t *testing.T, v codec.Version, name string) {
		consumer := weirtest.Durable(t, nc, "demo", name, "service")
		client := login(t, weir, v, name)
		for i := range 3 {
			client.Publish(name, number(i))
		}
		expectRefused(t, client, name, "x", "backlog_full")
		client = login(t, weir, codec.V5, name)
		weirtest.Until(t, "there is room", func() bool { return client.Publish(name, "after").Code == codec.Success })
		if got := take(t, consumer); got != "after" {
			t.Errorf("consumed %q", got)
		}
	})
}

// A message with an expiry of its own goes sooner than the others.
func TestMessageExpiry(t *testing.T) {
	weir := start(t, "backlog_messages: 2")
	nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
	consumer := weirtest.Durable(t, nc, "demo", "topic", "service")
	client := login(t, weir, codec.V5, "client")
	expiring := &codec.Publish{QoS: 1, PacketID: 1, Topic: []byte("topic"), Payload: []byte("expires")}
	expiring.Properties.Message.HasMessageExpiry, expiring.Properties.Message.MessageExpiry = true, 1
	client.Send(expiring)
	weirtest.Expect[*codec.Ack](client)
	client.Publish("topic", "stays")
	weirtest.Until(t, "there is room", func() bool { return client.Publish("topic", "after").Code == codec.Success })
	for _, want := range []string{"stays", "after"} {
		if got := take(t, consumer); got != want {
			t.Errorf("consumed %q instead of %q", got, want)
		}
	}
}
