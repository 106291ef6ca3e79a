package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// transientLive is a transient rule for the topics below live.
var transientLive = tenant.Rule{Filter: "live/#", Stream: tenant.StreamTransient}

// listen attaches to a transient rule.
func listen(t *testing.T, l *Log, filter string, s reader.Sink) Reader {
	t.Helper()
	r, err := l.Attach(ctxOf(t), tenant.Place{Stream: tenant.StreamTransient, Name: filter}, "", 0, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// native is a connection as a service has it.
func native(t *testing.T, l *Log) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(l.link.nc.ConnectedUrl())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func (s *sink) wantNothing(t *testing.T) {
	t.Helper()
	select {
	case d := <-s.deliveries:
		t.Errorf("%q on %s is delivered", d.Payload, d.Topic)
	default:
	}
}

// A message reaches the subscribers of all bridges as it was published, in order, and nothing of it is left.
func TestTransientAcrossBridges(t *testing.T) {
	logs := two(t, transientLive)
	a, b := logs[0], logs[1]
	sa, sb := newSink(), newSink()
	ra, rb := listen(t, a, "live/#", sa), listen(t, b, "live/#", sb)
	const count = 1000
	results := make(answers, count)
	begun := time.Now()
	for i := range count {
		m := textMessage("live/room 1", numbered(i))
		m.ClientID, m.User, m.Role, m.PacketID, m.HasExpiry, m.Expiry = "c", "u", "device", uint16(i+1), true, 60
		publishWith(t, a, m, results)
	}
	for range count {
		if r := results.next(t); r.Outcome != publisher.Stored {
			t.Fatal(r)
		}
	}
	for _, s := range []*sink{sa, sb} {
		for i := range count {
			d := s.next(t)
			want := message.Message{
				Topic: "live/room 1", QoS: 1, ClientID: "c", User: "u", Role: "device", PacketID: uint16(i + 1), HasExpiry: true, Expiry: 60,
			}
			got := *d.Message
			payload, stored := string(got.Payload), got.Stored
			got.Payload, got.Stored = nil, time.Time{}
			if d.Sequence != uint64(i+1) || d.Stream != "" || d.Reply != "" || d.Size < len(payload) || payload != numbered(i) || stored.Before(begun) ||
				fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("delivery %d: %+v, %+v", i, d, d.Message)
			}
		}
		s.wantNothing(t)
	}
	closeReader(t, ra)
	closeReader(t, rb)
	publishTransient(t, a, "live/room 1", "nobody hears it")
	late := newSink()
	listen(t, b, "live/#", late)
	publishTransient(t, a, "live/room 1", "now")
	if d := late.next(t); string(d.Payload) != "now" {
		t.Errorf("%q is delivered", d.Payload)
	}
	for _, s := range []*sink{sa, sb} {
		s.wantNothing(t)
	}
	if n := len(a.register.all()); n != 0 {
		t.Errorf("%d topics in the register", n)
	}
	names := a.link.js.StreamNames(ctxOf(t), natsjs.WithStreamListSubject(message.Subject("acme", "live/room 1")))
	for name := range names.Name() {
		t.Errorf("stream %s", name)
	}
	if n, err := a.LastSequence(ctxOf(t), tenant.Place{Stream: tenant.StreamTransient, Name: "live/#"}); n != 0 || err != nil {
		t.Errorf("last sequence %d, %v", n, err)
	}
}

// Each filter has its topics, those of the other rules come from elsewhere, and what is no topic is nobody's.
func TestTransientRulesHaveTheirTopics(t *testing.T) {
	l := two(t,
		tenant.Rule{Filter: "live/keep", Stream: tenant.StreamDedicated}, transientLive,
		tenant.Rule{Filter: "+/x", Stream: tenant.StreamTransient},
		tenant.Rule{Filter: "/#", Stream: tenant.StreamTransient},
		tenant.Rule{Filter: "kept/+", Stream: tenant.StreamDedicated},
		tenant.Rule{Filter: "#", Stream: tenant.StreamTransient})[0]
	sinks := map[string]*sink{}
	for _, filter := range []string{"live/#", "+/x", "/#", "#"} {
		sinks[filter] = newSink()
		listen(t, l, filter, sinks[filter])
	}
	kept, _ := attach(t, l, "live/keep", "")
	nc := native(t, l)
	badBefore := testutil.ToFloat64(l.store.metrics.transientBadSubject)
	for topic, filter := range map[string]string{
		"live": "live/#", "live/x": "live/#", "live/a/b": "live/#", "live/": "live/#", "live/über . * > %": "live/#",
		"a/x": "+/x", "/x": "+/x", "/": "/#", "/a/b": "/#", "b": "#", "a/b": "#", "live.x": "#",
	} {
		publishTransient(t, l, topic, "core")
		if d := sinks[filter].next(t); d.Topic != topic || string(d.Payload) != "core" {
			t.Errorf("%q on %s is delivered instead of %s", d.Payload, d.Topic, topic)
		}
	}
	// Core subscriptions see what JetStream stores.
	mustStore(t, l, "live/keep", "stored")
	mustStore(t, l, "kept/1", "stored")
	for _, subject := range []string{"mqtt.acme.live.%zz", "mqtt.acme.live.a/b", "mqtt.acme.%"} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if d := kept.next(t); string(d.Payload) != "stored" {
		t.Errorf("%q on %s", d.Payload, d.Topic)
	}
	for topic, filter := range map[string]string{"live/end": "live/#", "end/x": "+/x", "/end": "/#", "end": "#"} {
		publishTransient(t, l, topic, "end")
		if d := sinks[filter].next(t); d.Topic != topic {
			t.Errorf("%q on %s is delivered", d.Payload, d.Topic)
		}
	}
	kept.wantNothing(t)
	// Two of them below live: the rules live/# and # see them. The third is below #.
	if bad := testutil.ToFloat64(l.store.metrics.transientBadSubject) - badBefore; bad != 5 {
		t.Errorf("%v bad subjects", bad)
	}
	// From now on they are stored: by then nobody delivers them twice.
	enforce(t, []*Log{l}, tenant.Rule{Filter: "live/x", Stream: tenant.StreamDedicated}, transientLive)
	mustStore(t, l, "live/x", "stored")
	publishTransient(t, l, "live/y", "core")
	if d := sinks["live/#"].next(t); d.Topic != "live/y" {
		t.Errorf("%q on %s is delivered", d.Payload, d.Topic)
	}
}

// Transient topics are not counted and have nothing to be made, whoever asks for them.
func TestTransientTopicsAreNotMade(t *testing.T) {
	l := two(t, transientLive)[0]
	setQuotas(l.store, func(q *tenant.Quotas) { q.Topics = 1 }, transientLive)
	mustStore(t, l, "x", "the only one")
	nc := native(t, l)
	for i := range 3 {
		topic := fmt.Sprint("live/", i)
		publishTransient(t, l, topic, "")
		m, err := nc.Request(message.EnsureSubject("acme"), []byte(topic), patience)
		if err != nil {
			t.Fatal(err)
		}
		var reply serviceReply
		if err := json.Unmarshal(m.Data, &reply); err != nil || reply.Error != nil {
			t.Errorf("answer %s", m.Data)
		}
	}
	if n := l.register.sums().live; n != 1 {
		t.Errorf("%d topics", n)
	}
	if _, err := l.link.js.Publish(ctxOf(t), message.Subject("acme", "live/1"), nil); !errors.Is(err, natsjs.ErrNoStreamResponse) {
		t.Errorf("a JetStream publish is answered with %v", err)
	}
	// Where somebody listens nobody says so, and the message is not delivered either.
	s := newSink()
	listen(t, l, "live/#", s)
	ctx, cancel := context.WithCancel(ctxOf(t))
	answered := make(chan error, 1)
	go func() {
		_, err := l.link.js.Publish(ctx, message.Subject("acme", "live/1"), []byte("from JetStream"))
		answered <- err
	}()
	publishTransient(t, l, "live/1", "from Weir")
	if d := s.next(t); string(d.Payload) != "from Weir" {
		t.Errorf("%q is delivered", d.Payload)
	}
	select {
	case err := <-answered:
		t.Errorf("a JetStream publish that somebody hears is answered with %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("a JetStream publish ends with %v", err)
	}
}

// Whoever closes the bridge closes what is attached.
func TestCloseEndsTransientReaders(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{a, b}, transientLive)
	s := newSink()
	r := listen(t, a, "live/#", s)
	if err := a.store.Close(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	publishTransient(t, b, "live/x", "")
	s.wantNothing(t)
	closeReader(t, r)
	if r.Adopted() {
		t.Error("adopted")
	}
}

func publishWith(t *testing.T, l *Log, m *message.Message, a publisher.Done) {
	t.Helper()
	route, _ := l.Lookup([]byte(m.Topic))
	if _, ok := route.(*transient); !ok {
		t.Fatalf("%s is stored", m.Topic)
	}
	if err := route.Wait(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	route.Publish(m, a, 0)
}

// publishTransient returns when NATS has the message.
func publishTransient(t *testing.T, l *Log, topic, payload string) {
	t.Helper()
	a := make(answers, 1)
	publishWith(t, l, textMessage(topic, payload), a)
	if r := a.next(t); r.Outcome != publisher.Stored {
		t.Fatalf("publish to %s: %v", topic, r)
	}
}
