package fanout_test

import (
	"fmt"
	"testing"
)

// BenchmarkDeliver stores messages of 128 bytes and delivers them, acknowledged, to a number of sessions; the server is in
// the process and counts.
func BenchmarkDeliver(b *testing.B) {
	for _, subscribers := range []int{1, 10} {
		b.Run(fmt.Sprint(subscribers), func(b *testing.B) {
			e := start(b, 0)
			var all []*session
			for i := range subscribers {
				all = append(all, e.subscribe(fmt.Sprint("s", i), true))
			}
			b.ReportAllocs()
			b.ResetTimer()
			e.publishSized(0, b.N, 128)
			for _, s := range all {
				s.waitFor(b.N - 1)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
