package fanout_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
)

// The server is stopped and started again on its store, three times under load, while the sessions stay: each gets
// every message that was acknowledged to its publisher, in order, whether it shares the reader or is detached.
func TestServerRestartLosesNothing(t *testing.T) {
	e := start(t, 0)
	var mu sync.Mutex
	got := make(map[string]map[int]bool)
	subscribe := func(name string) *session {
		s := e.session(name, true)
		got[name] = make(map[int]bool)
		s.each = func(n int, _ reader.Delivery) bool {
			mu.Lock()
			defer mu.Unlock()
			got[name][n] = true
			return true
		}
		e.attach(s)
		s.hold = false // what was not acknowledged need not come
		return s
	}
	fast, stalled := subscribe("fast"), subscribe("stalled")
	fast.read()
	const total, rounds = 6000, 3
	var stored []int
	for n := range total {
		if n > 0 && n%(total/(rounds+1)) == 0 {
			up := e.nc.StatusChanged(nats.CONNECTED)
			e.restart()
			<-up
			e.nc.RemoveStatusListener(up)
		}
		_, err := e.js.Publish(deadline(t), "mqtt.t.a", fmt.Appendf(nil, "%08d", n))
		switch {
		case err == nil:
			stored = append(stored, n)
		case !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, natsjs.ErrNoStreamResponse) && !errors.Is(err, nats.ErrTimeout):
			t.Logf("publish %d: %v", n, err)
		}
	}
	last := stored[len(stored)-1]
	fast.waitFor(last)
	stalled.read()
	stalled.waitFor(last)
	mu.Lock()
	defer mu.Unlock()
	for name, numbers := range got {
		for _, n := range stored {
			if !numbers[n] {
				t.Fatalf("%s misses message %d", name, n)
			}
		}
	}
	if r := e.value("weir_reader_resets_total"); r < rounds {
		t.Errorf("%v resets", r)
	}
	e.until("empty", empty)
}
