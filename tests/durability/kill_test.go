// Package durability kills what can be killed and looks for acknowledged messages that are gone.
package durability

import (
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	publishers := load.Publishers(weir.MQTT())
	service := load.Consume(t, weir.NATS(), load.Topics(publishers))
	work := load.Start(t, publishers...)
	began := time.Now()
	for range weirKills {
		work.Await(1 + rand.Int64N(300))
		weir.Kill()
		weir.Restart()
	}
	t.Logf("%d kills in %s", weirKills, time.Since(began))
	work.Await(1000)
	service.Check(t, work.Finish())
}

// The server can be killed at any moment, too: nothing that was acknowledged is lost, and an MQTT subscriber, which stays
// connected to the bridge, misses nothing.
func TestNATSIsKilled(t *testing.T) {
	server := weirtest.StartNATS(t)
	weir := weirtest.Start(t, weirtest.Options{Tenants: weirtest.DemoTenants, External: server})
	publishers := load.Publishers(weir.MQTT())
	topics := load.Topics(publishers)
	service := load.Consume(t, weir.NATS(), topics)
	var devices []*load.Device
	for i, topic := range topics {
		v := []codec.Version{codec.V31, codec.V311, codec.V5}[i%3]
		devices = append(devices, load.Subscribe(t, weir.MQTT(), v, "subscriber of "+topic, topic))
	}
	work := load.Start(t, publishers...)
	began := time.Now()
	for range natsKills {
		work.Await(500 + rand.Int64N(1000))
		server.Kill()
		server.Restart()
	}
	t.Logf("%d kills in %s", natsKills, time.Since(began))
	work.Await(1000)
	acknowledged := work.Finish()
	service.Check(t, acknowledged)
	for i, topic := range topics {
		devices[i].Check(t, map[string][]int64{topic: acknowledged[topic]})
	}
}
