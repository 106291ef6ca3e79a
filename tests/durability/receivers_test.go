package durability

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// service is a native NATS service with a durable consumer on each topic.
type service struct {
	nc     *nats.Conn
	topics map[string]*stored
}

// stored is what the service got of one topic, by stream sequence. JetStream delivers again what a client lost with its
// connection, but behind newer messages; the sequence tells the order in which the messages were stored.
type stored struct {
	*received
	mu  sync.Mutex
	seq map[uint64]int64
}

// startService begins to consume all topics until the end of the test.
func startService(t *testing.T, url string, topics []string) *service {
	t.Helper()
	nc := weirtest.Connect(t, url, weirtest.DemoService(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if err := nc.LastError(); err != nil {
				t.Errorf("the native service has lost its connection for good: %v", err)
			}
		}))
	s := &service{nc: nc, topics: map[string]*stored{}}
	for _, topic := range topics {
		weirtest.Durable(t, nc, "demo", topic, "service")
		js, err := natsjs.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		stream := weirtest.Ensure(t, nc, "demo", topic)
		// What was lost with a connection comes again soon.
		consumer, err := js.UpdateConsumer(weirtest.Context(t), stream, natsjs.ConsumerConfig{
			Durable: "service", AckPolicy: natsjs.AckExplicitPolicy, DeliverPolicy: natsjs.DeliverNewPolicy, MaxAckPending: -1,
			AckWait: 3 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		got := &stored{received: newReceived("native service"), seq: map[uint64]int64{}}
		s.topics[topic] = got
		consuming, err := consumer.Consume(func(m natsjs.Msg) { got.take(t, m) }, natsjs.PullHeartbeat(time.Second), natsjs.PullExpiry(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			consuming.Stop()
			<-consuming.Closed()
		})
	}
	return s
}

func (s *stored) take(t *testing.T, m natsjs.Msg) {
	n, err := strconv.ParseInt(string(m.Data()), 10, 64)
	if err != nil {
		t.Errorf("stored: %q", m.Data())
	}
	meta, err := m.Metadata()
	if err != nil {
		t.Error(err)
		return
	}
	s.mu.Lock()
	s.seq[meta.Sequence.Stream] = n
	s.mu.Unlock()
	s.add(n)
	_ = m.Ack() // where the connection is lost the message comes again
}

// check compares what was stored with what was acknowledged.
func (s *service) check(t *testing.T, acknowledged map[string][]int64) {
	t.Helper()
	if s.nc.IsClosed() {
		t.FailNow() // said already
	}
	for topic, want := range acknowledged {
		got := s.topics[topic]
		got.await(want)
		ordered := newReceived(got.who)
		got.mu.Lock()
		sequences := make([]uint64, 0, len(got.seq))
		for seq := range got.seq {
			sequences = append(sequences, seq)
		}
		slices.Sort(sequences)
		for _, seq := range sequences {
			ordered.add(got.seq[seq])
		}
		got.mu.Unlock()
		ordered.check(t, topic, want)
	}
}

// device is an MQTT subscriber of one topic that stays connected.
type device struct {
	*received
	conn *weirtest.Conn
	over chan struct{} // closed at the end of the connection
	err  error         // why it ended; set before over is closed
}

// startDevice subscribes until the end of the test.
func startDevice(t *testing.T, address string, v codec.Version, topic string) *device {
	t.Helper()
	client := weirtest.Login(t, address, v, "subscriber of "+topic, "demo/device", "demo")
	client.Subscribe(topic, 1)
	d := &device{received: newReceived("MQTT " + v.String() + " subscriber"), conn: client.Conn, over: make(chan struct{})}
	go func() {
		defer close(d.over)
		d.err = d.run(t)
	}()
	t.Cleanup(func() {
		d.conn.Close()
		<-d.over
	})
	return d
}

func (d *device) run(t *testing.T) error {
	for {
		packet, err := d.conn.ReadWithin(maxLoad)
		if err != nil {
			return err
		}
		p, ok := packet.(*codec.Publish)
		if !ok {
			t.Errorf("%s: received %+v", d.who, packet)
			continue
		}
		n, err := strconv.ParseInt(string(p.Payload), 10, 64)
		if err != nil {
			t.Errorf("%s: received %q", d.who, p.Payload)
		}
		d.add(n)
		if err := d.conn.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID}); err != nil {
			return err
		}
	}
}

// stays fails the test when the connection has ended.
func (d *device) stays(t *testing.T, topic string) {
	t.Helper()
	if closed(d.over) {
		t.Errorf("%s of %s lost its connection: %v", d.who, topic, d.err)
	}
}
