package fanout

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

type idleReader struct{ reader.Attached }

func (idleReader) Ack(reader.Delivery) {}
func (idleReader) Window() int         { return manyHeld }

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

// One message of one of 10,000 topics, each with a subscription of its own, and in the second case one to all of them.
func BenchmarkManyTopics10000(b *testing.B) {
	const topics = 10_000
	for _, filters := range [][]string{nil, {"#"}} {
		b.Run(fmt.Sprint(len(filters), " wildcards"), func(b *testing.B) {
			h := &Hub{budget: defaultBudget, start: time.Now()}
			f := h.newFeed(tenant.Place{Stream: tenant.StreamShared, Name: "t"}, nil)
			subscribe := func(name string) *Subscription {
				s := f.add(&Member{}, true, true, false)
				s.Bind(quietSession{})
				s.put(name, 0, true)
				return s
			}
			var messages []*message.Message
			var subs, all []*Subscription
			for i := range topics {
				messages = append(messages, &message.Message{Topic: fmt.Sprint("t/", i)})
				subs = append(subs, subscribe(messages[i].Topic))
			}
			for _, name := range filters {
				all = append(all, subscribe(name))
			}
			f.source.attached(idleReader{})
			sink := chooser{&f.source}
			take := func(s *Subscription) {
				d, _, _ := s.Next()
				s.Ack(d.Sequence)
				s.Next()
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				m := messages[n%topics]
				n++
				sink.Wants(m.Topic)
				sink.Deliver(reader.Delivery{Message: m, Stream: "S", Sequence: uint64(n), Size: 128})
				take(subs[(n-1)%topics])
				for _, s := range all {
					take(s)
				}
			}
		})
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
