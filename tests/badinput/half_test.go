package badinput

import (
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A client that closes its side gets what is on the way, and then the end: it counts as connection loss, whose will is
// published.
func TestHalfClosedConnection(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{})
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			watcher := weirtest.Login(t, w.MQTT(), v, "watcher-"+v.String(), "demo/service", "demo")
			watcher.Subscribe("half/"+v.String(), 1)
			// before CONNECT
			c := weirtest.Dial(t, w.MQTT(), v)
			if err := c.Net.(half).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			c.ExpectClosed()
			// behind CONNECT
			c = weirtest.Dial(t, w.MQTT(), v)
			p := demo("half-" + v.String())
			p.Will = &codec.Will{Topic: "half/" + v.String(), QoS: 1, Payload: []byte("gone")}
			c.Send(p)
			if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
				t.Fatalf("CONNACK 0x%02X", ack.Code)
			}
			if err := c.Net.(half).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			c.ExpectClosed()
			if p := watcher.Message(); string(p.Payload) != "gone" {
				t.Errorf("received %q", p.Payload)
			}
		})
	}
}
