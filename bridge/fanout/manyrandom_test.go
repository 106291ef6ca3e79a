package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// TestManyRandom has sessions subscribe to overlapping filters and take them back, stop reading and go on, keep acknowledgements back, while
// messages of all topics come without a pause. Each session checks that it gets exactly its messages, in order; see device.
func TestManyRandom(t *testing.T) {
	for _, budget := range []int64{0, 1 << 20} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			e := start(t, budget)
			log, w := e.many(tenant.StreamShared), e.world("a", "a/0", "a/1", "a/2", "a/0/x", "b/0", "b/1", "b/1/x", "c")
			filters := []string{"#", "a", "a/#", "a/+", "+/0", "+/1", "a/0", "a/1", "b/#", "b/1", "c", "+", "+/+/x"}
			const devices, steps = 8, 80
			stop := make(chan struct{})
			var publishers, sessions sync.WaitGroup
			publishers.Go(func() {
				r := rand.New(rand.NewPCG(seed, 0))
				for {
					select {
					case <-stop:
						return
					default:
					}
					topic := w.topics[r.IntN(len(w.topics))]
					for range r.IntN(50) {
						w.publish(topic, r.IntN(2000))
					}
					w.wait()
				}
			})
			var all []*device
			for i := range devices {
				d := e.device(log, fmt.Sprint("device", i), i%4 != 3)
				all = append(all, d)
				r := rand.New(rand.NewPCG(seed, uint64(i+1)))
				one := rand.New(rand.NewPCG(seed, uint64(i+1)<<32))
				d.keep = func(*reader.Delivery) bool { return len(d.kept) < 100 && one.IntN(10) == 0 }
				sessions.Go(func() {
					for range steps {
						name := filters[r.IntN(len(filters))]
						d.mu.Lock()
						has := d.filters[name]
						d.mu.Unlock()
						switch r.IntN(8) {
						case 0:
							d.stall(true)
						case 1, 2:
							d.stall(false)
						case 3:
							d.ackAll()
						case 4, 5:
							if !has {
								d.subscribe(w, name)
							}
						case 6:
							if has {
								d.unsubscribe(name)
							}
						case 7: // until more messages have come
							for n := w.total() + 200; w.total() < n && !t.Failed(); {
								w.wait()
							}
						}
					}
				})
			}
			sessions.Wait()
			close(stop)
			publishers.Wait()
			for _, d := range all {
				d.mu.Lock()
				d.keep = nil
				d.mu.Unlock()
				d.stall(false)
				d.ackAll()
			}
			w.all(3, 0)
			for _, d := range all {
				w.arrived(d)
			}
			if !t.Failed() {
				e.until("empty", empty)
			}
			t.Logf("%d messages, %v detaches, %v rejoins, %v discards", w.total(), e.value("weir_fanout_detaches_total"),
				e.value("weir_fanout_rejoins_total"), e.value("weir_fanout_discards_total"))
			for _, d := range all {
				for name := range d.filters {
					d.unsubscribe(name)
				}
			}
			e.until("no consumer", func(i natsjs.StreamInfo) bool { return i.State.Consumers == 0 })
		})
	}
}

// total is how many messages were sent.
func (w *world) total() (n int) {
	for _, one := range w.begun() {
		n += one
	}
	return n
}
