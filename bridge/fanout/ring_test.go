package fanout

import (
	"testing"

	"github.com/weirmq/weir/jetstream/message"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

type idleReader struct{ reader.Attached }

func (idleReader) Ack(reader.Delivery) {}

type quietSession struct{}

func (quietSession) Wake() {}

// One message through the ring to many subscriptions, each taking and acknowledging it: what the hub itself costs.
func BenchmarkFanOut10000(b *testing.B) {
	h := &Hub{budget: defaultBudget}
	f := h.newFeed(tenant.Dedicated("t"), nil)
	subs := make([]*Subscription, 10_000)
	for i := range subs {
		subs[i] = f.add(&Member{}, true, false, false)
		subs[i].Bind(quietSession{})
	}
	f.source.attached(idleReader{})
	m := &message.Message{}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		f.source.Deliver(reader.Delivery{Message: m, Stream: "S", Sequence: n, Size: 128})
		for _, s := range subs {
			d, _, _ := s.Next()
			s.Ack(d.Sequence)
			s.Next()
		}
	}
}

func TestNextAndAckDoNotAllocate(t *testing.T) {
	h := &Hub{budget: defaultBudget}
	f := h.newFeed(tenant.Dedicated("t"), nil)
	s := f.add(&Member{}, true, false, false)
	s.Bind(quietSession{})
	f.source.attached(idleReader{})
	m := &message.Message{}
	n := uint64(0)
	step := func() {
		n++
		f.source.Deliver(reader.Delivery{Message: m, Stream: "S", Sequence: n, Size: 128})
		d, _, ok := s.Next()
		if !ok || d.Sequence != n {
			t.Fatalf("got %d, %t; want %d", d.Sequence, ok, n)
		}
		s.Ack(d.Sequence)
		s.Next()
	}
	for range 2000 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
	if kept := f.source.ring.next - f.source.ring.first; kept > historyEntries {
		t.Errorf("%d entries kept", kept)
	}
}
