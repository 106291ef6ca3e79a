package bridge

import (
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

func TestPublishAndReceive(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	each(t, func(t *testing.T, v codec.Version) {
		topic := "room/" + v.String()
		pub, sub, sub0 := r.connect(v, "pub"), r.connect(v, "sub"), r.connect(v, "sub0")
		sub.mustSubscribe(topic, 2) // granted 1
		sub0.mustSubscribe(topic, 0)
		pub.mustPublish(topic, 1, "one")
		pub.send(publish(topic, 0, 0, "two"))
		pub.mustPublish(topic, 2, "three")
		for _, want := range []struct {
			payload string
			qos     codec.QoS
		}{{"one", 1}, {"two", 0}, {"three", 1}} {
			if p := sub.receive(); string(p.Payload) != want.payload || p.QoS != want.qos {
				t.Errorf("got %s, want %v", show(p), want)
			}
			if p := sub0.receive(); string(p.Payload) != want.payload || p.QoS != 0 {
				t.Errorf("got %s, want %v at QoS 0", show(p), want)
			}
		}
		for _, c := range []*client{pub, sub, sub0} {
			c.send(&codec.Disconnect{})
			c.expectClosed()
		}
	})
}
