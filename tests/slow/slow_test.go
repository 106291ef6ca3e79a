package slow

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

const (
	missed = 100_000 // messages that pass while the slow subscriber does not read
	pace   = 4_000   // messages a second
	// control is the pace on another topic, whose subscribers show what the machine itself does to latency meanwhile.
	control = 500
	// growth is how much memory a subscriber that does not read may cost.
	growth = 64 * mebibyte
)

const roomy = weirtest.DemoTenants + "    quotas: {backlog_bytes: 268435456}\n"

// A subscriber that stops reading costs the others no time and the process a bounded buffer, and when it reads
// again it gets every message, in order.
func TestSubscriberThatStopsReading(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		stopReading(t, weirtest.Start(t, weirtest.Options{Tenants: roomy, Unchecked: true}))
	})
	t.Run("sidecar", func(t *testing.T) {
		stopReading(t, weirtest.Start(t, weirtest.Options{Tenants: roomy, Unchecked: true, External: weirtest.StartNATS(t)}))
	})
}

func stopReading(t *testing.T, weir *weirtest.Weir) {
	t.Cleanup(func() {
		if t.Failed() {
			explain(t, weir)
		}
	})
	const topic, warm = "busy", 20_000
	login := func(clientID string) *weirtest.Client {
		return weirtest.Login(t, weir.MQTT(), codec.V5, clientID, "demo/device", "demo")
	}
	subscribe := func(clientID, topic string) *weirtest.Conn {
		client := login(clientID)
		client.Subscribe(topic, 1)
		return client.Conn
	}
	publisher, controller := login("publisher").Conn, login("control publisher").Conn
	var others, controls []*weirtest.Conn
	for i := range 2 {
		others = append(others, subscribe(fmt.Sprint("other-", i), topic))
		controls = append(controls, subscribe(fmt.Sprint("control-", i), "control"))
	}
	slow := subscribe("slow", topic)
	all := append([]*weirtest.Conn{slow}, others...)
	before := newPhase(0, warm).run(t, publisher, topic, pace, all)
	t.Logf("everybody reads: %s", before)

	memoryBefore := weir.Memory()
	watch := watchMemory(weir)
	var during, controlled figures
	var wg sync.WaitGroup
	wg.Go(func() { during = newPhase(warm, missed).run(t, publisher, topic, pace, others) })
	wg.Go(func() { controlled = newPhase(0, missed*control/pace).run(t, controller, "control", control, controls) })
	wg.Wait()
	grown := watch.largest() - memoryBefore
	t.Logf("one does not read: %s", during)
	t.Logf("at the same time on another topic: %s", controlled)
	t.Logf("memory: %d MiB before, %+d MiB at most", memoryBefore/mebibyte, grown/mebibyte)
	if t.Failed() {
		t.FailNow()
	}
	if grown > growth {
		t.Errorf("memory grew by %d MiB", grown/mebibyte)
	}
	if ideal := missed * time.Second / pace; during.took > ideal*11/10 {
		t.Errorf("the others took %s instead of %s", during.took, ideal)
	}
	// Twice and a little more is noise; who waits for a device waits for ever.
	if during.median > 2*controlled.median+2*time.Millisecond || during.p99 > 2*controlled.p99+20*time.Millisecond {
		t.Error("the others were delayed")
	}

	began := time.Now()
	for n := warm; n < warm+missed; n++ {
		if err := takeNumber(slow, n); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("it caught up with %d messages in %s", missed, time.Since(began))

	// It is one of many again.
	after := newPhase(warm+missed, warm/2).run(t, publisher, topic, pace, all)
	t.Logf("everybody reads again: %s", after)
	weirtest.Until(t, "one reader for each topic serves all again", func() bool { return weir.Metric("weir_readers") == 2 })
}

// explain shows what may have stood still.
func explain(t *testing.T, weir *weirtest.Weir) {
	t.Helper()
	t.Logf("%v", weir.Metrics("weir_reader_resets_total", "weir_readers", "weir_reader_lag_messages", "weir_fanout_buffered_bytes",
		"weir_fanout_detached_subscriptions", "weir_fanout_starving_readers", "weir_fanout_detaches_total", "weir_fanout_discards_total"))
	js := weirtest.JetStream(t, weir.NATS(), weirtest.DemoService())
	for info := range js.ListStreams(weirtest.Context(t)).Info() {
		stream, err := js.Stream(weirtest.Context(t), info.Config.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		for consumer := range stream.ListConsumers(weirtest.Context(t)).Info() {
			t.Logf("%s: %+v", info.Config.Name, consumer)
		}
	}
	t.Log(weir.Dump())
}
