package microservice

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// each runs a test in both encodings.
func each(t *testing.T, f func(t *testing.T, protocol string)) {
	for _, protocol := range []string{"", frame.Protocol} {
		t.Run("protocol "+protocol, func(t *testing.T) { f(t, protocol) })
	}
}

// TestConsume: what is published comes, in order, with what is known of it, and an acknowledgement lets it go.
func TestConsume(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := newRig(t, tenant.Quotas{})
		pub := r.jsonProducer()
		c := r.open("consumer", r.token("svc", "a/b"), protocol)
		pub.send(`{"seq":1,"topic":"a/b","payload":"MjE=","metadata":{"contentType":"text/plain","correlationData":"AAH/",` +
			`"responseTopic":"re/ply","payloadFormatIndicator":"UTF_8","userProperties":{"k":"v"}}}`)
		pub.expect(`{"ack":1}`)
		m := c.receive()
		if m.topic != "a/b" || m.payload != "21" {
			t.Errorf("got %+v", m)
		}
		correlation := `[0 1 255]`
		if c.json {
			correlation = "AAH/"
		}
		for key, value := range map[string]string{
			"topic": "a/b", "contentType": "text/plain", "correlationData": correlation, "responseTopic": "re/ply", "payloadFormatIndicator": "UTF_8",
			"userProperties": "map[k:v]",
		} {
			if got := fmt.Sprint(plain(m.metadata[key])); got != value {
				t.Errorf("%s is %s, want %s", key, got, value)
			}
		}
		c.ack(m.id)
		for i := range 20 {
			pub.mustPublish(i, "a/b", fmt.Sprint(i))
		}
		for i := range 20 {
			c.expectMessages(fmt.Sprint(i))
		}
		r.expectStored(0)
	})
}

// plain takes the one branch out of a union.
func plain(v any) any {
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		for _, branch := range []string{"string", "bytes", "map", "com.cumulocity.mqtt.service.sdk.model.PayloadFormatIndicator"} {
			if b, ok := m[branch]; ok {
				return b
			}
		}
	}
	return v
}

// expectStored asks again and again, which takes its time, until the streams of the topics hold so many messages.
func (r *rig) expectStored(want uint64) {
	r.t.Helper()
	ctx := r.context()
	for got := r.stored(); got != want; got = r.stored() {
		if ctx.Err() != nil {
			r.t.Fatalf("%d messages are stored, want %d", got, want)
		}
	}
}

// stored is how many messages the streams of the topics hold.
func (r *rig) stored() (messages uint64) {
	r.t.Helper()
	nc := r.native()
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		r.t.Fatal(err)
	}
	for info := range js.Streams() {
		if m := info.Config.Metadata; m["weir.topic"] != "" || m["weir.filter"] != "" {
			messages += info.State.Msgs
		}
	}
	return messages
}

// TestNak: a message that is not acknowledged but refused comes again, behind those that have been sent, however often, and others are not touched.
func TestNak(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	pub, c := r.jsonProducer(), r.jsonConsumer(r.token("svc", "a"))
	pub.mustPublish(1, "a", "one")
	pub.mustPublish(2, "a", "two")
	one, two := c.receive(), c.receive()
	for range 3 {
		c.send(`{"nak":"` + one.id + `"}`)
		if again := c.receive(); again.payload != "one" || again.id != one.id {
			t.Fatalf("got %+v", again)
		}
	}
	c.ack(two.id)
	c.send(`{"nak":"` + two.id + `"}`)
	c.expectRefusal(-1, reason.UnknownAck)
	c.ack(one.id)
	pub.mustPublish(3, "a", "three")
	c.expectMessages("three")
	r.expectStored(0)
}

func TestBadRequests(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := newRig(t, tenant.Quotas{})
		pub := r.jsonProducer()
		c := r.open("consumer", r.token("svc", "a"), protocol)
		pub.mustPublish(1, "a", "one")
		m := c.receive()
		bad := reason.UnknownAck
		if c.json {
			bad = reason.MalformedFrame
		}
		c.send("nonsense")
		c.expectRefusal(-1, bad)
		c.send("")
		c.expectRefusal(-1, bad)
		if err := c.ws.WriteMessage(2, []byte(m.id)); err != nil {
			t.Fatal(err)
		}
		c.expectRefusal(-1, reason.ProtocolError)
		c.send(string(make([]byte, 10*maxRequestBytes)))
		c.expectRefusal(-1, reason.PacketTooLarge)
		c.ack("1")
		c.expectRefusal(-1, reason.UnknownAck)
		c.ack(m.id)
		c.ack(m.id)
		c.expectRefusal(-1, reason.UnknownAck)
		pub.mustPublish(2, "a", "two")
		c.expectMessages("two")
	})
}

// TestUnsubscribe: the subscriber is removed, and the socket closed as agreed.
func TestUnsubscribe(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := newRig(t, tenant.Quotas{})
		sharing := r.open("consumer", r.token("svc", "a", shared), protocol)
		c := r.open("consumer", r.token("svc", "a", shared), protocol)
		if c.json {
			c.send(`{"unsubscribe":true}`)
		} else {
			c.send("unsubscribe_subscriber")
		}
		c.expectEnd(1000, reason.Unsubscribed)
		sharing.expectEnd(1000, reason.Unsubscribed)
		log, err := r.store.Tenant(r.context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if left, err := log.RemoveSubscriber(r.context(), jetstream.SubscriberKey{Name: "svc", Filter: "a"}); left || err != nil {
			t.Errorf("the subscriber is left: %v", err)
		}
		r.consumer(r.token("svc", "a")).synced()
	})
}

// TestNotForConsumers: what is for one client identifier, and what has expired, is let go.
func TestNotForConsumers(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	c := r.jsonConsumer(r.token("svc", "a"))
	js, err := r.native().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	publish := func(payload, key, value string) {
		m := nats.NewMsg("mqtt.acme.a")
		m.Data = []byte(payload)
		if key != "" {
			m.Header[key] = []string{value}
		}
		if _, err := js.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	publish("for one", message.HeaderTo, "thermostat-7")
	publish("for all", "", "")
	c.expectMessages("for all")
	r.expectStored(0)
}

// TestWildcards: a filter matches topics that there are and topics that come, at places of all kinds.
func TestWildcards(t *testing.T) {
	r := newRig(t, tenant.Quotas{},
		tenant.Rule{Filter: "a/shared/#", Stream: tenant.StreamShared, Name: "one", BacklogBytes: 1 << 24},
		tenant.Rule{Filter: "a/live/#", Stream: tenant.StreamTransient})
	pub, all := r.jsonProducer(), r.jsonConsumer(r.token("all", "#"))
	pub.mustPublish(0, "a/1", "first")
	c := r.jsonConsumer(r.token("svc", "a/+/+"))
	topics := []string{"a/x/1", "a/y/1", "a/shared/1", "a/shared/2", "a/live/1", "a/live/2"}
	const rounds = 50
	for i := range rounds {
		for j, topic := range topics {
			pub.mustPublish(i*len(topics)+j, topic, fmt.Sprint(i))
		}
	}
	all.expectMessages("first")
	for _, consumer := range []*client{all, c} {
		next := map[string]int{}
		for range rounds * len(topics) {
			m := consumer.receive()
			if m.payload != fmt.Sprint(next[m.topic]) {
				t.Fatalf("%s of %s, want %d", m.payload, m.topic, next[m.topic])
			}
			next[m.topic]++
			consumer.ack(m.id)
		}
		if len(next) != len(topics) {
			t.Errorf("%v", next)
		}
	}
	r.expectStored(0)
}

// TestErrors: an application may see the errors of all clients.
func TestErrors(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	log, err := r.store.Tenant(r.context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	c := r.jsonConsumer(r.token("svc", errorTopics, persistent))
	log.ReportError("device", jetstreamReport)
	if m := c.receive(); m.topic != "$debug/$error/thermostat-7" {
		t.Errorf("got %+v", m)
	}
}

// TestWindow: a connection has no more messages without acknowledgement than the tenant's inflight, and each acknowledgement makes room.
func TestWindow(t *testing.T) {
	r := newRig(t, tenant.Quotas{Inflight: 3})
	pub, c := r.jsonProducer(), r.jsonConsumer(r.token("svc", "a"))
	for i := range 10 {
		pub.mustPublish(i, "a", fmt.Sprint(i))
	}
	var waiting []received
	for range 3 {
		waiting = append(waiting, c.receive())
	}
	c.synced()
	for i := range 10 {
		if waiting[0].payload != fmt.Sprint(i) {
			t.Fatalf("got %+v, want %d", waiting[0], i)
		}
		c.ack(waiting[0].id)
		waiting = waiting[1:]
		if i+3 < 10 {
			waiting = append(waiting, c.receive())
		}
		c.synced()
	}
}

var jetstreamReport = jetstream.ErrorReport{ClientID: "thermostat-7", Code: "backlog_full", Message: "full", Packet: "PUBLISH"}
