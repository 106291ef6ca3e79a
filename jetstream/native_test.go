package jetstream

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// A native service that finds no stream asks for the topic and publishes again (§2.3).
func TestNativeServiceMakesTopic(t *testing.T) {
	srv := newServer(t, nil)
	a := openLog(t, newStore(t, srv, nil))
	openLog(t, newStore(t, srv, nil))
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, c := range []struct {
		topic string
		code  reason.Reason
	}{
		{topic: "commands/one"},
		{topic: "commands/one"},
		{topic: "", code: reason.TopicInvalid},
		{topic: "a/+", code: reason.TopicInvalid},
		{topic: "a\x00", code: reason.TopicInvalid},
		{topic: "\xff", code: reason.TopicInvalid},
		{topic: "$SYS/x", code: reason.TopicReserved},
		{topic: strings.Repeat("x", 257), code: reason.TopicInvalid},
		{topic: strings.Repeat("/", 64), code: reason.TopicInvalid},
	} {
		m, err := nc.Request(message.EnsureSubject("acme"), []byte(c.topic), patience)
		if err != nil {
			t.Fatal(err)
		}
		if c.code == "" && string(m.Data) != "{}" {
			t.Errorf("%q: answer %s", c.topic, m.Data)
		}
		var reply serviceReply
		if err := json.Unmarshal(m.Data, &reply); err != nil {
			t.Fatal(err)
		}
		if c.code != "" && (reply.Error == nil || reply.Error.Code != c.code || reply.Error.Message == "") {
			t.Errorf("%q: answer %s, want %s", c.topic, m.Data, c.code)
		}
	}
	if _, err := a.link.js.Publish(ctxOf(t), "mqtt.acme.commands.one", []byte("go")); err != nil {
		t.Error(err)
	}
}

// Also where the register knows a topic whose stream somebody has deleted.
func TestNativeServiceRepairsTopic(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	mustStore(t, l, "x", "one")
	if err := l.link.js.DeleteStream(ctxOf(t), known(l, "x").stream()); err != nil {
		t.Fatal(err)
	}
	m, err := l.link.nc.Request(message.EnsureSubject("acme"), []byte("x"), patience)
	if err != nil || string(m.Data) != "{}" {
		t.Fatalf("%v: %v", m, err)
	}
	if _, err := l.link.js.Publish(ctxOf(t), "mqtt.acme.x", nil); err != nil {
		t.Error(err)
	}
	if n := presences(t, l); n != 1 {
		t.Errorf("%d presence messages", n)
	}
}

// Each client sees the errors of its own identifier and user, those of its previous connections included (§2.4).
func TestErrorTopic(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	whole := newSink()
	r, err := b.AttachErrors(ctxOf(t), "", "", whole)
	if err != nil {
		t.Fatal(err)
	}
	a.ReportError("one", ErrorReport{ClientID: "room/1 +", Code: "backlog_full", Message: "m", Packet: "PUBLISH", Topic: "x", PacketID: 7})
	a.ReportError("two", ErrorReport{ClientID: "room/1 +", Code: "backlog_full"})
	a.ReportError("one", ErrorReport{ClientID: "other", Code: "backlog_full"})
	var topics []string
	for range 3 {
		d := whole.next(t)
		r.Ack(d)
		topics = append(topics, d.Topic)
	}
	if topics[0] != "$debug/$error/room%2F1%20%2B" && topics[2] != "$debug/$error/room%2F1%20%2B" {
		t.Errorf("topics %q", topics)
	}
	own := newSink()
	ro, err := b.AttachErrors(ctxOf(t), "room/1 +", "one", own)
	if err != nil {
		t.Fatal(err)
	}
	a.ReportError("one", ErrorReport{ClientID: "room/1 +", Code: "storage_full"})
	var got []string
	for range 2 {
		d := own.next(t)
		ro.Ack(d)
		got = append(got, string(d.Payload))
		if d.Topic != OwnErrors {
			t.Errorf("topic %q", d.Topic)
		}
	}
	want := `{"time":"","clientId":"room/1 +","code":"backlog_full","message":"m","packet":"PUBLISH","topic":"x","packetId":7}`
	if got[0] != want || !strings.Contains(got[1], "storage_full") {
		t.Errorf("got %q", got)
	}
	closeReader(t, r)
	closeReader(t, ro)
}

func TestEvent(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	sub, err := l.link.nc.SubscribeSync("weir.events.acme.*.*")
	if err != nil {
		t.Fatal(err)
	}
	l.Event("connected", "a.b", map[string]string{"reason": "x"})
	m, err := sub.NextMsg(patience)
	if err != nil || m.Subject != "weir.events.acme.connected.a%2Eb" || string(m.Data) != `{"reason":"x"}` {
		t.Errorf("%v: %v", m, err)
	}
}

// A subscriber whose stream is deleted by hand reads on from the one that takes its place.
func TestReaderFollowsTopicToNewStream(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	s, r := attach(t, a, "x", "")
	mustStore(t, b, "x", "one")
	d := s.next(t)
	r.Ack(d)
	if err := b.link.js.DeleteStream(ctxOf(t), d.Stream); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for {
		mustStore(t, b, "x", "two")
		select {
		case again := <-s.deliveries:
			if again.Stream == d.Stream {
				t.Errorf("delivered from %s", again.Stream)
			}
			closeReader(t, r)
			return
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("no delivery from the new stream")
		}
	}
}

// A detached reader starts where it is told, and from the beginning of a stream that is younger than that.
func TestAttachFromSequence(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	s, r := attach(t, l, "x", "")
	var ds []reader.Delivery
	for i := range 3 {
		mustStore(t, l, "x", numbered(i))
		ds = append(ds, s.next(t))
	}
	own := newSink()
	ro, err := l.Attach(ctxOf(t), tenant.Dedicated("x"), "1", ds[1].Sequence, nil, own)
	if err != nil {
		t.Fatal(err)
	}
	if d := own.next(t); d.Sequence != ds[1].Sequence {
		t.Errorf("starts at %d", d.Sequence)
	}
	late := newSink()
	rl, err := l.Attach(ctxOf(t), tenant.Dedicated("x"), "2", 1000, nil, late)
	if err != nil {
		t.Fatal(err)
	}
	if d := late.next(t); d.Sequence != ds[0].Sequence {
		t.Errorf("starts at %d", d.Sequence)
	}
	for _, r := range []Reader{r, ro, rl} {
		closeReader(t, r)
	}
}
