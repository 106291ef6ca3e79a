package bridges

import (
	"fmt"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A client identifier has one connection on all bridges together. The first is told, and its will is stored
// before the second is accepted. [MQTT-3.1.4-2] [MQTT-3.1.4-3]
func TestTakeover(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoTenants)
	for _, pair := range []struct {
		name     string
		old, new *weirtest.Weir
	}{
		{"from a to b", p.A, p.B},
		{"from b to a", p.B, p.A},
		{"on a", p.A, p.A},
	} {
		for _, v := range []codec.Version{codec.V31, codec.V311, codec.V5} {
			name := fmt.Sprintf("%s, %s", pair.name, v)
			t.Run(name, func(t *testing.T) {
				willTopic := "wills/" + name
				observer := weirtest.Device(t, p.B, codec.V5, "observer "+name)
				observer.Subscribe(willTopic, 1)
				clientID := "c " + name

				old := weirtest.Dial(t, pair.old.MQTT(), v)
				connect := weirtest.Credentials(clientID, "demo/device", "demo")
				connect.Will = &codec.Will{QoS: 1, Topic: willTopic, Payload: []byte("gone")}
				old.Send(connect)
				if ack := weirtest.Expect[*codec.Connack](old); ack.Code != codec.Success {
					t.Fatalf("CONNACK %+v", ack)
				}
				weirtest.Device(t, pair.new, v, clientID)
				if last := weirtest.Stream(t, p.JS, willTopic).State.LastSeq; last != 1 {
					t.Errorf("%d wills are stored when the second connection is accepted", last)
				}
				if v == codec.V5 {
					if d := weirtest.Expect[*codec.Disconnect](old); d.Code != codec.SessionTakenOver {
						t.Errorf("DISCONNECT 0x%02X instead of 0x8E", d.Code)
					}
				}
				old.ExpectClosed()
				if m := observer.Message(); string(m.Payload) != "gone" {
					t.Errorf("will %q", m.Payload)
				}
			})
		}
	}
}

// Devices that meet a load balancer come back at another bridge, again and again. A takeover never counts against the
// quota of connections.
func TestTakeoverBackAndForth(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoTenants+"    quotas: {connections: 1}\n")
	var last *weirtest.Client
	for i := range 100 {
		client := weirtest.Device(t, []*weirtest.Weir{p.A, p.B}[i%2], codec.V5, "commuter")
		if last != nil {
			if d := weirtest.Expect[*codec.Disconnect](last); d.Code != codec.SessionTakenOver {
				t.Fatalf("takeover %d: DISCONNECT 0x%02X", i, d.Code)
			}
			last.ExpectClosed()
		}
		last = client
	}
	// One client at a time, on both bridges together.
	for _, weir := range []*weirtest.Weir{p.A, p.B} {
		other := weirtest.Dial(t, weir.MQTT(), codec.V5)
		other.Send(weirtest.Credentials("other", "demo/device", "demo"))
		if ack := weirtest.Expect[*codec.Connack](other); ack.Code != codec.QuotaExceeded {
			t.Errorf("CONNACK 0x%02X for a connection over the quota", ack.Code)
		}
		other.ExpectClosed()
	}
	last.Send(&codec.Disconnect{})
	last.ExpectClosed()
	weirtest.Until(t, "the quota has room again", func() bool {
		client := weirtest.Dial(t, p.A.MQTT(), codec.V5)
		defer client.Close()
		client.Send(weirtest.Credentials("next", "demo/device", "demo"))
		return weirtest.Expect[*codec.Connack](client).Code == codec.Success
	})
}
