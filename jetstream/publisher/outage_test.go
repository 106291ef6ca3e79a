package publisher_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/embedded"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// remote is a server that can be stopped and started on the same directory and address, and a connection to it over
// TCP.
type remote struct {
	dir, addr string
	server    *embedded.Server
	nc        *nats.Conn
	js        natsjs.JetStream
	conn      *wire.Conn
	cutter    *cutter
}

// cutter is a dialer whose last connection can be cut.
type cutter struct {
	mu   sync.Mutex
	last net.Conn
}

func (c *cutter) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = conn
	return conn, err
}

func (c *cutter) cut() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.Close()
}

// await waits until the connection is in a state.
func await(t *testing.T, conn *wire.Conn, condition func(epoch uint64, up bool) bool) {
	t.Helper()
	changed, stop := conn.Watch()
	defer stop()
	for !condition(conn.State()) {
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatal("the connection does not change")
		}
	}
}

func down(_ uint64, up bool) bool { return !up }

func (r *remote) start(t *testing.T) {
	t.Helper()
	s, err := embedded.Start(embedded.Config{DataDir: r.dir, Addr: r.addr, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddTenant(tenant); err != nil {
		t.Fatal(err)
	}
	r.server, r.addr = s, s.Addr().String()
}

func (r *remote) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func startRemote(t *testing.T) *remote {
	t.Helper()
	r := &remote{dir: t.TempDir(), addr: "127.0.0.1:0", cutter: &cutter{}}
	r.start(t)
	t.Cleanup(func() { r.stop(t) })
	login, err := embedded.Login(r.dir, tenant)
	if err != nil {
		t.Fatal(err)
	}
	r.nc, err = nats.Connect("nats://"+r.addr, login, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.IgnoreAuthErrorAbort())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nc.Close)
	if r.js, err = natsjs.New(r.nc); err != nil {
		t.Fatal(err)
	}
	r.nc.Opts.CustomDialer = r.cutter
	r.conn = connect(t, r.nc)
	await(t, r.conn, func(_ uint64, up bool) bool { return up })
	makeStream(t, r.js, natsjs.StreamConfig{Name: "S", Subjects: []string{"kept.>"}})
	return r
}

func TestConnectionLost(t *testing.T) {
	r := startRemote(t)
	unanswered(t, r.nc, "silence")
	p := newPublisher(t, r.conn, publisher.Config{})
	defer closePublisher(t, p)
	done := make(answers, 10)
	p.Publish("silence", text(""), done, 1)
	if err := r.conn.Flush(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	// Known at once that its answer cannot come any more.
	done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
	await(t, r.conn, down)
	// What comes now waits for the server, in order.
	for i := range uint64(5) {
		p.Publish("kept.a", text(fmt.Sprint(i)), done, i)
	}
	r.start(t)
	for i := range uint64(5) {
		done.expect(t, i, publisher.Stored, "")
	}
	stream, err := r.js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		m, err := stream.GetMsg(t.Context(), i+1)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != fmt.Sprint(i) {
			t.Errorf("message %d is %q", i+1, m.Data)
		}
	}
}

func TestConnectionDownTooLong(t *testing.T) {
	r := startRemote(t)
	p := newPublisher(t, r.conn, publisher.Config{Timeout: 300 * time.Millisecond})
	defer closePublisher(t, p)
	r.stop(t)
	await(t, r.conn, down)
	done := make(answers, 10)
	begun := time.Now()
	p.Publish("kept.a", text(""), done, 1)
	p.Publish("kept.a", text(""), done, 1)
	done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
	if after := time.Since(begun); after < 300*time.Millisecond {
		t.Errorf("given up after %v", after)
	}
	done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
	r.start(t)
	p.Publish("kept.a", text(""), done, 2)
	done.expect(t, 2, publisher.Stored, "")
	stream, err := r.js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages are stored instead of 1", n)
	}
}

func TestClosedConnection(t *testing.T) {
	s := startServer(t)
	nc, _ := dial(t, s)
	conn := connect(t, nc)
	p := newPublisher(t, conn, publisher.Config{Timeout: 300 * time.Millisecond})
	conn.Close()
	done := make(answers, 1)
	p.Publish("a", text(""), done, 1)
	done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
	closePublisher(t, p)
}

// client publishes numbers in order with a window, and does what an MQTT client and its bridge do together after
// an Unknown: nothing more on this connection, and all that was not confirmed again on the next.
type client struct {
	publish   func(m *message.Message, done publisher.Done, token uint64)
	topic     string
	confirmed uint64 // numbers up to here
	progress  func()

	mu   sync.Mutex
	dead bool // an Unknown came
	open int  // publishes without an answer
	high uint64
	wake chan struct{}
}

func (c *client) Published(token uint64, r publisher.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if r.Outcome == publisher.Stored && !c.dead {
		c.high = max(c.high, token)
	}
	if r.Outcome != publisher.Stored {
		c.dead = true
	}
	c.progress()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// connection publishes from where the last one ended until it dies or all is confirmed.
func (c *client) connection(upTo uint64) {
	c.dead, c.open, c.high, c.wake = false, 0, c.confirmed, make(chan struct{}, 1)
	next := c.confirmed + 1
	c.mu.Lock()
	for {
		for !c.dead && c.open < 32 && next <= upTo {
			c.open++
			payload := binary.BigEndian.AppendUint64(nil, next)
			c.publish(&message.Message{Topic: c.topic, QoS: 1, Payload: payload}, c, next)
			next++
		}
		if c.open == 0 {
			break
		}
		c.mu.Unlock()
		<-c.wake
		c.mu.Lock()
	}
	c.confirmed = c.high
	c.mu.Unlock()
}

const clients, numbers, cuts = 6, 2000, 12

// throughOutages lets clients publish numbers, each to a topic of its own, while the connection breaks again and again.
func throughOutages(t *testing.T, r *remote, publish func(m *message.Message, done publisher.Done, token uint64)) {
	t.Helper()
	var total atomic.Int64
	step := make(chan struct{}, clients*numbers*cuts/500)
	progress := func() {
		if total.Add(1)%500 == 0 {
			step <- struct{}{}
		}
	}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c := &client{publish: publish, topic: fmt.Sprint(i), progress: progress}
			for c.confirmed < numbers {
				c.connection(numbers)
			}
		})
	}
	wg.Go(func() {
		for range cuts {
			<-step
			before, _ := r.conn.State()
			if err := r.cutter.cut(); err != nil {
				t.Error(err)
			}
			await(t, r.conn, func(epoch uint64, up bool) bool { return up && epoch > before })
		}
	})
	wg.Wait()
}

// inOrder checks what came of throughOutages, subject by subject.
type inOrder map[string]uint64

func (last inOrder) add(t *testing.T, subject string, payload []byte) {
	t.Helper()
	n := binary.BigEndian.Uint64(payload)
	if n > last[subject]+1 {
		t.Fatalf("%s: %d comes after %d", subject, n, last[subject])
	}
	last[subject] = max(last[subject], n)
}

func (last inOrder) complete() bool {
	for _, n := range last {
		if n != numbers {
			return false
		}
	}
	return len(last) == clients
}

// Connections break under load. Whoever stops at an Unknown and sends everything unconfirmed again has everything stored,
// and nothing before something earlier.
func TestOrderThroughOutages(t *testing.T) {
	r := startRemote(t)
	p := newPublisher(t, r.conn, publisher.Config{})
	throughOutages(t, r, func(m *message.Message, done publisher.Done, token uint64) {
		p.Publish("kept."+m.Topic, m, done, token)
	})
	closePublisher(t, p)
	stream, err := r.js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	t.Logf("%d messages for %d numbers", info.State.Msgs, clients*numbers)
	last := inOrder{}
	for seq := range info.State.LastSeq {
		m, err := stream.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		last.add(t, m.Subject, m.Data)
	}
	if !last.complete() {
		t.Errorf("the subjects end with %v", last)
	}
}
