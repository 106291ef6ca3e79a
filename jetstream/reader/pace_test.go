package reader_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
)

// fill stores n messages of a size on a subject.
func fill(t testing.TB, js natsjs.JetStream, subject string, n, size int) {
	t.Helper()
	payload := make([]byte, size)
	for i := range n {
		copy(payload, fmt.Sprintf("%08d", i))
		if _, err := js.Publish(deadline(t), subject, payload); err != nil {
			t.Fatalf("publish %d: %v", i, err)
		}
	}
}

// awaitWindow waits until the consumer may have that many messages unacknowledged.
func awaitWindow(t testing.TB, js natsjs.JetStream, want int) {
	t.Helper()
	ctx := deadline(t)
	for {
		c, err := js.PushConsumer(ctx, "S", "b_1")
		if err != nil {
			t.Fatalf("window %d: %v", want, err)
		}
		if c.CachedInfo().Config.MaxAckPending == want {
			return
		}
	}
}

func TestWindowFollowsSizeOfMessages(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	awaitWindow(t, js, 256)
	fill(t, js, "mqtt.t.a", 1, 600<<10)
	awaitWindow(t, js, 32)
	fill(t, js, "mqtt.t.a", 30, 600<<10)
	got := sink.waitFor(31)
	for _, d := range got {
		r.Ack(d)
	}
	// A while without large ones.
	for n := 0; n < 2048; n += 16 {
		publish(t, js, n, n+16)
		for _, d := range sink.waitFor(31 + n + 16)[31+n:] {
			r.Ack(d)
		}
	}
	awaitWindow(t, js, 256)
	waitEmpty(t, js)
	if n := counter(t, reg, "weir_reader_resets_total", "gap"); n != 0 {
		t.Errorf("%v resets", n)
	}
}

// slowDialer makes connections that take less than the server can send.
type slowDialer struct{}

func (slowDialer) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return slowConn{c, time.NewTicker(time.Millisecond)}, err
}

type slowConn struct {
	net.Conn
	tick *time.Ticker
}

// Read takes up to 32 KiB in a millisecond.
func (c slowConn) Read(p []byte) (int, error) {
	<-c.tick.C
	return c.Conn.Read(p[:min(len(p), 32<<10)])
}

// Many readers whose streams are full start over when the server is back: together they would be sent more than the server
// lets wait for one connection.
func TestManyReadersStartOverAtAPace(t *testing.T) {
	const readers, messages, size, maxPending = 5, 256, 64 << 10, 48 << 20
	s := startServer(t)
	nc, js := connect(t, s, nats.SetCustomDialer(slowDialer{}))
	cfg, reg := config(t, nc, js)
	cfg.Pace = reader.NewPace()
	var sinks []*collector
	var all []*reader.Reader
	for i := range readers {
		name := fmt.Sprint("S", i)
		makeStream(t, js, func(c *natsjs.StreamConfig) { c.Name, c.Subjects = name, []string{"mqtt.t." + name} })
		own := cfg
		own.Stream, own.Deliver, own.Size = name, "weir.deliver.1."+name, size
		sinks = append(sinks, newCollector(t))
		all = append(all, open(t, own, sinks[i]))
		fill(t, js, "mqtt.t."+name, messages, size)
	}
	for _, c := range sinks {
		c.waitFor(messages)
	}
	s.opts.MaxPending = maxPending
	restart(t, s, nc)
	awaitEpoch(t, cfg.Conn, 2)
	for counter(t, reg, "weir_reader_resets_total", "reconnect") < readers {
		if _, err := js.Stream(deadline(t), "S0"); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range all {
		for _, d := range sinks[i].waitFor(messages) {
			r.Ack(d)
		}
	}
	for i := range readers {
		name := fmt.Sprint("S", i)
		awaitEmpty(t, js, name)
		fill(t, js, "mqtt.t."+name, 1, size)
		sinks[i].waitFor(messages + 1)
	}
	if n := s.NumSlowConsumers(); n != 0 {
		t.Errorf("the server cut %d connections off", n)
	}
}

// A consumer that is made again in vain, because the topic cannot be found again a moment later, is kept: it holds what was
// stored since.
func TestRemakeThatFailsHalfWayLosesNothing(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	asked := 0
	var r *reader.Reader
	var sink *collector
	cfg.Reattach = func(context.Context) (string, error) {
		asked++
		if asked != 2 {
			return "S", nil
		}
		// Between the making of the consumer and the second look.
		publish(t, js, 10, 20)
		for _, d := range sink.waitFor(10) {
			r.Ack(d)
		}
		return "", context.DeadlineExceeded
	}
	sink = newCollector(t)
	r = open(t, cfg, sink)
	publish(t, js, 0, 10)
	sink.waitFor(10)
	if err := js.DeleteConsumer(deadline(t), "S", cfg.Durable); err != nil {
		t.Fatal(err)
	}
	got := sink.waitFor(20)
	expect(t, got, 0, 20)
	for _, d := range got {
		r.Ack(d)
	}
	publish(t, js, 20, 30)
	expect(t, sink.waitFor(30), 0, 30)
}

// A consumer that does not exist does not answer to a reset. It is made again all the same.
func TestConsumerDeletedBeforeItIsReset(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	keepMessages(t, js)
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	n := 0
	for range 20 {
		publish(t, js, n, n+5)
		n += 5
		for _, d := range sink.waitFor(n)[n-5 : n-2] {
			r.Ack(d)
		}
		for _, name := range consumers(t, js) {
			if name == "other" {
				continue
			}
			if err := js.DeleteConsumer(deadline(t), "S", name); err != nil {
				t.Fatal(err)
			}
		}
		r.Receive(skipped())
	}
	publish(t, js, n, n+5)
	expect(t, sink.waitFor(n+5), 0, n+5)
}

func awaitEmpty(t testing.TB, js natsjs.JetStream, name string) {
	t.Helper()
	ctx := deadline(t)
	for {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if stream.CachedInfo().State.Msgs == 0 {
			return
		}
	}
}
