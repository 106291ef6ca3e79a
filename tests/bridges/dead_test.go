package bridges

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// leaseEnd is when the others must have noticed the death of a bridge and have cleaned up after it: the lease of 10 s and
// some time for the work.
const leaseEnd = 25 * time.Second

// A killed bridge holds neither a backlog nor connections for longer than its lease.
func TestKilledBridgeHoldsNothing(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoTenants+"    quotas: {backlog_messages: 10, connections: 3}\n")
	const topic = "held"
	publisher := weirtest.Device(t, p.B, codec.V5, "publisher")
	for i := range 2 {
		weirtest.Device(t, p.A, codec.V5, fmt.Sprint("subscriber-", i)).Subscribe(topic, 1)
	}
	if n := weirtest.Stream(t, p.JS, topic).State.Consumers; n != 1 {
		t.Fatalf("%d consumers for two subscribers on one bridge", n)
	}
	p.A.Kill()
	killed := time.Now()

	accepted := 0
	for publisher.Publish(topic, "x").Code == codec.Success {
		if accepted++; accepted > 10 {
			t.Fatal("the backlog has no end")
		}
	}
	if accepted != 10 {
		t.Errorf("%d messages were accepted by a backlog of 10", accepted)
	}
	if code := answer(t, p.B, "demo/device", "demo"); code != codec.QuotaExceeded {
		t.Errorf("CONNACK 0x%02X while the dead bridge's connections count", code)
	}

	weirtest.UntilWithin(t, leaseEnd, "the topic takes messages again", func() bool { return publisher.Publish(topic, "x").Code == codec.Success })
	t.Logf("room after %s", time.Since(killed))
	weirtest.UntilWithin(t, leaseEnd-time.Since(killed), "the consumers are gone", func() bool { return weirtest.Stream(t, p.JS, topic).State.Consumers == 0 })
	weirtest.UntilWithin(t, leaseEnd-time.Since(killed), "the connections count no more", func() bool {
		return answer(t, p.B, "demo/device", "demo") == codec.Success
	})
	if held := weirtest.Stream(t, p.JS, topic).State.Msgs; held != 0 {
		t.Errorf("%d messages are held for nobody", held)
	}

	// What comes after it serves as before.
	p.A.Restart()
	subscriber := weirtest.Device(t, p.A, codec.V5, "subscriber-0")
	subscriber.Subscribe(topic, 1)
	publisher.Publish(topic, "again")
	if m := subscriber.Message(); string(m.Payload) != "again" {
		t.Errorf("received %q", m.Payload)
	}
}

// A bridge that is stopped takes its consumers and connections with it at once, and its clients are told.
func TestStoppedBridgeLeavesNothing(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoTenants+"    quotas: {connections: 2}\n")
	const topic, willTopic = "left", "will"
	observer := weirtest.Device(t, p.B, codec.V5, "observer")
	observer.Subscribe(willTopic, 1)
	client := weirtest.Dial(t, p.A.MQTT(), codec.V5)
	connect := weirtest.Credentials("subscriber", "demo/device", "demo")
	connect.Will = &codec.Will{QoS: 1, Topic: willTopic, Payload: []byte("stopped")}
	client.Send(connect)
	weirtest.Expect[*codec.Connack](client)
	client.Subscribe(topic, 1)

	p.A.Stop()
	if d := weirtest.Expect[*codec.Disconnect](client); d.Code != codec.ServerShuttingDown {
		t.Errorf("DISCONNECT 0x%02X instead of 0x8B", d.Code)
	}
	client.ExpectClosed()
	if m := observer.Message(); string(m.Payload) != "stopped" {
		t.Errorf("will %q", m.Payload)
	}
	if n := weirtest.Stream(t, p.JS, topic).State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
	weirtest.Device(t, p.B, codec.V5, "other")
}
