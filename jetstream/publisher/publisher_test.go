package publisher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirmq/weir/jetstream/embedded"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

const patience = 20 * time.Second

type answer struct {
	token uint64
	publisher.Result
}

// answers has room for every answer of a test.
type answers chan answer

func (c answers) Published(token uint64, r publisher.Result) { c <- answer{token, r} }

func (c answers) next(t testing.TB) answer {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(patience):
		t.Fatal("no answer")
		panic("unreachable")
	}
}

func (c answers) expect(t testing.TB, token uint64, outcome publisher.Outcome, name reason.Reason) {
	t.Helper()
	a := c.next(t)
	var e *reason.Error
	got := reason.Reason("")
	if errors.As(a.Err, &e) {
		got = e.Reason
	}
	if a.token != token || a.Outcome != outcome || got != name {
		t.Fatalf("answer %d, outcome %d, %v; want %d, outcome %d, %q", a.token, a.Outcome, a.Err, token, outcome, name)
	}
}

func text(s string) *message.Message { return &message.Message{QoS: 1, Payload: []byte(s)} }

func TestStored(t *testing.T) {
	s := startServer(t)
	nc, js := dial(t, s)
	stream := makeStream(t, js, natsjs.StreamConfig{Name: "S", Subjects: []string{"mqtt.acme.>"}})
	p := newPublisher(t, connect(t, nc), publisher.Config{})
	const count = 3000
	done := make(answers, count)
	for i := range uint64(count) {
		m := text(strconv.FormatUint(i, 10))
		m.ClientID, m.PacketID = "c 1", uint16(i+1)
		p.Publish("mqtt.acme.a", m, done, i)
	}
	closePublisher(t, p)
	seen := make(map[uint64]bool)
	for range count {
		a := done.next(t)
		if a.Outcome != publisher.Stored || a.Err != nil || seen[a.token] {
			t.Fatalf("answer %+v, seen before: %v", a, seen[a.token])
		}
		seen[a.token] = true
	}
	if len(done) != 0 {
		t.Errorf("%d answers too many", len(done))
	}
	for i := range uint64(count) {
		raw, err := stream.GetMsg(t.Context(), i+1)
		if err != nil {
			t.Fatal(err)
		}
		if raw.Header.Get(message.HeaderClientID) != "c%201" || raw.Header.Get(message.HeaderPacketID) != strconv.FormatUint(i+1, 10) ||
			!bytes.Equal(raw.Data, strconv.AppendUint(nil, i, 10)) {
			t.Fatalf("stored as %d: %v %q", i+1, raw.Header, raw.Data)
		}
	}
}

func TestRefused(t *testing.T) {
	s := startServer(t)
	nc, js := dial(t, s)
	for _, c := range []natsjs.StreamConfig{
		{Name: "BYTES", Subjects: []string{"bytes"}, MaxBytes: 200},
		{Name: "COUNT", Subjects: []string{"count"}, MaxMsgs: 1},
		{Name: "EACH", Subjects: []string{"each"}, MaxMsgsPerSubject: 1, DiscardNewPerSubject: true, MaxMsgs: 9},
		{Name: "SIZE", Subjects: []string{"size"}, MaxMsgSize: 10},
	} {
		c.Discard = natsjs.DiscardNew
		makeStream(t, js, c)
	}
	p := newPublisher(t, connect(t, nc), publisher.Config{})
	defer closePublisher(t, p)
	done := make(answers, 10)
	long := text(string(make([]byte, 100)))
	for _, subject := range []string{"bytes", "count", "each"} {
		p.Publish(subject, long, done, 1)
		done.expect(t, 1, publisher.Stored, "")
		p.Publish(subject, long, done, 2)
		done.expect(t, 2, publisher.Refused, reason.BacklogFull)
	}
	p.Publish("size", long, done, 3)
	done.expect(t, 3, publisher.Refused, reason.MessageTooLarge)
	p.Publish("count", text(string(make([]byte, embedded.MaxPayload+1))), done, 4)
	done.expect(t, 4, publisher.Refused, reason.MessageTooLarge)
	p.Publish("nowhere", long, done, 5)
	done.expect(t, 5, publisher.NoStream, reason.NATSUnavailable)
	if err := js.DeleteStream(t.Context(), "COUNT"); err != nil {
		t.Fatal(err)
	}
	p.Publish("count", long, done, 7)
	done.expect(t, 7, publisher.NoStream, reason.NATSUnavailable)
}

// unanswered makes a subject on which publishes arrive and nobody answers.
func unanswered(t *testing.T, nc *nats.Conn, subject string) {
	t.Helper()
	if _, err := nc.Subscribe(subject, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestUnansweredIsUnknown(t *testing.T) {
	s := startServer(t)
	nc, _ := dial(t, s)
	unanswered(t, nc, "silence")
	p := newPublisher(t, connect(t, nc), publisher.Config{Timeout: 200 * time.Millisecond})
	defer closePublisher(t, p)
	done := make(answers, 1)
	begun := time.Now()
	p.Publish("silence", text(""), done, 1)
	done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
	if after := time.Since(begun); after < 200*time.Millisecond {
		t.Errorf("given up after %v", after)
	}
}

// A native service that answers to what it sees is not taken for JetStream, and its answer takes no other's place.
func TestForeignAnswers(t *testing.T) {
	s := startServer(t)
	nc, js := dial(t, s)
	makeStream(t, js, natsjs.StreamConfig{Name: "S", Subjects: []string{"kept"}})
	other, _ := dial(t, s)
	answered := make(chan struct{}, 10)
	if _, err := other.Subscribe("*", func(m *nats.Msg) {
		if m.Reply == "" {
			return
		}
		for _, answer := range []string{"", "+OK", "{}", `{"error":{}}`, `{"error":`} {
			if err := m.Respond([]byte(answer)); err != nil {
				t.Error(err)
			}
		}
		if err := other.Flush(); err != nil {
			t.Error(err)
		}
		answered <- struct{}{}
	}); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	metrics := publisher.NewMetrics(registry)
	p := newPublisher(t, connect(t, nc), publisher.Config{Timeout: 300 * time.Millisecond, Metrics: metrics})
	done := make(answers, 10)
	p.Publish("kept", text(""), done, 1)
	done.expect(t, 1, publisher.Stored, "")
	p.Publish("silence", text(""), done, 2)
	done.expect(t, 2, publisher.Unknown, reason.PublishUnknown)
	<-answered
	<-answered
	closePublisher(t, p)
	if len(done) != 0 {
		t.Errorf("%d answers too many", len(done))
	}
	want := `
# HELP weir_jetstream_publishes_total Publishes to JetStream by outcome (stored, refused, no_stream, unknown) and reason.
# TYPE weir_jetstream_publishes_total counter
weir_jetstream_publishes_total{outcome="stored",reason=""} 1
weir_jetstream_publishes_total{outcome="unknown",reason="publish_outcome_unknown"} 1
# HELP weir_jetstream_strange_answers_total Messages to the bridge's reply subjects that are no answer of JetStream's.
# TYPE weir_jetstream_strange_answers_total counter
weir_jetstream_strange_answers_total 10
`
	if err := testutil.GatherAndCompare(registry, bytes.NewBufferString(want),
		"weir_jetstream_publishes_total", "weir_jetstream_strange_answers_total"); err != nil {
		t.Error(err)
	}
}

func TestWait(t *testing.T) {
	s := startServer(t)
	nc, js := dial(t, s)
	unanswered(t, nc, "silence")
	makeStream(t, js, natsjs.StreamConfig{Name: "S", Subjects: []string{"kept"}})
	for name, config := range map[string]publisher.Config{
		"messages": {MaxPending: 2, Timeout: time.Second},
		"bytes":    {MaxBytes: 2, Timeout: time.Second},
	} {
		p := newPublisher(t, connect(t, nc), config)
		done := make(answers, 10)
		for range 2 {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			p.Publish("silence", text("x"), done, 1)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: there is room: %v", name, err)
		}
		p.Publish("kept", text("x"), done, 2) // over the limit and taken all the same
		done.expect(t, 2, publisher.Stored, "")
		if err := p.Wait(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
		closePublisher(t, p)
	}
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	s := startServer(t)
	nc, _ := dial(t, s)
	unanswered(t, nc, "silence")
	p := newPublisher(t, connect(t, nc), publisher.Config{})
	done := make(answers, 2)
	p.Publish("silence", text(""), done, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if len(done) != 1 {
		t.Fatal("Close returned before the answer")
	}
	done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
	p.Publish("silence", text(""), done, 2)
	if len(done) != 0 {
		t.Error("answered after Close")
	}
}

func TestConcurrent(t *testing.T) {
	s := startServer(t)
	nc, js := dial(t, s)
	makeStream(t, js, natsjs.StreamConfig{Name: "S", Subjects: []string{"t.>"}})
	p := newPublisher(t, connect(t, nc), publisher.Config{MaxPending: 100})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			done := make(answers, 500)
			for n := range uint64(500) {
				if err := p.Wait(t.Context()); err != nil {
					t.Error(err)
					return
				}
				p.Publish(fmt.Sprintf("t.%d", i), text(""), done, n)
			}
			for range 500 {
				if a := done.next(t); a.Outcome != publisher.Stored {
					t.Errorf("answer %+v", a)
				}
			}
		})
	}
	wg.Wait()
	closePublisher(t, p)
}
