package publisher_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/jetstream/embedded"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tenant = "acme"

func startServer(t testing.TB) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Config{DataDir: t.TempDir(), Addr: "127.0.0.1:0", Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := s.AddTenant(tenant); err != nil {
		t.Fatal(err)
	}
	return s
}

// dial returns a connection for all but publishing, and how it was made.
func dial(t testing.TB, s *embedded.Server) (*nats.Conn, natsjs.JetStream) {
	t.Helper()
	options, err := s.Options(tenant)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := options.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// connect makes a connection like the one given, to publish on.
func connect(t testing.TB, nc *nats.Conn) *wire.Conn {
	t.Helper()
	options := nc.Opts
	options.ReconnectWait, options.ReconnectJitter = 10*time.Millisecond, 0
	c, err := wire.Connect(options, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newPublisher(t testing.TB, conn *wire.Conn, config publisher.Config) *publisher.Publisher {
	t.Helper()
	if config.Metrics == nil {
		config.Metrics = publisher.NewMetrics(prometheus.NewRegistry())
	}
	return publisher.New(conn, config)
}

func closePublisher(t testing.TB, p *publisher.Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

func makeStream(t testing.TB, js natsjs.JetStream, config natsjs.StreamConfig) natsjs.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	config.AllowMsgTTL = true
	s, err := js.CreateStream(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
