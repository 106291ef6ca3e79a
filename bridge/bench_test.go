package bridge

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/tenant"
)

// BenchmarkSessionPublish is what the session itself does for one QoS 1 publish.
func BenchmarkSessionPublish(b *testing.B) {
	s := newSession(hello("me"), "me", "acme", tenant.RoleDevice, tenant.Quotas{}.Resolve(), NewMetrics(prometheus.NewRegistry()))
	s.version, s.box.version = codec.V311, codec.V311
	wire, err := publish("sensors/room/temperature", 1, 7, string(make([]byte, 128))).Append(nil, codec.V311)
	if err != nil {
		b.Fatal(err)
	}
	h, body := codec.Header{Type: codec.PUBLISH, Flags: wire[0] & 15, Length: len(wire) - 3}, wire[3:]
	m := newMessage("sensors/room/temperature", &codec.Publish{QoS: 1, PacketID: 7})
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if e := s.step(h, body); e.publish == nil {
			b.Fatal(e)
		}
		token := s.in.push(m, now)
		s.published(token, publisher.Result{})
		if s.box.size() > 1000 {
			recycle(s.box.take())
		}
	}
}

// BenchmarkBridge is one publisher and one subscriber at QoS 1 on a real nats-server, 100 publishes in flight.
func BenchmarkBridge(b *testing.B) {
	r := newRig(b, tenant.Quotas{}, nil)
	pub, sub := r.connect(codec.V311, "pub"), r.connect(codec.V311, "sub")
	sub.mustSubscribe("a", 1)
	payload := string(make([]byte, 128))
	window := make(chan struct{}, 100)
	received := make(chan struct{})
	go func() {
		for range b.N {
			sub.receive()
		}
		close(received)
	}()
	acked := make(chan struct{})
	go func() {
		for range b.N {
			expect[*codec.Ack](pub)
			<-window
		}
		close(acked)
	}()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		window <- struct{}{}
		pub.send(publish("a", 1, uint16(i%60000+1), payload))
	}
	<-acked
	<-received
}
