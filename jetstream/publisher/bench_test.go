package publisher_test

import (
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
)

// window lets so many publishes be under way.
type window chan struct{}

func (w window) Published(_ uint64, r publisher.Result) {
	if r.Outcome != publisher.Stored {
		panic(r.Err)
	}
	<-w
}

// BenchmarkPublish stores messages of 128 bytes as a device's, 1,024 in flight. cpu-ns/op is of the whole process,
// nats-server included.
func BenchmarkPublish(b *testing.B) {
	s := startServer(b)
	b.Run("in-process", func(b *testing.B) {
		nc, js := dial(b, s)
		benchmarkPublish(b, nc, js)
	})
	b.Run("tcp", func(b *testing.B) {
		nc, js := dial(b, s)
		nc.Opts.InProcessServer, nc.Opts.Servers = nil, []string{"nats://" + s.Addr().String()}
		benchmarkPublish(b, nc, js)
	})
}

func benchmarkPublish(b *testing.B, nc *nats.Conn, js natsjs.JetStream) {
	stream := makeStream(b, js, natsjs.StreamConfig{Name: "S", Subjects: []string{"mqtt.acme.>"}})
	defer func() {
		if err := js.DeleteStream(b.Context(), stream.CachedInfo().Config.Name); err != nil {
			b.Error(err)
		}
	}()
	p := newPublisher(b, connect(b, nc), publisher.Config{})
	benchmark(b, p, func(m *message.Message, done publisher.Done, token uint64) {
		p.Publish("mqtt.acme.sensors.room1.temp", m, done, token)
	})
}

// BenchmarkPublishCore is BenchmarkPublish without JetStream, and with nobody who listens.
func BenchmarkPublishCore(b *testing.B) {
	s := startServer(b)
	nc, _ := dial(b, s)
	run := func(name string) {
		b.Run(name, func(b *testing.B) {
			p := newPublisher(b, connect(b, nc), publisher.Config{})
			benchmark(b, p, func(m *message.Message, done publisher.Done, token uint64) { p.PublishCore(tenant, m, done, token) })
		})
	}
	run("in-process")
	nc.Opts.InProcessServer, nc.Opts.Servers = nil, []string{"nats://" + s.Addr().String()}
	run("tcp")
}

func benchmark(b *testing.B, p *publisher.Publisher, publish func(m *message.Message, done publisher.Done, token uint64)) {
	m := &message.Message{
		Topic: "sensors/room1/temp", ClientID: "thermostat-7", User: "thermostat-7", Role: "device", QoS: 1, Payload: make([]byte, 128),
	}
	w := make(window, 1024)
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	for i := range b.N {
		w <- struct{}{}
		m.PacketID = uint16(i)%1024 + 1
		publish(m, w, uint64(i))
	}
	closePublisher(b, p)
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
