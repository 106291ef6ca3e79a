package bridge

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkWildcardOverTopics subscribes to # where there are 1,000 topics: the first session makes their consumers, the others share
// them. B/cursor is what each of the others holds for each topic.
func BenchmarkWildcardOverTopics(b *testing.B) {
	const topics, sessions = 1000, 20
	r := newRig(b, tenant.Quotas{Topics: topics, BacklogBytes: 1 << 16, Connections: sessions + 2}, nil)
	pub := r.connect(codec.V5, "pub")
	for i := range topics {
		pub.mustPublish(fmt.Sprintf("plant/%d/temperature", i), 1, "")
	}
	for b.Loop() {
		var all []*client
		subscribe := func() time.Duration {
			c := r.connect(codec.V311, fmt.Sprint("sub ", len(all)))
			all = append(all, c)
			start := time.Now()
			c.mustSubscribe("#", 1)
			return time.Since(start)
		}
		b.ReportMetric(float64(subscribe().Milliseconds()), "first-ms")
		before := heap()
		var others time.Duration
		for range sessions {
			others += subscribe()
		}
		b.ReportMetric(float64(heap()-before)/sessions/topics, "B/cursor")
		b.ReportMetric(float64(others.Milliseconds())/sessions, "other-ms")
		start := time.Now()
		for i := range topics {
			pub.send(publish(fmt.Sprintf("plant/%d/temperature", i), 0, 0, "x"))
		}
		for _, c := range all {
			for range topics {
				if p := expect[*codec.Publish](c); p.QoS != 0 {
					b.Fatal(show(p))
				}
			}
		}
		b.ReportMetric(float64(topics*len(all))/time.Since(start).Seconds(), "deliveries/s")
		for _, c := range all {
			c.send(&codec.Disconnect{})
			c.expectClosed()
		}
	}
}

// BenchmarkSessionDeliver is what the session itself does for one QoS 1 delivery, for one filter and for several.
func BenchmarkSessionDeliver(b *testing.B) {
	for _, filters := range [][]string{{"a"}, {"a", "+", "#"}} {
		b.Run(fmt.Sprint(len(filters)), func(b *testing.B) {
			s := newSession(&codec.Connect{Version: codec.V5}, "me", "acme", tenant.RoleDevice, tenant.Quotas{}.Resolve(),
				NewMetrics(prometheus.NewRegistry()))
			src := &endless{}
			s.subs.changing = true
			s.subs.open(tenant.Dedicated("a"), src, nil)
			for i, name := range filters {
				f := newFilter(name)
				f.granted, f.identifier = 1, uint32(i)
				s.subs.filters[name] = f
				s.subs.grant(f)
			}
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				s.pump(now)
				for i := range s.out.slots {
					if d, ok := s.out.remove(uint16(i + 1)); ok {
						d.cursor.source.Ack(d.sequence)
					}
				}
				recycle(s.box.take())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(s.counts.delivered), "ns/delivery")
		})
	}
}
