package recovery

import (
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// NATS is away for longer than the leases of the bridges last. Subscribers that stay connected get everything that is acknowledged, before
// and afterwards, in order, and the first of it within 15 s of NATS's return.
func TestNATSIsAway(t *testing.T) {
	t.Parallel() // mostly it waits
	p := weirtest.StartPair(t, weirtest.DemoRules(
		`{filter: "one/#", stream: shared, name: one, backlog_messages: -1, backlog_bytes: 268435456}`))
	publishers := load.Publishers(p.A.MQTT(), p.B.MQTT())
	service := load.Consume(t, p.NATS.URL(), load.Topics(publishers))
	devices := []*load.Device{
		load.Subscribe(t, p.A.MQTT(), codec.V5, "subscriber to all", "#"),
		load.Subscribe(t, p.B.MQTT(), codec.V311, "subscriber to filters", "one/+", "three/#", "patient"),
		load.Subscribe(t, p.B.MQTT(), codec.V5, "subscriber to topics", load.Topics(publishers)...),
	}
	before := []counts{count(p.A), count(p.B)}
	work := load.Start(t, publishers...)
	work.Await(2000)
	p.NATS.Kill()
	for _, weir := range []*weirtest.Weir{p.A, p.B} {
		weirtest.Until(t, "the bridge has noticed", func() bool { return !weir.IsReady() })
	}
	// A connection that says nothing is closed after 10 s: two of them, one after the other, are more than a lease.
	began := time.Now()
	for range 2 {
		weirtest.Dial(t, p.B.MQTT(), codec.V5).ExpectClosed()
	}
	t.Logf("NATS was away for %s", time.Since(began))
	if weirtest.UntilWithin(t, time.Second, "the lease is not held", func() bool { return p.B.Metric("weir_lease_held") == 0 }); p.A.IsReady() {
		t.Error("/readyz says yes")
	}
	last := map[string]int64{}
	for _, topic := range load.Topics(publishers) {
		last[topic] = devices[0].Last(topic)
	}
	p.NATS.Restart()
	back := time.Now()
	for topic := range last {
		for _, d := range devices {
			weirtest.UntilWithin(t, again-time.Since(back), topic+" is delivered again", func() bool { return d.Last(topic) > last[topic] })
		}
	}
	t.Logf("all topics are delivered again after %s", time.Since(back))
	work.AwaitEach(100)
	acknowledged := work.Finish()
	service.Check(t, acknowledged)
	for i, weir := range []*weirtest.Weir{p.A, p.B} {
		weir.Ready()
		countedAsLost(t, weir, before[i], 0)
	}
	for _, d := range devices {
		d.Check(t, acknowledged)
	}
}
