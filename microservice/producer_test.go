package microservice

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// subscribe is a native consumer of what is stored for a topic, which keeps it stored.
func (r *rig) subscribe(topic string) *nats.Subscription {
	r.t.Helper()
	log, err := r.store.Tenant(r.context(), "acme")
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := log.Topic(r.context(), topic); err != nil {
		r.t.Fatal(err)
	}
	js, err := r.native().JetStream()
	if err != nil {
		r.t.Fatal(err)
	}
	sub, err := js.SubscribeSync(message.Subject("acme", topic), nats.AckExplicit())
	if err != nil {
		r.t.Fatal(err)
	}
	return sub
}

func (r *rig) nextOf(sub *nats.Subscription) *nats.Msg {
	r.t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := m.Ack(); err != nil {
		r.t.Fatal(err)
	}
	return m
}

// TestPublishAvro: the token names the topic, and the metadata who alone gets the message.
func TestPublishAvro(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	sub := r.subscribe("a/b")
	pub := r.producer("a/b")
	pub.avroPublish(1, "one", "")
	pub.avroPublish(2, "two", "thermostat-7")
	pub.expect("1")
	pub.expect("2")
	for _, want := range []struct{ payload, to string }{{"one", ""}, {"two", "thermostat-7"}} {
		m := r.nextOf(sub)
		if string(m.Data) != want.payload || m.Header.Get(message.HeaderTo) != want.to {
			t.Errorf("got %q %v", m.Data, m.Header)
		}
		for key, value := range map[string]string{message.HeaderUser: "service", message.HeaderRole: "application", message.HeaderClientID: "", message.HeaderQoS: ""} {
			if got := m.Header.Get(key); got != value {
				t.Errorf("%s is %q, want %q", key, got, value)
			}
		}
	}
}

// TestPublishJSON: each frame names its topic, which the token allows.
func TestPublishJSON(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	sub := r.subscribe("a/b")
	pub := r.open("producer", r.token("mqttServicePublisher", "a/+"), frame.Protocol)
	pub.send(`{"seq":0,"topic":"a/b","payload":"MQ==","to":"one","metadata":{"clientId":"two","userProperties":{"k":"v"}}}`)
	pub.expect(`{"ack":0}`)
	if m := r.nextOf(sub); string(m.Data) != "1" || m.Header.Get(message.HeaderTo) != "one" || m.Header.Get(message.HeaderUserProperty) != "k=v" {
		t.Errorf("got %q %v", m.Data, m.Header)
	}
	for topic, why := range map[string]reason.Reason{
		"b/b": reason.TopicForbidden, "a/b/c": reason.TopicForbidden, "": reason.TopicInvalid, "a/+": reason.TopicInvalid, "a/#": reason.TopicInvalid,
		`a/\u0000`: reason.TopicInvalid, "$SYS/a": reason.TopicReserved, "a/" + strings.Repeat("x", 300): reason.TopicInvalid,
	} {
		pub.jsonPublish(7, topic, "")
		pub.expectRefusal(7, why)
	}
	pub.send(`{"seq":8,"topic":"a/b","to":"` + strings.Repeat("x", 300) + `"}`)
	pub.expectRefusal(8, reason.ClientIDInvalid)
	pub.mustPublish(9, "a/b", "2")
}

// TestBadPublishes: whatever is wrong with a frame, the answer comes in its place, and the socket stays.
func TestBadPublishes(t *testing.T) {
	r := newRig(t, tenant.Quotas{MessageBytes: 1000})
	pub := r.producer("a")
	pub.avroPublish(1, "one", "")
	pub.send("no frame")
	pub.send("3\nno base64!")
	pub.send("4\n" + base64.StdEncoding.EncodeToString([]byte("no Avro")))
	if err := pub.ws.WriteMessage(websocket.BinaryMessage, []byte("5\n")); err != nil {
		t.Fatal(err)
	}
	pub.send(strings.Repeat("6", 1<<20))
	pub.send("66\n" + strings.Repeat("x", 1<<20))
	pub.avroPublish(7, strings.Repeat("x", 1000-2-1-2-3), "") // with the fixed header, the topic, the packet identifier and the properties
	pub.avroPublish(8, strings.Repeat("x", 1000-2-1-2-3-1), "")
	pub.expect("1")
	pub.expectRefusal(-1, reason.MalformedFrame)
	pub.expectRefusal(3, reason.MalformedFrame)
	pub.expectRefusal(4, reason.MalformedFrame)
	pub.expectRefusal(-1, reason.ProtocolError)
	pub.expectRefusal(-1, reason.PacketTooLarge)
	pub.expectRefusal(66, reason.PacketTooLarge)
	pub.expectRefusal(7, reason.PacketTooLarge)
	pub.expect("8")
	inJSON := r.jsonProducer()
	inJSON.send(`{"topic":"a","seq":1,"payload":"` + strings.Repeat("x", 1<<20) + `"}`)
	inJSON.expectRefusal(1, reason.PacketTooLarge)
	inJSON.send(`{"payload":"` + strings.Repeat("x", 1<<20) + `","seq":2}`)
	inJSON.expectRefusal(-1, reason.PacketTooLarge)
}

// TestAnswersInOrder: answers come in the order of the frames although refusals of the bridge are there at once.
func TestAnswersInOrder(t *testing.T) {
	const n = 3000
	r := newRig(t, tenant.Quotas{})
	pub, c := r.jsonProducer(), r.jsonConsumer(r.token("svc", "#"))
	go func() {
		for i := range n {
			topic := []string{"a", "b", "+"}[i%3]
			if pub.ws.WriteMessage(websocket.TextMessage, []byte(jsonFrame(i, topic, fmt.Sprint(i)))) != nil {
				return // the test has failed
			}
		}
	}()
	for i := range n {
		if i%3 == 2 {
			pub.expectRefusal(i, reason.TopicInvalid)
		} else {
			pub.expect(fmt.Sprintf(`{"ack":%d}`, i))
		}
	}
	next := map[string]int{"a": 0, "b": 1}
	for range n * 2 / 3 {
		m := c.receive()
		if m.payload != fmt.Sprint(next[m.topic]) {
			t.Fatalf("got %+v, want %v", m, next)
		}
		next[m.topic] += 3
		c.ack(m.id)
	}
}

// TestBacklogFull: a publish is refused while the backlog is full, and taken again when something was consumed.
func TestBacklogFull(t *testing.T) {
	r := newRig(t, tenant.Quotas{BacklogMessages: 5})
	pub, c := r.jsonProducer(), r.jsonConsumer(r.token("svc", "a"))
	for i := range 5 {
		pub.mustPublish(i, "a", fmt.Sprint(i))
	}
	pub.jsonPublish(5, "a", "refused")
	pub.expectRefusal(5, reason.BacklogFull)
	c.expectMessages("0", "1", "2", "3", "4")
	r.expectStored(0)
	pub.mustPublish(6, "a", "5")
	c.expectMessages("5")
}

// TestRefusedByTheStore: what JetStream refuses is answered by name.
func TestRefusedByTheStore(t *testing.T) {
	r := newRig(t, tenant.Quotas{Topics: 1, MessageBytes: 16 << 20, BacklogBytes: 1 << 16})
	pub := r.jsonProducer()
	r.jsonConsumer(r.token("svc", "a"))
	pub.mustPublish(1, "a", "1")
	pub.jsonPublish(2, "b", "1")
	pub.expectRefusal(2, reason.TopicQuota)
	pub.jsonPublish(3, "a", strings.Repeat("x", 1<<17))
	pub.expectRefusal(3, reason.MessageTooLarge)
	pub.mustPublish(4, "a", "2")
}

// TestOutcomeUnknown: a producer whose publish has no outcome gets no answer to it nor to what comes after it, and is closed when 10 s are over.
func TestOutcomeUnknown(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	pub := r.jsonProducer()
	pub.mustPublish(1, "a", "1")
	r.nats.Shutdown()
	r.nats.WaitForShutdown()
	pub.jsonPublish(2, "a", "2")
	pub.jsonPublish(3, "a", "3")
	pub.expectEnd(1011, reason.PublishUnknown)
}

// TestPacketSize compares with packets whose size is known.
func TestPacketSize(t *testing.T) {
	for _, one := range []struct {
		message message.Message
		want    int64
	}{
		{message.Message{Topic: "a"}, 2 + 3 + 2 + 1},
		{message.Message{Topic: "a", Payload: make([]byte, 121)}, 2 + 3 + 2 + 1 + 121},
		{message.Message{Topic: "a", Payload: make([]byte, 122)}, 3 + 3 + 2 + 1 + 122},
		{message.Message{Topic: "a", HasPayloadFormat: true, ContentType: []byte{}, UserProperties: []message.UserProperty{{Name: "n", Value: "vv"}}}, 2 + 3 + 2 + 1 + 2 + 3 + 8},
	} {
		if got := packetSize(&one.message); got != one.want {
			t.Errorf("%+v: %d, want %d", one.message, got, one.want)
		}
	}
}
