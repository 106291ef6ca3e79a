package durability

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

const (
	weirKills = 100
	natsKills = 10
)

// A bridge can be killed at any moment: what it has acknowledged is in the stream, in order.
func TestWeirIsKilled(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		killWeir(t, weirtest.Start(t, weirtest.Options{}))
	})
	t.Run("sidecar", func(t *testing.T) {
		killWeir(t, weirtest.Start(t, weirtest.Options{Tenants: weirtest.DemoTenants, External: weirtest.StartNATS(t)}))
	})
}

func killWeir(t *testing.T, weir *weirtest.Weir) {
	publishers := newPublishers(weir.MQTT())
	service := startService(t, weir.NATS(), names(publishers))
	load := startLoad(t, publishers)
	began := time.Now()
	for range weirKills {
		load.await(1 + rand.Int64N(300))
		weir.Kill()
		weir.Restart()
	}
	t.Logf("%d kills in %s", weirKills, time.Since(began))
	load.await(1000)
	load.finish()
	service.check(t, load.topics())
}

// The server can be killed at any moment, too: nothing that was acknowledged is lost, and an MQTT subscriber, which stays
// connected to the bridge, misses nothing.
func TestNATSIsKilled(t *testing.T) {
	server := weirtest.StartNATS(t)
	weir := weirtest.Start(t, weirtest.Options{Tenants: weirtest.DemoTenants, External: server})
	publishers := newPublishers(weir.MQTT())
	topics := names(publishers)
	service := startService(t, weir.NATS(), topics)
	devices := map[string]*device{}
	for i, topic := range topics {
		devices[topic] = startDevice(t, weir.MQTT(), []codec.Version{codec.V31, codec.V311, codec.V5}[i%3], topic)
	}
	load := startLoad(t, publishers)
	began := time.Now()
	for range natsKills {
		load.await(500 + rand.Int64N(1000))
		server.Kill()
		server.Restart()
	}
	t.Logf("%d kills in %s", natsKills, time.Since(began))
	load.await(1000)
	load.finish()
	acknowledged := load.topics()
	service.check(t, acknowledged)
	for topic, want := range acknowledged {
		devices[topic].await(want)
		devices[topic].check(t, topic, want)
		devices[topic].stays(t, topic)
	}
}
