package fanout_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

func TestMain(m *testing.M) {
	natsprocess.Main()
	goleak.VerifyTestMain(m)
}

const patience = 30 * time.Second

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// env is a nats-server with one stream, a hub and what counts in it.
type env struct {
	t      testing.TB
	nc     *nats.Conn
	conn   *wire.Conn
	js     natsjs.JetStream
	stream natsjs.Stream
	log    *streamLog
	hub    *fanout.Hub
	reg    *prometheus.Registry
	ended  chan struct{} // closed when the test ends, before its sessions are
	opts   server.Options
	server *server.Server
}

func (e *env) serve() {
	e.t.Helper()
	opts := e.opts
	var err error
	if e.server, err = server.NewServer(&opts); err != nil {
		e.t.Fatal(err)
	}
	e.server.Start()
	if !e.server.ReadyForConnections(patience) {
		e.t.Fatal("nats-server does not start")
	}
	e.opts.Port = opts.Port
}

func (e *env) stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

// restart stops the server and starts it again on its port and store.
func (e *env) restart() {
	e.t.Helper()
	e.stop()
	e.serve()
}

func start(t testing.TB, budget int64, change ...func(*natsjs.StreamConfig)) *env {
	t.Helper()
	e := &env{t: t, reg: prometheus.NewRegistry(), ended: make(chan struct{}), opts: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	e.serve()
	t.Cleanup(e.stop)
	closed := make(chan struct{})
	nc, err := nats.Connect(e.server.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		<-closed
	})
	e.nc = nc
	if e.conn, err = wire.Connect(nc.Opts, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.conn.Close)
	changed, stop := e.conn.Watch()
	defer stop()
	for _, up := e.conn.State(); !up; _, up = e.conn.State() {
		<-changed
	}
	if e.js, err = natsjs.New(nc, natsjs.WithPublishAsyncMaxPending(256)); err != nil {
		t.Fatal(err)
	}
	cfg := natsjs.StreamConfig{
		Name: "S", Subjects: []string{"mqtt.t.>"}, Retention: natsjs.InterestPolicy, Discard: natsjs.DiscardNew,
		MaxAge: time.Hour, AllowMsgTTL: true,
	}
	for _, f := range change {
		f(&cfg)
	}
	if e.stream, err = e.js.CreateStream(deadline(t), cfg); err != nil {
		t.Fatal(err)
	}
	e.log = &streamLog{env: e, metrics: reader.NewMetrics(e.reg), pace: reader.NewPace()}
	e.hub = fanout.New(fanout.Config{Budget: budget, Log: zap.NewNop(), Metrics: fanout.NewMetrics(e.reg)})
	t.Cleanup(func() {
		if err := e.hub.Close(deadline(t)); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// streamLog is a message log of one stream, over real readers.
type streamLog struct {
	env      *env
	metrics  *reader.Metrics
	pace     *reader.Pace
	attached atomic.Int64
	watching
	holds
	opened atomic.Int64 // ever
	fail   atomic.Bool
	// gate, when set, is received from before an attach goes on.
	gate chan struct{}
}

func (l *streamLog) Places(string) ([]tenant.Place, bool) { return nil, true }

func (l *streamLog) Attach(ctx context.Context, place tenant.Place, name string, from uint64, _ []string, sink reader.Sink) (reader.Attached, error) {
	topic := place.Name
	if l.gate != nil {
		<-l.gate
	}
	if l.fail.Load() {
		return nil, context.DeadlineExceeded
	}
	n := strconv.FormatInt(l.opened.Add(1), 10)
	cfg := reader.Config{
		Conn: l.env.conn, JetStream: l.env.js, Stream: "S", Durable: "b_1_" + name, Deliver: "weir.deliver.1." + n,
		Filters: []string{"mqtt.t." + topic}, Log: zap.NewNop(), Metrics: l.metrics, Pace: l.pace,
		Decode: func(m *wire.Msg) (*message.Message, error) {
			return &message.Message{Topic: topic, Payload: bytes.Clone(m.Data)}, nil
		},
	}
	if name == "" {
		cfg.Durable = "b_1"
	}
	if topic != "a" {
		cfg.Durable += "_" + topic
	}
	adopted := from == 0 && name == "" && l.adopt(topic)
	switch {
	case from != 0:
		cfg.Start, cfg.From = reader.StartSequence, from
	case adopted:
		cfg.Start = reader.StartAll
	}
	r, err := reader.Open(ctx, cfg, sink)
	if err != nil {
		return nil, err
	}
	l.attached.Add(1)
	return counted{r, l, adopted}, nil
}

type counted struct {
	reader.Attached
	log     *streamLog
	adopted bool
}

func (c counted) Adopted() bool { return c.adopted }

func (c counted) Close(ctx context.Context) error {
	c.log.attached.Add(-1)
	return c.Attached.Close(ctx)
}

func (l *streamLog) AttachErrors(ctx context.Context, clientID, _ string, sink reader.Sink) (reader.Attached, error) {
	return l.Attach(ctx, tenant.Dedicated("errors"), clientID, 1, nil, sink)
}

func (l *streamLog) LastSequence(ctx context.Context, _ tenant.Place) (uint64, error) {
	s, err := l.env.js.Stream(ctx, "S")
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

// publish stores messages numbered from first up to but not including last, in order.
func (e *env) publish(first, last int) {
	e.t.Helper()
	e.publishSized(first, last, 0)
}

func (e *env) publishSized(first, last, size int) {
	e.t.Helper()
	var futures []natsjs.PubAckFuture
	for i := first; i < last; i++ {
		payload := make([]byte, max(size, 8))
		copy(payload, fmt.Appendf(nil, "%08d", i))
		f, err := e.js.PublishAsync("mqtt.t.a", payload, natsjs.WithStallWait(patience))
		if err != nil {
			e.t.Fatal(err)
		}
		if futures = append(futures, f); len(futures) == 256 {
			e.stored(futures)
			futures = futures[:0]
		}
	}
	e.stored(futures)
}

func (e *env) stored(futures []natsjs.PubAckFuture) {
	e.t.Helper()
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			e.t.Fatal(err)
		}
	}
}

// session is a receiver with a goroutine of its own, as the bridge has.
type session struct {
	t    testing.TB
	name string
	hold bool
	m    *fanout.Member
	sub  *fanout.Subscription
	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
	// each is called for every message; false: it is not acknowledged.
	each func(number int, d reader.Delivery) bool

	mu   sync.Mutex
	cond *sync.Cond
	got  int // messages so far
	last int // number of the last
	bad  bool
}

func (s *session) Opened(sub *fanout.Subscription) { s.sub = sub }

func (s *session) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (e *env) session(name string, hold bool) *session {
	s := &session{t: e.t, name: name, hold: hold, wake: make(chan struct{}, 1), stop: make(chan struct{}), last: -1}
	s.cond = sync.NewCond(&s.mu)
	s.m = e.hub.Join(e.log, s)
	return s
}

// subscribe makes a session that reads everything.
func (e *env) subscribe(name string, hold bool) *session {
	e.t.Helper()
	s := e.session(name, hold)
	e.attach(s)
	s.read()
	return s
}

func (e *env) attach(s *session) {
	e.t.Helper()
	if err := s.m.Subscribe(deadline(e.t), "a", s.hold); err != nil {
		e.t.Fatal(err)
	}
	s.sub.Bind(s)
}

// read starts reading; it checks that numbers ascend by one.
func (s *session) read() {
	s.done.Go(func() {
		for {
			for {
				d, held, ok := s.sub.Next()
				if !ok {
					break
				}
				if s.take(d) && held {
					s.sub.Ack(d.Sequence)
				}
			}
			select {
			case <-s.wake:
			case <-s.stop:
				return
			}
		}
	})
	s.t.Cleanup(s.close)
}

func (s *session) take(d reader.Delivery) bool {
	n, err := strconv.Atoi(string(d.Payload[:8]))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || s.got > 0 && (s.hold && n != s.last+1 || n <= s.last) {
		if !s.bad {
			s.t.Errorf("%s: message %d after %d (%v)", s.name, n, s.last, err)
		}
		s.bad = true
	}
	s.got++
	s.last = n
	s.cond.Broadcast()
	return s.each == nil || s.each(n, d)
}

// waitFor blocks until the session has had the message with that number.
func (s *session) waitFor(number int) {
	s.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.cond.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.last < number && !late {
		s.cond.Wait()
	}
	if late {
		s.t.Errorf("%s: timeout at message %d of %d", s.name, s.last, number)
		s.mu.Unlock()
		defer s.mu.Lock()
		s.t.FailNow()
	}
}

// close ends the session once.
func (s *session) close() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.done.Wait()
	s.m.Leave()
}

// value reads a metric, the sum over its labels.
func (e *env) value(name string) (v float64) {
	e.t.Helper()
	families, err := e.reg.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				v += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return v
}

// until asks the server again and again, which takes its time, until the condition holds.
func (e *env) until(what string, condition func(natsjs.StreamInfo) bool) {
	e.t.Helper()
	ctx := deadline(e.t)
	for {
		info, err := e.stream.Info(ctx)
		if err != nil {
			e.t.Fatalf("%s: %v (%+v)", what, err, info)
		}
		if condition(*info) {
			return
		}
	}
}

func empty(i natsjs.StreamInfo) bool { return i.State.Msgs == 0 }

func (*session) Moved(*fanout.Subscription) {}

func (*session) Ended(*fanout.Subscription) {}

func (l *streamLog) OnMove(reader.Mover) {}
