package load

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
)

// Service is a native NATS service of the demo tenant with a durable consumer on the stream of each of its topics.
type Service struct {
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

// Consume begins to consume all topics until the end of the test.
func Consume(t testing.TB, url string, topics []string) *Service {
	t.Helper()
	nc := weirtest.Connect(t, url, weirtest.DemoService(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if err := nc.LastError(); err != nil {
				t.Errorf("the native service has lost its connection for good: %v", err)
			}
		}))
	js, err := natsjs.New(nc, natsjs.WithDefaultTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{nc: nc, topics: map[string]*stored{}}
	var streams []string
	for _, topic := range topics {
		s.topics[topic] = &stored{received: newReceived("native service"), seq: map[uint64]int64{}}
		if stream := weirtest.Ensure(t, nc, "demo", topic); !slices.Contains(streams, stream) {
			streams = append(streams, stream)
		}
	}
	for _, stream := range streams {
		// What was lost with a connection comes again soon.
		consumer, err := js.CreateConsumer(weirtest.Context(t), stream, natsjs.ConsumerConfig{
			Durable: "service", AckPolicy: natsjs.AckExplicitPolicy, DeliverPolicy: natsjs.DeliverNewPolicy, MaxAckPending: -1,
			AckWait: 3 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		consuming, err := consumer.Consume(func(m natsjs.Msg) { s.take(t, m) }, natsjs.PullHeartbeat(time.Second), natsjs.PullExpiry(5*time.Second))
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

func (s *Service) take(t testing.TB, m natsjs.Msg) {
	topic, _ := message.Topic("demo", m.Subject())
	got := s.topics[topic]
	n, err := strconv.ParseInt(string(m.Data()), 10, 64)
	if got == nil || err != nil {
		t.Errorf("stored: %q on %s", m.Data(), m.Subject())
		return
	}
	meta, err := m.Metadata()
	if err != nil {
		t.Error(err)
		return
	}
	got.mu.Lock()
	got.seq[meta.Sequence.Stream] = n
	got.mu.Unlock()
	got.add(n)
	_ = m.Ack() // where the connection is lost the message comes again
}

// Check compares what was stored with what was acknowledged.
func (s *Service) Check(t testing.TB, acknowledged map[string][]int64) {
	t.Helper()
	if s.nc.IsClosed() {
		t.FailNow() // said already
	}
	var all []*received
	for topic, want := range acknowledged {
		got := s.topics[topic]
		all = append(all, got.received)
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
	tell(t, "native service", all)
}
