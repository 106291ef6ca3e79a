package shared

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

const (
	weirKills     = 8
	embeddedKills = 6
	natsKills     = 4
)

// underLoad are rules for the topics of load.Publishers: six in two shared streams, and one dedicated.
var underLoad = weirtest.DemoRules(
	`{filter: "one/#", stream: shared, name: one, backlog_messages: -1, backlog_bytes: 268435456}`,
	`{filter: "three/#", stream: shared, name: three, backlog_messages: -1, backlog_bytes: 268435456}`,
)

// subscribers are two by wildcard and one to each topic of a shared rule.
func subscribers(t *testing.T, weir *weirtest.Weir) []*load.Device {
	t.Helper()
	return []*load.Device{
		load.Subscribe(t, weir.MQTT(), codec.V5, "subscriber to all", "#"),
		load.Subscribe(t, weir.MQTT(), codec.V311, "subscriber to filters", "one/+", "three/#", "patient"),
		load.Subscribe(t, weir.MQTT(), codec.V311, "subscriber to topics",
			"one/0", "one/1", "one/2", "three/0", "three/1", "three/2", "patient"),
	}
}

// A bridge is killed again and again. Three of its publishers come back to it, one goes on to the other bridge, and one has been there all the
// time: nothing that was acknowledged is lost or stored out of its order, and who subscribes on the other bridge gets all of it.
func TestBridgeIsKilled(t *testing.T) {
	p := weirtest.StartPair(t, underLoad)
	publishers := load.Publishers(p.A.MQTT())
	publishers[3].Addresses = []string{p.A.MQTT(), p.B.MQTT()}
	publishers[4].Addresses = []string{p.B.MQTT()}
	service := load.Consume(t, p.NATS.URL(), load.Topics(publishers))
	devices := subscribers(t, p.B)
	work := load.Start(t, publishers...)
	for range weirKills {
		work.Await(1 + rand.Int64N(500))
		p.A.Kill()
		p.A.Restart()
	}
	work.Await(1000)
	acknowledged := work.Finish()
	service.Check(t, acknowledged)
	for _, d := range devices {
		d.Check(t, acknowledged)
	}
}

// An embedded server goes with its bridge.
func TestEmbeddedIsKilled(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: underLoad})
	publishers := load.Publishers(weir.MQTT())
	service := load.Consume(t, weir.NATS(), load.Topics(publishers))
	work := load.Start(t, publishers...)
	for range embeddedKills {
		work.Await(1 + rand.Int64N(500))
		weir.Kill()
		weir.Restart()
	}
	work.Await(1000)
	service.Check(t, work.Finish())
}

// The server is killed, and nobody who is connected to a bridge misses anything.
func TestNATSIsKilled(t *testing.T) {
	t.Parallel() // with the next one, which waits
	p := weirtest.StartPair(t, underLoad)
	publishers := load.Publishers(p.A.MQTT(), p.B.MQTT())
	service := load.Consume(t, p.NATS.URL(), load.Topics(publishers))
	devices := append(subscribers(t, p.A), load.Subscribe(t, p.B.MQTT(), codec.V5, "subscriber on the other bridge", "#"))
	work := load.Start(t, publishers...)
	for range natsKills {
		work.Await(500 + rand.Int64N(1000))
		p.NATS.Kill()
		p.NATS.Restart()
	}
	work.Await(1000)
	acknowledged := work.Finish()
	service.Check(t, acknowledged)
	for _, d := range devices {
		d.Check(t, acknowledged)
	}
}

// leaseEnd is when the others must have noticed the death of a bridge and have cleaned up after it: the lease of 10 s and
// some time for the work.
const leaseEnd = 25 * time.Second

// A killed bridge holds no topic of a shared rule for longer than its lease.
func TestKilledBridgeHoldsNothing(t *testing.T) {
	t.Parallel()
	p := weirtest.StartPair(t, weirtest.DemoRules(`{filter: "held/#", stream: shared, name: held, backlog_messages: 10}`))
	weirtest.Device(t, p.A, codec.V5, "by wildcard").Subscribe("held/#", 1)
	weirtest.Device(t, p.A, codec.V5, "by topic").Subscribe("held/a", 1)
	p.A.Kill()
	killed := time.Now()
	publisher := weirtest.NewPublisher(t, p.B, codec.V5, "held/a")
	publisher.MustPublish(0, 10)
	publisher.MustRefuse("backlog_full: ")
	weirtest.UntilWithin(t, leaseEnd, "the topic takes messages again", func() bool { taken, _ := publisher.Publish("x"); return taken })
	t.Logf("room after %s", time.Since(killed))
	weirtest.UntilWithin(t, leaseEnd-time.Since(killed), "nothing is left of the bridge", func() bool {
		state := weirtest.Stream(t, p.JS, "held/a").State
		return state.Consumers == 0 && state.Msgs == 0
	})
}
