package fanout_test

import (
	"fmt"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// TestManyTopicsShareOneReader: each session gets its topics, each message once, and what nobody wants is let go.
func TestManyTopicsShareOneReader(t *testing.T) {
	e := start(t, 0)
	log, w := e.many(tenant.StreamShared), e.world(append(topics("a", 10), topics("b", 10)...)...)
	one, all, none := e.device(log, "one", true), e.device(log, "all", true), e.device(log, "none", false)
	one.subscribe(w, "a/1")
	all.subscribe(w, "+/1")
	all.subscribe(w, "#")
	all.subscribe(w, "a/1")
	none.subscribe(w, "c/#")
	w.all(50, 0)
	w.arrived(one)
	w.arrived(all)
	if one.came.Load() != 50 || all.came.Load() != 1000 || none.came.Load() != 0 {
		t.Errorf("got %d, %d and %d messages, want 50, 1000 and none", one.came.Load(), all.came.Load(), none.came.Load())
	}
	if n := e.log.attached.Load(); n != 1 {
		t.Errorf("%d readers, want 1", n)
	}
	e.until("empty", empty)
	all.unsubscribe("#") // the others stay
	w.all(10, 0)
	w.arrived(all)
	if all.came.Load() != 1020 {
		t.Errorf("got %d messages, want 20 more", all.came.Load()-1000)
	}
	e.until("empty", empty)
	for _, d := range []*device{one, all, none} {
		for name := range d.filters {
			d.unsubscribe(name)
		}
	}
	e.until("no consumer and no bytes", func(i natsjs.StreamInfo) bool {
		return i.State.Consumers == 0 && e.value("weir_fanout_buffered_bytes") == 0
	})
	one.subscribe(w, "a/#") // a reader anew
	w.all(1, 0)
	w.arrived(one)
}

// TestDiscardBehindAnUnacknowledgedMessage: what only those have yet to take who hold nothing goes when the budget is used up, though somebody
// holds one message before it, and takes no more of the budget then.
func TestDiscardBehindAnUnacknowledgedMessage(t *testing.T) {
	e := start(t, 1<<20)
	log, w := e.many(tenant.StreamShared), e.world("a", "b")
	holder, idle := e.device(log, "holder", true), e.device(log, "idle", false)
	holder.keep = func(*reader.Delivery) bool { return len(holder.kept) == 0 }
	holder.subscribe(w, "a")
	idle.subscribe(w, "b")
	idle.stall(true)
	w.publish("a", 0)
	w.wait()
	holder.waitFor("a", 1)
	for _, topic := range []string{"b", "a"} {
		for range 3000 {
			w.publish(topic, 1000)
		}
		w.wait()
	}
	holder.waitFor("a", 3001)
	holder.ackAll()
	e.until("empty", empty)
}

// TestNothingFromBeforeAtAPlaceOfMany: what the reader has yet to deliver, or others have yet to take, is not for who comes later, nor for
// a filter that comes later.
func TestNothingFromBeforeAtAPlaceOfMany(t *testing.T) {
	e := start(t, 0)
	log, w := e.many(tenant.StreamShared), e.world("a", "b")
	silent := e.device(log, "silent", true)
	silent.subscribe(w, "#")
	silent.stall(true)
	w.all(100, 0)
	late := e.device(log, "late", true)
	late.subscribe(w, "a")
	w.all(10, 0)
	late.subscribe(w, "+")
	w.all(10, 0)
	w.arrived(late)
	if n := late.came.Load(); n != 30 {
		t.Errorf("got %d messages, want 30", n)
	}
	silent.stall(false)
	w.arrived(silent)
	e.until("empty", empty)
}

// TestSlowAloneHoldsUpNoOtherTopic: the only subscriber does not read. Publishers of other topics of the stream, which nobody here
// subscribes to, are refused for no longer than it takes to detach it.
func TestSlowAloneHoldsUpNoOtherTopic(t *testing.T) {
	e := start(t, 0, func(c *natsjs.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 10, true })
	slow := topics("s", 400) // the server looks through all of them for each message
	log, w := e.many(tenant.StreamShared), e.world(slow...)
	d := e.device(log, "slow", true)
	d.subscribe(w, "s/#")
	d.stall(true)
	w.all(5, 0)
	ctx := deadline(t)
	var refused, longest time.Duration
	var since time.Time
	begin := time.Now()
	for time.Since(begin) < 4*time.Second || !since.IsZero() {
		if ctx.Err() != nil {
			t.Fatal("refused for ever")
		}
		_, err := e.js.Publish(ctx, "mqtt.t.f", []byte("x"))
		switch now := time.Now(); {
		case err != nil && since.IsZero():
			since = now
		case err == nil && !since.IsZero():
			refused, since = now.Sub(since), time.Time{}
			longest = max(longest, refused)
		}
		if e.value("weir_fanout_detaches_total") == 0 && len(w.sent) > 0 && w.sent[slow[0]] < 10 {
			w.all(1, 0)
		}
	}
	t.Logf("refused for %v at most", longest)
	if longest > 2*time.Second {
		t.Errorf("refused for %v", longest)
	}
	if n := e.value("weir_fanout_detaches_total"); n != 1 {
		t.Errorf("%v detaches, want 1", n)
	}
	d.stall(false)
	w.arrived(d)
	e.until("empty", empty)
}

// TestFewHeldMessagesFillTheWindow: sessions that hold a few messages each are detached when all of them together are too many, whoever
// reads goes on.
func TestFewHeldMessagesFillTheWindow(t *testing.T) {
	e := start(t, 0)
	log, w := e.many(tenant.StreamShared), e.world(append(topics("s", 40), "f")...)
	const large = 128 << 10 // of these the reader takes 128 without acknowledgement
	for i := range 40 {
		d := e.device(log, fmt.Sprint("slow", i), true)
		d.subscribe(w, fmt.Sprint("s/", i))
		d.stall(true)
	}
	fast := e.device(log, "fast", true)
	fast.subscribe(w, "f")
	begin := time.Now()
	w.all(5, large)
	w.arrived(fast)
	t.Logf("%v, %v detaches", time.Since(begin), e.value("weir_fanout_detaches_total"))
	if e.value("weir_fanout_detaches_total") == 0 {
		t.Error("nobody is detached")
	}
}

// detached makes a device that is detached while it does not read.
func (e *env) detached(w *world, d *device) {
	e.t.Helper()
	before := e.value("weir_fanout_detaches_total")
	d.stall(true)
	for e.value("weir_fanout_detaches_total") == before {
		w.all(1, 0)
	}
}

// TestFiltersChangeWhileDetached: what a filter is for is held from when Subscribe returns until it is taken back.
func TestFiltersChangeWhileDetached(t *testing.T) {
	e := start(t, 0)
	names := append(append(topics("a", 20), topics("b", 20)...), topics("c", 20)...)
	log, w := e.many(tenant.StreamShared), e.world(names...)
	d := e.device(log, "d", true)
	d.subscribe(w, "a/#")
	d.subscribe(w, "a/1")
	e.detached(w, d)
	d.subscribe(w, "b/#")
	d.subscribe(w, "b/1") // needs no other consumer
	w.all(10, 0)
	d.unsubscribe("a/#")
	e.until("only a/1 and b are held", func(natsjs.StreamInfo) bool {
		info, err := e.stream.Info(deadline(t), natsjs.WithSubjectFilter("mqtt.t.a.>"))
		if err != nil {
			t.Fatal(err)
		}
		return len(info.State.Subjects) == 1 && info.State.Subjects["mqtt.t.a.1"] > 0
	})
	d.subscribe(w, "c/+")
	w.all(10, 0)
	d.unsubscribe("b/1")
	d.stall(false)
	w.arrived(d)
	e.until("empty", empty)
	// It returns, and what was acknowledged for others meanwhile does not come again.
	for e.value("weir_fanout_rejoins_total") == 0 {
		w.all(1, 0)
		w.arrived(d)
	}
	w.all(10, 0)
	w.arrived(d)
	e.until("empty, one consumer", func(i natsjs.StreamInfo) bool { return i.State.Msgs == 0 && i.State.Consumers == 1 })
}

// TestInFlightTravelsAlongManyTopics: what was taken and not acknowledged is held wherever the subscription reads.
func TestInFlightTravelsAlongManyTopics(t *testing.T) {
	e := start(t, 0)
	log, w := e.many(tenant.StreamShared), e.world(topics("a", 20)...)
	d, other := e.device(log, "d", true), e.device(log, "other", true)
	d.keep = func(one *reader.Delivery) bool { return one.Topic == "a/7" && len(d.kept) < 40 }
	d.subscribe(w, "a/#")
	other.subscribe(w, "#")
	w.all(3, 0)
	w.arrived(d)
	e.detached(w, d)
	d.stall(false)
	for e.value("weir_fanout_rejoins_total") == 0 {
		w.all(1, 0)
		w.arrived(d)
	}
	d.mu.Lock()
	kept := len(d.kept)
	d.mu.Unlock()
	e.until("only what is in flight is held", func(i natsjs.StreamInfo) bool { return int(i.State.Msgs) == kept })
	d.ackAll()
	w.arrived(other)
	e.until("empty, one consumer", func(i natsjs.StreamInfo) bool { return i.State.Msgs == 0 && i.State.Consumers == 1 })
}

// TestRejoinUnderLoad: who was slow returns although messages never cease.
func TestRejoinUnderLoad(t *testing.T) {
	e := start(t, 0)
	log, w := e.many(tenant.StreamShared), e.world(topics("a", 100)...)
	fast, slow := e.device(log, "fast", true), e.device(log, "slow", true)
	fast.subscribe(w, "#")
	slow.subscribe(w, "a/#")
	e.detached(w, slow)
	slow.stall(false)
	begin, n := time.Now(), fast.came.Load()
	ctx := deadline(t)
	for tick := time.NewTicker(100 * time.Millisecond); e.value("weir_fanout_rejoins_total") == 0 && ctx.Err() == nil; {
		<-tick.C
		w.all(1, 0)
		w.arrived(fast)
	}
	if ctx.Err() != nil {
		t.Error("it does not return")
	}
	took := time.Since(begin)
	t.Logf("back after %v, at %.0f msg/s", took, float64(fast.came.Load()-n)/took.Seconds())
	w.all(5, 0)
	w.arrived(slow)
	w.arrived(fast)
	e.until("empty", empty)
}

// TestQoS0AtAPlaceOfMany: who does not hold skips what is too much, and holds nobody up.
func TestQoS0AtAPlaceOfMany(t *testing.T) {
	for _, kind := range []tenant.StreamKind{tenant.StreamShared, tenant.StreamTransient} {
		t.Run(string(kind), func(t *testing.T) {
			e := start(t, 0)
			log, w := e.many(kind), e.world(topics("a", 100)...)
			silent, reads := e.device(log, "silent", kind == tenant.StreamTransient), e.device(log, "reads", false)
			silent.hold = false
			silent.subscribe(w, "#")
			silent.stall(true)
			reads.subscribe(w, "a/+")
			for range 100 {
				w.all(1, 0)
				w.arrived(reads)
			}
			silent.stall(false)
			w.arrived(silent)
			got, dropped := silent.came.Load(), e.value("weir_fanout_dropped_total")
			if got == 0 || got+int64(dropped) != 10_000 {
				t.Errorf("got %d, %v counted as dropped, want 10000 together", got, dropped)
			}
			if kind == tenant.StreamShared {
				e.until("empty", empty)
			}
		})
	}
}

// TestBudgetAtAPlaceOfMany: what nobody has taken is discarded when the budget is used up, and comes again.
func TestBudgetAtAPlaceOfMany(t *testing.T) {
	const budget, size = 2 << 20, 32 << 10
	e := start(t, budget)
	log, w := e.many(tenant.StreamShared), e.world(topics("a", 20)...)
	fast := e.device(log, "fast", true)
	fast.subscribe(w, "a/1")
	var stalled []*device
	for i := range 5 {
		d := e.device(log, fmt.Sprint("stalled", i), true)
		d.subscribe(w, fmt.Sprintf("a/%d", i))
		d.subscribe(w, "a/1")
		d.subscribe(w, "a/+")
		d.stall(true)
		stalled = append(stalled, d)
	}
	most := 0.0
	for range 20 {
		w.all(1, size)
		w.arrived(fast)
		most = max(most, e.value("weir_fanout_buffered_bytes"))
	}
	t.Logf("%.1f MiB buffered at most, %v discards, %v detaches", most/(1<<20), e.value("weir_fanout_discards_total"), e.value("weir_fanout_detaches_total"))
	if most > 2*budget {
		t.Errorf("%.1f MiB buffered, of %d", most/(1<<20), budget>>20)
	}
	for _, d := range stalled {
		d.stall(false)
	}
	for _, d := range stalled {
		w.arrived(d)
	}
	e.until("empty", empty)
}
