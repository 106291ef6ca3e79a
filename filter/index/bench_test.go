package index

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// device are the exact filters of n devices.
func device(n int) (filters []string) {
	for i := range n {
		filters = append(filters, fmt.Sprintf("telemetry/%d/+", i))
	}
	return filters
}

func same(n int, filter string) []string {
	return strings.Split(strings.Repeat(filter+" ", n-1)+filter, " ")
}

func fill(filters []string) *Index[*int] {
	ix := new(Index[*int])
	values := make([]int, len(filters))
	for i, f := range filters {
		ix.Add(f, &values[i])
	}
	return ix
}

func deviceTopics(n int) (topics []string) {
	for i := range n {
		topics = append(topics, fmt.Sprintf("telemetry/%d/temperature", i*7919%n))
	}
	return topics
}

// randomTopics are topics of 4 to 6 levels for the filters of random.
func randomTopics(n, words int) (topics []string) {
	for _, f := range random(n, words) {
		f = strings.ReplaceAll(f, "+", "level-0")
		topics = append(topics, strings.ReplaceAll(f, "#", "level-1"))
	}
	return topics
}

func levels(n int) []string { return []string{strings.Repeat("a/", n-1) + "a"} }

func BenchmarkMatch(b *testing.B) {
	for _, bench := range []struct {
		name            string
		filters, topics []string
	}{
		{"filters=1", []string{"telemetry/1/+"}, []string{"telemetry/1/temperature"}},
		{"devices=100000", device(100_000), deviceTopics(100_000)},
		{"random=100000/words=30", random(100_000, 30), randomTopics(10_000, 30)},
		{"random=100000/words=100", random(100_000, 100), randomTopics(10_000, 100)},
		{"random=100000/words=1000", random(100_000, 1000), randomTopics(10_000, 1000)},
		{"subscribers=1000", same(1000, "a/+/a"), levels(3)},
		{"hostile=1000/levels=64/none", hostile64(1000, "b"), levels(64)},
		{"hostile=1000/levels=64/all", hostile64(1000, "a"), levels(64)},
		{"hostile=65536/levels=17/none", everyMask(16, "b"), levels(17)},
		{"hostile=65536/levels=17/all", everyMask(16, "a"), levels(17)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ix := fill(bench.filters)
			matches, count, i := make([]*int, 0, len(bench.filters)), 0, 0
			b.ReportAllocs()
			for b.Loop() {
				matches = ix.Match(matches[:0], bench.topics[i%len(bench.topics)])
				count += len(matches)
				i++
			}
			b.ReportMetric(float64(count)/float64(i), "matches/op")
		})
	}
}

// BenchmarkParallel matches on all processors at once: without the lock, which is what the best other way of sharing would
// cost; with it; and while somebody subscribes and unsubscribes without a pause.
func BenchmarkParallel(b *testing.B) {
	topics := deviceTopics(100_000)
	ix := fill(device(100_000))
	run := func(b *testing.B, match func(dst []*int, topic string) []*int) {
		b.RunParallel(func(pb *testing.PB) {
			var matches []*int
			for i := 0; pb.Next(); i++ {
				if matches = match(matches[:0], topics[i%len(topics)]); len(matches) != 1 {
					b.Errorf("%d matches", len(matches))
				}
			}
		})
	}
	b.Run("unlocked", func(b *testing.B) {
		run(b, func(dst []*int, topic string) []*int {
			var levels [usualLevels]level
			path, _ := ix.words.numbers(levels[:0], topic)
			return ix.root.match(dst, path)
		})
	})
	b.Run("locked", func(b *testing.B) { run(b, ix.Match) })
	b.Run("written", func(b *testing.B) {
		stop, stopped := make(chan struct{}), make(chan int)
		go func() {
			v, changes := new(int), 0
			for {
				select {
				case <-stop:
					stopped <- changes
					return
				default:
					ix.Add("telemetry/new/a", v)
					ix.Remove("telemetry/new/a", v)
					changes += 2
				}
			}
		}()
		run(b, ix.Match)
		close(stop)
		b.ReportMetric(float64(<-stopped)/b.Elapsed().Seconds(), "changes/s")
	})
}

// BenchmarkChange adds a filter to 100,000 others and removes it.
func BenchmarkChange(b *testing.B) {
	for name, filter := range map[string]string{"device": "telemetry/new/+", "split": "telemetry/500/a", "broad": "#"} {
		b.Run(name, func(b *testing.B) {
			ix := fill(device(100_000))
			v := new(int)
			b.ReportAllocs()
			for b.Loop() {
				ix.Add(filter, v)
				ix.Remove(filter, v)
			}
		})
	}
}

// BenchmarkBuild fills an index; B/filter is what it holds then, without the filters' own bytes and the subscribers.
func BenchmarkBuild(b *testing.B) {
	const n = 100_000
	for name, filters := range map[string][]string{
		"devices": device(n), "random": random(n, 100), "same": same(n, "a/+"),
	} {
		b.Run(name, func(b *testing.B) {
			var held uint64
			for b.Loop() {
				values := make([]int, n)
				before := heap()
				ix := new(Index[*int])
				for i, f := range filters {
					ix.Add(f, &values[i])
				}
				held = heap() - before
				runtime.KeepAlive(ix)
				runtime.KeepAlive(values)
			}
			b.ReportMetric(float64(held)/n, "B/filter")
			runtime.KeepAlive(filters)
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
