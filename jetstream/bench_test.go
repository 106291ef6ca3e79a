package jetstream

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// window takes the answers to publishes, so many of which may be under way.
type window chan struct{}

func (w window) Published(_ uint64, r publisher.Result) {
	if r.Outcome != publisher.Stored {
		panic(r.Err)
	}
	<-w
}

// BenchmarkPublish stores messages of 100 bytes under 100 topics, with 4,096 under way, and nobody who reads them.
func BenchmarkPublish(b *testing.B) {
	for _, rule := range []tenant.Rule{
		{Filter: "t/#", Stream: tenant.StreamDedicated},
		{Filter: "t/#", Stream: tenant.StreamShared, Name: "t"},
	} {
		b.Run(string(rule.Stream), func(b *testing.B) { benchmarkPublish(b, rule) })
	}
}

func benchmarkPublish(b *testing.B, rule tenant.Rule) {
	const topics, underWay = 100, 4096
	registry := prometheus.NewRegistry()
	store, err := Open(b.Context(), Config{
		Bridge: "bench", Options: External(benchServer(b), ""), Shared: true, Log: zap.NewNop(),
		Metrics: NewMetrics(registry), Publisher: publisher.NewMetrics(registry), Reader: reader.NewMetrics(registry),
	})
	if err != nil {
		b.Fatal(err)
	}
	setQuotas(store, func(*tenant.Quotas) {}, rule)
	l, err := store.Tenant(b.Context(), "acme")
	if err != nil {
		b.Fatal(err)
	}
	names := make([][]byte, topics)
	for i := range names {
		names[i] = fmt.Appendf(nil, "t/%d", i)
		if _, err := l.Topic(b.Context(), string(names[i])); err != nil {
			b.Fatal(err)
		}
	}
	payload, w := make([]byte, 100), make(window, underWay)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		route, topic := l.Lookup(names[i%topics])
		w <- struct{}{}
		route.Publish(&message.Message{Topic: topic, Payload: payload, QoS: 1}, w, 0)
	}
	for range underWay {
		w <- struct{}{}
	}
	b.StopTimer()
	if err := store.Close(b.Context()); err != nil {
		b.Error(err)
	}
}

func benchServer(b *testing.B) string {
	b.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: b.TempDir(), NoLog: true, NoSigs: true, JetStreamMaxStore: 8 << 30,
	})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		b.Fatal("the server does not start")
	}
	b.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s.ClientURL()
}
