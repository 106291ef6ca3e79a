package reader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// natsServer is a real nats-server that can be stopped and started again on its port and store.
type natsServer struct {
	t    testing.TB
	opts server.Options
	*server.Server
}

func startServer(t testing.TB) *natsServer {
	t.Helper()
	s := &natsServer{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	opts := s.opts
	var err error
	if s.Server, err = server.NewServer(&opts); err != nil {
		s.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		s.t.Fatal("nats-server does not start")
	}
	s.opts.Port = opts.Port
}

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// restart stops the server, starts it again and waits until nc is connected.
func restart(t testing.TB, s *natsServer, nc *nats.Conn) {
	t.Helper()
	up := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(up)
	s.stop()
	s.start()
	<-up
}

func connect(t testing.TB, s *natsServer, more ...nats.Option) (*nats.Conn, natsjs.JetStream) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append(more,
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	t.Cleanup(func() {
		nc.Close()
		<-closed
	})
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func makeStream(t testing.TB, js natsjs.JetStream, change ...func(*natsjs.StreamConfig)) natsjs.Stream {
	t.Helper()
	cfg := natsjs.StreamConfig{
		Name: "S", Subjects: []string{"mqtt.t.>"}, Retention: natsjs.InterestPolicy, Discard: natsjs.DiscardNew,
		Storage: natsjs.FileStorage, MaxAge: time.Hour, AllowMsgTTL: true, MaxBytes: 64 << 20,
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := js.CreateStream(deadline(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var errBad = errors.New("bad subject")

func decode(m *wire.Msg) (*message.Message, error) {
	if bytes.Contains(m.Subject, []byte("bad")) {
		return nil, errBad
	}
	return &message.Message{Topic: string(m.Subject), Payload: bytes.Clone(m.Data)}, nil
}

// dataConn makes a connection like the one given, for data.
func dataConn(t testing.TB, nc *nats.Conn) *wire.Conn {
	t.Helper()
	c, err := wire.Connect(nc.Opts, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	awaitEpoch(t, c, 1)
	return c
}

// awaitEpoch waits until that connection is up, or a later one.
func awaitEpoch(t testing.TB, c *wire.Conn, least uint64) {
	t.Helper()
	changed, stop := c.Watch()
	defer stop()
	for {
		if epoch, up := c.State(); up && epoch >= least {
			return
		}
		select {
		case <-changed:
		case <-deadline(t).Done():
			t.Fatal("not connected")
		}
	}
}

func config(t testing.TB, nc *nats.Conn, js natsjs.JetStream) (reader.Config, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	return reader.Config{
		Conn: dataConn(t, nc), JetStream: js, Stream: "S", Durable: "b_1", Deliver: "weir.deliver.1.S",
		Decode: decode, Log: zaptest.NewLogger(t), Metrics: reader.NewMetrics(reg),
	}, reg
}

func open(t testing.TB, cfg reader.Config, sink reader.Sink) *reader.Reader {
	t.Helper()
	r, err := reader.Open(deadline(t), cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(deadline(t)); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// collector is a sink that keeps everything, and checks that sequences ascend.
type collector struct {
	t    testing.TB
	mu   sync.Mutex
	cond *sync.Cond
	got  []reader.Delivery
	lost uint64
	deaf bool // refuses
}

func newCollector(t testing.TB) *collector {
	c := &collector{t: t}
	c.cond = sync.NewCond(&c.mu)
	return c
}

func (c *collector) Deliver(d reader.Delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf {
		c.cond.Broadcast()
		return false
	}
	if n := len(c.got); n > 0 && c.got[n-1].Stream == d.Stream && c.got[n-1].Sequence >= d.Sequence {
		c.t.Errorf("sequence %d after %d", d.Sequence, c.got[n-1].Sequence)
	}
	c.got = append(c.got, d)
	c.cond.Broadcast()
	return true
}

func (c *collector) Lost(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost += n
	c.cond.Broadcast()
}

// wait blocks until the condition, which may look at the collector's fields, holds.
func (c *collector) wait(what string, condition func() bool) {
	c.t.Helper()
	timer := time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deaf = true
		c.t.Errorf("timeout: %s; got %d, lost %d", what, len(c.got), c.lost)
		c.cond.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !condition() && !c.t.Failed() {
		c.cond.Wait()
	}
	if c.t.Failed() {
		c.mu.Unlock()
		defer c.mu.Lock()
		c.t.FailNow()
	}
}

func (c *collector) waitFor(n int) []reader.Delivery {
	c.t.Helper()
	c.wait(fmt.Sprint(n, " deliveries"), func() bool { return len(c.got) >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]reader.Delivery(nil), c.got...)
}

// keepMessages makes a second consumer, "other", which keeps the messages alive that the reader's loses.
func keepMessages(t testing.TB, js natsjs.JetStream) {
	t.Helper()
	if _, err := js.CreateConsumer(deadline(t), "S", natsjs.ConsumerConfig{Durable: "other", AckPolicy: natsjs.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
}

// publish stores messages numbered from first up to but not including last.
func publish(t testing.TB, js natsjs.JetStream, first, last int, opts ...natsjs.PublishOpt) {
	t.Helper()
	for i := first; i < last; i++ {
		if _, err := js.Publish(deadline(t), "mqtt.t.a", fmt.Append(nil, i), opts...); err != nil {
			t.Fatalf("publish %d: %v", i, err)
		}
	}
}

// expect checks that the deliveries carry the numbers first up to but not including last.
func expect(t testing.TB, got []reader.Delivery, first, last int) {
	t.Helper()
	if len(got) != last-first {
		t.Fatalf("got %d messages, want %d", len(got), last-first)
	}
	for i, d := range got {
		if want := fmt.Sprint(first + i); string(d.Payload) != want {
			t.Fatalf("message %d is %q, want %q", i, d.Payload, want)
		}
	}
}

// counter reads a counter with one label value, or a gauge without.
func counter(t testing.TB, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// advisory returns a channel of a JetStream advisory.
func advisory(t testing.TB, nc *nats.Conn, subject string) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 64)
	sub, err := nc.ChanSubscribe("$JS.EVENT.ADVISORY."+subject, ch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return ch
}
