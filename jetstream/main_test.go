package jetstream

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	natsprocess.Main()
	goleak.VerifyTestMain(m)
}

func newServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	return startServer(t, t.TempDir(), -1, change)
}

func startServer(t *testing.T, dir string, port int, change func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 28,
	}
	if change != nil {
		change(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

func newStore(t *testing.T, s *server.Server, change func(*Config)) *Store {
	t.Helper()
	return newStoreAt(t, s.ClientURL(), change)
}

func newStoreAt(t *testing.T, url string, change func(*Config)) *Store {
	t.Helper()
	registry := prometheus.NewRegistry()
	config := Config{
		Bridge:    nuid.Next(),
		Options:   External(url, ""),
		Shared:    true,
		Log:       zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)),
		Metrics:   NewMetrics(registry),
		Publisher: publisher.NewMetrics(registry),
		Reader:    reader.NewMetrics(registry),
	}
	if change != nil {
		change(&config)
	}
	store, err := Open(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	closeInTheEnd(t, store)
	return store
}

// closeInTheEnd closes the store before the servers that were started before are shut down. It may be called again, after
// another start.
func closeInTheEnd(t *testing.T, store *Store) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func openLog(t *testing.T, s *Store) *Log {
	t.Helper()
	l, err := s.Tenant(ctxOf(t), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ctxOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// answers collects the answers to publishes.
type answers chan publisher.Result

func (a answers) Published(_ uint64, r publisher.Result) { a <- r }

func (a answers) next(t *testing.T) publisher.Result {
	t.Helper()
	select {
	case r := <-a:
		return r
	case <-time.After(patience):
		t.Fatal("no answer to a publish")
		return publisher.Result{}
	}
}

// sink collects deliveries.
type sink struct {
	deliveries chan reader.Delivery

	mu   sync.Mutex
	lost uint64
}

func newSink() *sink { return &sink{deliveries: make(chan reader.Delivery, 10_000)} }

func (s *sink) Deliver(d reader.Delivery) bool {
	s.deliveries <- d
	return true
}

func (s *sink) Lost(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost += n
}

func (s *sink) next(t *testing.T) reader.Delivery {
	t.Helper()
	select {
	case d := <-s.deliveries:
		return d
	case <-time.After(patience):
		t.Fatal("no delivery")
		return reader.Delivery{}
	}
}

func attach(t *testing.T, l *Log, topic, name string) (*sink, Reader) {
	t.Helper()
	s := newSink()
	r, err := l.Attach(ctxOf(t), l.currentRouting().policies.Place(topic), name, 0, nil, s)
	if err != nil {
		t.Fatalf("attach to %s: %v", topic, err)
	}
	return s, r
}

func closeReader(t *testing.T, r Reader) {
	t.Helper()
	if err := r.Close(ctxOf(t)); err != nil {
		t.Errorf("close reader: %v", err)
	}
}

func publishTo(t *testing.T, l *Log, topic, payload string) publisher.Result {
	t.Helper()
	a := make(answers, 1)
	sendTo(t, l, topic, payload, a)
	return a.next(t)
}

func sendTo(t *testing.T, l *Log, topic, payload string, a answers) {
	t.Helper()
	route, _ := l.Lookup([]byte(topic))
	if route == nil {
		var err error
		if route, err = l.Topic(ctxOf(t), topic); err != nil {
			t.Fatalf("topic %s: %v", topic, err)
		}
	}
	route.Publish(textMessage(topic, payload), a, 0)
}

// known returns the dedicated topic that Lookup finds, or nil.
func known(l *Log, topic string) *Topic {
	route, _ := l.Lookup([]byte(topic))
	t, _ := route.(*Topic)
	return t
}

// dedicatedTopic returns a dedicated topic, and makes it where it does not exist.
func dedicatedTopic(ctx context.Context, l *Log, topic string) (*Topic, error) {
	route, err := l.Topic(ctx, topic)
	t, _ := route.(*Topic)
	return t, err
}

func textMessage(topic, payload string) *message.Message {
	return &message.Message{Topic: topic, Payload: []byte(payload), QoS: 1}
}

func mustStore(t *testing.T, l *Log, topic, payload string) {
	t.Helper()
	if r := publishTo(t, l, topic, payload); r.Outcome != publisher.Stored {
		t.Fatalf("publish %q to %s: %v", payload, topic, r)
	}
}

func numbered(n int) string { return fmt.Sprintf("message %d", n) }
