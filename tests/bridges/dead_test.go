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
	p := startPair(t, weirtest.DemoTenants+"    quotas: {backlog_messages: 10, connections: 3}\n")
	const topic = "held"
	publisher := login(t, p.b, codec.V5, "publisher")
	for i := range 2 {
		login(t, p.a, codec.V5, fmt.Sprint("subscriber-", i)).Subscribe(topic, 1)
	}
	if n := p.stream(t, topic).State.Consumers; n != 1 {
		t.Fatalf("%d consumers for two subscribers on one bridge", n)
	}
	p.a.Kill()
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
	if code := answer(t, p.b, "demo/device", "demo"); code != codec.QuotaExceeded {
		t.Errorf("CONNACK 0x%02X while the dead bridge's connections count", code)
	}

	weirtest.UntilWithin(t, leaseEnd, "the topic takes messages again", func() bool { return publisher.Publish(topic, "x").Code == codec.Success })
	t.Logf("room after %s", time.Since(killed))
	weirtest.UntilWithin(t, leaseEnd-time.Since(killed), "the consumers are gone", func() bool { return p.stream(t, topic).State.Consumers == 0 })
	weirtest.UntilWithin(t, leaseEnd-time.Since(killed), "the connections count no more", func() bool {
		return answer(t, p.b, "demo/device", "demo") == codec.Success
	})
	if held := p.stream(t, topic).State.Msgs; held != 0 {
		t.Errorf("%d messages are held for nobody", held)
	}

	// What comes after it serves as before.
	p.a.Restart()
	subscriber := login(t, p.a, codec.V5, "subscriber-0")
	subscriber.Subscribe(topic, 1)
	publisher.Publish(topic, "again")
	if m := subscriber.Message(); string(m.Payload) != "again" {
		t.Errorf("received %q", m.Payload)
	}
}

// A bridge that is stopped takes its consumers and connections with it at once, and its clients are told.
func TestStoppedBridgeLeavesNothing(t *testing.T) {
	p := startPair(t, weirtest.DemoTenants+"    quotas: {connections: 2}\n")
	const topic, willTopic = "left", "will"
	observer := login(t, p.b, codec.V5, "observer")
	observer.Subscribe(willTopic, 1)
	client := weirtest.Dial(t, p.a.MQTT(), codec.V5)
	connect := weirtest.Credentials("subscriber", "demo/device", "demo")
	connect.Will = &codec.Will{QoS: 1, Topic: willTopic, Payload: []byte("stopped")}
	client.Send(connect)
	weirtest.Expect[*codec.Connack](client)
	client.Subscribe(topic, 1)

	p.a.Stop()
	if d := weirtest.Expect[*codec.Disconnect](client); d.Code != codec.ServerShuttingDown {
		t.Errorf("DISCONNECT 0x%02X instead of 0x8B", d.Code)
	}
	client.ExpectClosed()
	if m := observer.Message(); string(m.Payload) != "stopped" {
		t.Errorf("will %q", m.Payload)
	}
	if n := p.stream(t, topic).State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
	login(t, p.b, codec.V5, "other")
}
