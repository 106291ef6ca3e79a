package fanout_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
)

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// One of three subscribers does not read while 50,000 messages pass.
func TestStalledSubscriberDelaysNobodyAndMissesNothing(t *testing.T) {
	e := start(t, 0)
	const total, batch = 50_000, 1000
	a, b := e.subscribe("a", true), e.subscribe("b", true)
	stalled := e.session("stalled", true)
	e.attach(stalled)
	before := heap()
	begin := time.Now()
	var longest time.Duration
	for n := 0; n < total; n += batch {
		start := time.Now()
		e.publish(n, n+batch)
		a.waitFor(n + batch - 1)
		b.waitFor(n + batch - 1)
		longest = max(longest, time.Since(start))
	}
	all := time.Since(begin)
	t.Logf("%.0f msg/s stored and read twice beside the stalled one; %d messages took %v at most",
		total/all.Seconds(), batch, longest)
	// A reader that comes to a halt, or a detaching that fails, takes a second at least.
	if mean := all / (total / batch); longest > 3*mean+time.Second {
		t.Errorf("a batch took %v, the mean is %v", longest, mean)
	}
	if n := e.value("weir_fanout_detaches_total"); n != 1 {
		t.Errorf("%v subscriptions were detached, not only the stalled one", n)
	}
	if n := e.value("weir_fanout_detached_subscriptions"); n != 1 {
		t.Errorf("%v subscriptions are detached", n)
	}
	if grown := int64(heap() - before); grown > 64<<20 {
		t.Errorf("heap grown by %d MiB", grown>>20)
	}
	if n := e.value("weir_fanout_buffered_bytes"); n > 4<<20 {
		t.Errorf("%v bytes buffered", n)
	}
	stalled.read()
	stalled.waitFor(total - 1)
	if stalled.got != total {
		t.Errorf("the stalled one got %d of %d", stalled.got, total)
	}
	e.until("empty", empty)
	// It has caught up: with the next messages it shares the reader again.
	n := total
	for e.log.attached.Load() > 1 {
		e.publish(n, n+1)
		stalled.waitFor(n)
		n++
	}
	e.publish(n, n+100)
	for _, s := range []*session{a, b, stalled} {
		s.waitFor(n + 99)
	}
	e.until("empty", empty)
	if r := e.value("weir_fanout_rejoins_total"); r < 1 {
		t.Error("the stalled one has not joined again")
	}
}

// After a large message the reader delivers few without acknowledgement. Who does not take them is detached before these are all there.
func TestStalledBehindALargeMessage(t *testing.T) {
	e := start(t, 0)
	fast, stalled := e.subscribe("fast", true), e.session("stalled", true)
	e.attach(stalled)
	e.publishSized(0, 1, 900_000)
	fast.waitFor(0)
	e.publish(1, 200)
	fast.waitFor(199)
	stalled.read()
	stalled.waitFor(199)
}

// Messages taken but not acknowledged go with the subscription when it is detached and when it joins again.
func TestInFlightTravelsAlong(t *testing.T) {
	e := start(t, 0)
	fast := e.subscribe("fast", true)
	slow := e.session("slow", true)
	var mu sync.Mutex
	var kept []uint64
	slow.each = func(n int, d reader.Delivery) bool {
		if n%50 != 0 {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, d.Sequence)
		return false
	}
	e.attach(slow)
	e.publish(0, 200)
	fast.waitFor(199)
	slow.read()
	slow.waitFor(199)
	// The oldest unacknowledged is 200 messages old, and the others wait for new ones.
	e.until("detached", func(natsjs.StreamInfo) bool { return e.value("weir_fanout_detaches_total") > 0 }) // it may have joined again since
	e.until("the stream keeps what is in flight alone", func(i natsjs.StreamInfo) bool { return i.State.Msgs == 4 })
	n := 200
	for e.value("weir_fanout_rejoins_total") == 0 {
		e.publish(n, n+1)
		slow.waitFor(n)
		n++
	}
	if e.log.attached.Load() < 2 {
		t.Error("its own reader is closed although it holds messages")
	}
	e.publish(n, n+10)
	slow.waitFor(n + 9)
	fast.waitFor(n + 9)
	mu.Lock()
	held := len(kept)
	mu.Unlock()
	e.until("in flight", func(i natsjs.StreamInfo) bool { return int(i.State.Msgs) == held })
	mu.Lock()
	for _, q := range kept {
		slow.sub.Ack(q)
	}
	mu.Unlock()
	e.until("empty, and one consumer", func(i natsjs.StreamInfo) bool { return i.State.Msgs == 0 && i.State.Consumers == 1 })
}

// Slow now and then, detached and back any number of times, under a steady flow.
func TestToAndFro(t *testing.T) {
	e := start(t, 0)
	fast := e.subscribe("fast", true)
	var all []*session
	hold := make([]chan struct{}, 3)
	for i := range hold {
		hold[i] = make(chan struct{})
		s := e.session(fmt.Sprint("slow", i), true)
		s.each = func(n int, _ reader.Delivery) bool {
			if n%(4000+1000*i) == 3999 {
				select {
				case <-hold[i]:
				case <-e.ended:
				}
			}
			return true
		}
		e.attach(s)
		s.read()
		all = append(all, s)
	}
	t.Cleanup(func() { close(e.ended) })
	const total = 30_000
	for n := 0; n < total; n += 1000 {
		e.publish(n, n+1000)
		fast.waitFor(n + 999)
		for i := range hold {
			select {
			case hold[i] <- struct{}{}:
			default:
			}
		}
	}
	for i := range hold {
		close(hold[i])
	}
	for _, s := range all {
		s.waitFor(total - 1)
		if s.got != total {
			t.Errorf("%s got %d", s.name, s.got)
		}
	}
	t.Logf("%v detaches, %v rejoins", e.value("weir_fanout_detaches_total"), e.value("weir_fanout_rejoins_total"))
	e.until("empty", empty)
}

func TestDetachFailsAndSucceedsLater(t *testing.T) {
	e := start(t, 0)
	fast := e.subscribe("fast", true)
	stalled := e.session("stalled", true)
	e.attach(stalled)
	e.log.fail.Store(true)
	e.publish(0, 1000)
	fast.waitFor(255) // as far as the shared reader may go
	e.log.fail.Store(false)
	fast.waitFor(999)
	stalled.read()
	stalled.waitFor(999)
	e.until("empty", empty)
}

func TestDetachedSubscriptionIsClosed(t *testing.T) {
	e := start(t, 0)
	fast := e.subscribe("fast", true)
	stalled := e.session("stalled", true)
	e.attach(stalled)
	e.publish(0, 1000)
	fast.waitFor(999)
	stalled.sub.Close()
	e.until("empty, and one consumer", func(i natsjs.StreamInfo) bool { return i.State.Msgs == 0 && i.State.Consumers == 1 })
	e.publish(1000, 1010)
	fast.waitFor(1009)
}

// Large messages: one subscriber reads, many stall, each with a window of its own, and the budget is small.
func TestBudget(t *testing.T) {
	const budget, size, total = 4 << 20, 64 << 10, 600
	e := start(t, budget)
	fast := e.subscribe("fast", true)
	var stalled []*session
	for i := range 10 {
		s := e.session(fmt.Sprint("stalled", i), true)
		e.attach(s)
		stalled = append(stalled, s)
	}
	most := 0.0
	for n := 0; n < total; n += 20 {
		e.publishSized(n, n+20, size)
		fast.waitFor(n + 19)
		most = max(most, e.value("weir_fanout_buffered_bytes"))
	}
	if most > budget*3/2 {
		t.Errorf("%.1f MiB buffered, of %d", most/(1<<20), budget>>20)
	}
	t.Logf("%.1f MiB buffered at most, %v discards", most/(1<<20), e.value("weir_fanout_discards_total"))
	for _, s := range stalled {
		s.read()
	}
	for _, s := range stalled {
		s.waitFor(total - 1)
		if s.got != total {
			t.Errorf("%s got %d", s.name, s.got)
		}
	}
	e.until("empty", empty)
	if n := e.value("weir_fanout_starving_readers"); n != 0 {
		t.Errorf("%v readers starve", n)
	}
}

// A message that expires while it waits in a buffer takes no other with it.
func TestExpiryWhileDetached(t *testing.T) {
	e := start(t, 0)
	fast := e.subscribe("fast", true)
	stalled := e.session("stalled", true)
	e.attach(stalled)
	e.publish(0, 300)
	if _, err := e.js.Publish(deadline(t), "mqtt.t.a", []byte("00000300"), natsjs.WithMsgTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	e.publish(301, 600)
	fast.waitFor(599)
	e.until("one is gone", func(i natsjs.StreamInfo) bool { return i.State.Msgs == 599 })
	var mu sync.Mutex
	numbers := map[int]bool{}
	stalled.each = func(n int, _ reader.Delivery) bool {
		mu.Lock()
		defer mu.Unlock()
		numbers[n] = true
		return true
	}
	stalled.hold = false // a missing number is no fault here
	stalled.read()
	stalled.waitFor(599)
	mu.Lock()
	defer mu.Unlock()
	for n := range 600 {
		if !numbers[n] && n != 300 {
			t.Errorf("message %d is missing", n)
		}
	}
}
