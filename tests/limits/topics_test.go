package limits

import (
	"fmt"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
)

// A tenant has as many dedicated topics as its quota, and as much room for them as storage_bytes.
func TestTopicQuotaAndStorage(t *testing.T) {
	for code, quotas := range map[string]string{
		"topic_quota":  "topics: 3",
		"storage_full": "backlog_bytes: 1000000, storage_bytes: 3500000",
	} {
		t.Run(code, func(t *testing.T) {
			weir := start(t, quotas)
			first := login(t, weir, codec.V5, "first")
			first.Subscribe("subscribed", 1)
			for i := range 2 {
				if ack := first.Publish(fmt.Sprint("published/", i), "x"); ack.Code != codec.Success {
					t.Fatalf("PUBACK %+v", ack)
				}
			}
			each(t, func(t *testing.T, v codec.Version, name string) {
				expectFilterRefused(t, login(t, weir, v, name+" subscribing"), "over/"+name, code)
				expectRefused(t, login(t, weir, v, name), "over/"+name, "x", code)
				expectReported(t, weir, v, name, "over/"+name, code)

				client := login(t, weir, v, name+" at QoS 0")
				client.Subscribe("$debug/$error", 1)
				client.Send(&codec.Publish{Topic: []byte("over/" + name)})
				expectEntry(t, client, entry{ClientID: name + " at QoS 0", Code: code, Packet: "PUBLISH", Topic: "over/" + name})

				// Topics that exist serve on.
				client = login(t, weir, v, name+" within")
				client.Subscribe("published/0", 1)
				first.Publish("published/0", name)
				if m := client.Message(); string(m.Payload) != name {
					t.Errorf("received %q", m.Payload)
				}
			})
			if code := weirtest.AskFor(t, weirtest.Connect(t, weir.NATS(), weirtest.DemoService()), "demo", "over/native"); code == "" {
				t.Error("a native service is given a topic over the quota")
			}
		})
	}
}

func expectFilterRefused(t *testing.T, client *weirtest.Client, filter, code string) {
	t.Helper()
	client.Send(&codec.Subscribe{PacketID: 5, Subscriptions: []codec.Subscription{{Filter: filter, QoS: 1}}})
	ack := weirtest.Expect[*codec.Suback](client)
	want := codec.UnspecifiedError // 0x80
	if client.Version == codec.V5 {
		want = codec.QuotaExceeded
		if !strings.Contains(ack.ReasonString, code+": ") {
			t.Errorf("reason string %q", ack.ReasonString)
		}
	}
	if ack.PacketID != 5 || len(ack.Codes) != 1 || ack.Codes[0] != want {
		t.Errorf("SUBACK %+v", ack)
	}
	client.Send(&codec.Pingreq{})
	weirtest.Expect[*codec.Pingresp](client)
}

// A packet may be as large as message_bytes and no larger.
func TestMessageSize(t *testing.T) {
	const limit = 2000
	weir := start(t, fmt.Sprint("message_bytes: ", limit))
	each(t, func(t *testing.T, v codec.Version, name string) {
		const topic = "size"
		// packet returns a PUBLISH of that many bytes.
		packet := func(size int, q codec.QoS) *codec.Publish {
			p := &codec.Publish{QoS: q, Topic: []byte(topic)}
			if q > 0 {
				p.PacketID = 9
			}
			b, err := p.Append(nil, v)
			if err != nil {
				t.Fatal(err)
			}
			p.Payload = make([]byte, size-len(b)-1) // the remaining length takes a second byte
			return p
		}
		subscriber := login(t, weir, v, "subscriber "+name)
		subscriber.Subscribe(topic, 1)
		for q := range codec.QoS(2) {
			client := login(t, weir, v, name)
			client.Send(packet(limit, q))
			if q == 1 {
				if ack := weirtest.Expect[*codec.Ack](client); ack.Code != codec.Success {
					t.Errorf("PUBACK %+v for the largest packet that is allowed", ack)
				}
			}
			subscriber.Message()
			client.Send(packet(limit+1, q))
			if v == codec.V5 {
				if d := weirtest.Expect[*codec.Disconnect](client); d.Code != codec.PacketTooLarge {
					t.Errorf("DISCONNECT 0x%02X instead of 0x95", d.Code)
				}
			}
			client.ExpectClosed()
		}
	})
}

// exists tells whether a topic has a stream.
func exists(t *testing.T, js natsjs.JetStream, topic string) bool {
	t.Helper()
	_, err := js.StreamNameBySubject(weirtest.Context(t), message.Subject("demo", topic))
	return err == nil
}

// A topic that nobody uses goes, with its share of the quota; one in use stays.
func TestIdleTopicsAreRemoved(t *testing.T) {
	weir := start(t, "topics: 3", "WEIR_TOPIC_IDLE=1s")
	nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
	js := weirtest.JetStream(t, weir.NATS(), weirtest.DemoService())
	client := login(t, weir, codec.V5, "client")
	client.Subscribe("subscribed", 1)
	weirtest.Durable(t, nc, "demo", "consumed", "service")
	if client.Publish("unused/0", "x").Code != codec.Success {
		t.Fatal("the first topic is refused")
	}
	if client.Publish("unused/1", "x").Code != codec.QuotaExceeded {
		t.Fatal("the quota is not full")
	}
	for i := range 5 {
		before := fmt.Sprint("unused/", i)
		weirtest.Until(t, before+" is removed", func() bool { return !exists(t, js, before) })
		weirtest.Until(t, "the quota has room", func() bool { return client.Publish(fmt.Sprint("unused/", i+1), "x").Code == codec.Success })
	}
	for _, topic := range []string{"subscribed", "consumed"} {
		if !exists(t, js, topic) {
			t.Errorf("topic %s, which is in use, is gone", topic)
		}
	}
	// Subscribed, forgotten and wanted again: nothing is lost at the moment of return.
	client.Send(&codec.Unsubscribe{PacketID: 3, Filters: []string{"subscribed"}})
	weirtest.Expect[*codec.Unsuback](client)
	weirtest.Until(t, "the topic is removed", func() bool { return !exists(t, js, "subscribed") })
	client.Subscribe("subscribed", 1)
	other := login(t, weir, codec.V311, "other")
	other.Publish("subscribed", "back")
	if m := client.Message(); string(m.Payload) != "back" {
		t.Errorf("received %q", m.Payload)
	}
}

// Publishers and subscribers that come back at the moment of removal lose nothing.
func TestComingBackWhileTopicIsRemoved(t *testing.T) {
	weir := start(t, "topics: 100", "WEIR_TOPIC_IDLE=1s")
	const rounds, topics = 8, 20
	publisher := login(t, weir, codec.V5, "publisher")
	subscriber := login(t, weir, codec.V5, "subscriber")
	timer := time.NewTicker(50 * time.Millisecond)
	defer timer.Stop()
	for round := range rounds {
		for i := range topics {
			topic := fmt.Sprint("returning/", i)
			subscriber.Subscribe(topic, 1)
			payload := fmt.Sprint(round, " ", i)
			if ack := publisher.Publish(topic, payload); ack.Code != codec.Success {
				t.Fatalf("round %d, %s: PUBACK %+v", round, topic, ack)
			}
			if m := subscriber.Message(); string(m.Payload) != payload || string(m.Topic) != topic {
				t.Fatalf("round %d: received %q on %q instead of %q on %q", round, m.Payload, m.Topic, payload, topic)
			}
			subscriber.Send(&codec.Unsubscribe{PacketID: 3, Filters: []string{topic}})
			weirtest.Expect[*codec.Unsuback](subscriber)
			<-timer.C // a round takes as long as a topic may be idle, so each comes back at another moment of its removal
		}
	}
}
