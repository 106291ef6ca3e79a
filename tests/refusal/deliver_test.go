package refusal

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// window connects a subscriber with a Receive Maximum; 0: none.
func window(t *testing.T, w *weirtest.Weir, v codec.Version, user, id string, receiveMaximum uint16) *weirtest.Client {
	t.Helper()
	c := weirtest.Dial(t, w.MQTT(), v)
	p := connect(user, id)
	p.Properties.ReceiveMaximum = receiveMaximum
	c.Send(p)
	if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
		t.Fatalf("CONNACK 0x%02X", ack.Code)
	}
	return c
}

func TestDeliver(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{
		"acme": "", "narrow": "inflight: 3", "one": "inflight: 1",
	})})
	t.Run("receive maximum", func(t *testing.T) { t.Parallel(); receiveMaximumOfClient(t, w) })
	inEach(t, w, "QoS 0", qos0PassesTheWindow)
	inEach(t, w, "before DISCONNECT", publishesBeforeDisconnect)
	t.Run("maximum packet size", func(t *testing.T) { t.Parallel(); maximumPacketSizeOfClient(t, w) })
}

// A subscriber never has more unacknowledged messages than the smaller one of its Receive Maximum [MQTT-3.3.4-9] and the
// tenant's inflight; in 3.x, which has no Receive Maximum, than inflight. That no more come is seen by a PINGRESP that does,
// after another subscriber has got all.
func receiveMaximumOfClient(t *testing.T, w *weirtest.Weir) {
	each(t, func(t *testing.T, v codec.Version) {
		for _, one := range []struct {
			tenant  string
			receive uint16
			want    int
		}{
			{"narrow", 0, 3}, {"acme", 1, 1}, {"acme", 4, 4}, {"narrow", 2, 2}, {"narrow", 50, 3}, {"acme", 200, 100}, {"acme", 0, 100},
		} {
			if v != codec.V5 && one.receive != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", one.tenant, one.receive), func(t *testing.T) {
				t.Parallel()
				topics := []string{t.Name() + "/a", t.Name() + "/b"}
				user := one.tenant + "/dev"
				c := window(t, w, v, user, "c-"+t.Name(), one.receive)
				swift := window(t, w, v, user, "s-"+t.Name(), one.receive)
				for _, c := range []*weirtest.Client{c, swift} {
					c.Send(subscribe(1, 1, topics...))
					weirtest.Expect[*codec.Suback](c)
				}
				n := one.want*2 + 1
				publisher := login(t, w, v, user, "p-"+t.Name())
				for i := range n {
					publisher.Send(publish(topics[i%2], 1, uint16(i+1), fmt.Sprint(i)))
				}
				for i := range n {
					puback(t, publisher, uint16(i+1), 0)
				}
				for range n {
					swift.Message()
				}
				ids := map[uint16]bool{}
				take := func() {
					p := weirtest.Expect[*codec.Publish](c)
					if p.QoS != 1 || p.PacketID == 0 || ids[p.PacketID] {
						t.Fatalf("PUBLISH %d at QoS %d while %v are unacknowledged", p.PacketID, p.QoS, ids)
					}
					ids[p.PacketID] = true
				}
				for range one.want {
					take()
				}
				ping(c)
				// Each acknowledgement makes room for one, in whatever order they come.
				for got := one.want; got < n; got++ {
					var newest uint16
					for id := range ids {
						newest = max(newest, id)
					}
					delete(ids, newest)
					c.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: newest})
					take()
					ping(c)
				}
			})
		}
	})
}

// A message of QoS 0 needs no room in the window.
func qos0PassesTheWindow(t *testing.T, w *weirtest.Weir, v codec.Version) {
	c := login(t, w, v, "one/dev", "c-"+v.String())
	held, free, both := "held/"+v.String(), "free/"+v.String(), "both/"+v.String()
	c.Subscribe(held, 1)
	c.Subscribe(free, 0)
	c.Subscribe(both, 1)
	publisher := login(t, w, v, "one/dev", "p-"+v.String())
	publisher.Publish(held, "1")
	first := weirtest.Expect[*codec.Publish](c)
	publisher.Publish(free, "2")
	if p := c.Message(); string(p.Payload) != "2" || p.QoS != 0 {
		t.Errorf("received %q at QoS %d", p.Payload, p.QoS)
	}
	c.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: first.PacketID})
	publisher.Send(publish(both, 0, 0, "3"))
	if p := c.Message(); string(p.Payload) != "3" || p.QoS != 0 {
		t.Errorf("received %q at QoS %d", p.Payload, p.QoS)
	}
}

// What stands before DISCONNECT counts, although nobody waits for it.
func publishesBeforeDisconnect(t *testing.T, w *weirtest.Weir, v codec.Version) {
	topic := "leaving/" + v.String()
	watcher := login(t, w, v, "acme/app", "stays-"+v.String())
	watcher.Subscribe(topic, 1)
	const n = 300
	for round := range 3 {
		c := login(t, w, v, "acme/dev", "leaves-"+v.String())
		var packets []codec.Packet
		for i := range n {
			packets = append(packets, publish(topic, 0, 0, fmt.Sprint(round*n+i)))
		}
		c.Send(append(packets, &codec.Disconnect{})...)
		c.Close()
		for i := range n {
			if p := watcher.Message(); string(p.Payload) != fmt.Sprint(round*n+i) {
				t.Fatalf("received %q, want %d", p.Payload, round*n+i)
			}
		}
	}
}

// No packet is larger than the client's Maximum Packet Size [MQTT-3.1.2-24]: a message is dropped as if it had been delivered
// [MQTT-3.1.2-25], and a reason string is left out.
func maximumPacketSizeOfClient(t *testing.T, w *weirtest.Weir) {
	small := func(t *testing.T, id string, size uint32) *weirtest.Client {
		c := weirtest.Dial(t, w.MQTT(), codec.V5)
		p := connect("one/dev", id)
		p.Properties.MaximumPacketSize = size
		c.Send(p)
		return c
	}
	t.Run("messages", func(t *testing.T) {
		t.Parallel()
		const size = 60
		c := small(t, "small", size)
		weirtest.Expect[*codec.Connack](c)
		c.Subscribe("t", 1)
		publisher := login(t, w, codec.V5, "one/dev", "publisher")
		fits := publish("t", 1, 1, "")
		fits.Payload = make([]byte, size-len(bytesOf(t, fits, codec.V5)))
		for _, n := range []int{len(fits.Payload) + 1, len(fits.Payload), 1000, 1, 70000, 2} {
			publisher.Publish("t", strings.Repeat("x", n))
		}
		for _, n := range []int{len(fits.Payload), 1, 2} {
			p := c.Message()
			if len(p.Payload) != n || len(bytesOf(t, p, codec.V5)) > size {
				t.Errorf("%d bytes arrived, want %d", len(p.Payload), n)
			}
		}
		ping(c)
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
		c = login(t, w, codec.V5, "one/dev", "small")
		c.Subscribe(ownErrors, 1)
		expectEntry(t, nextEntry(t, c), "small", reason.ClientMaximumPacket, "PUBLISH", "t", 0)
	})
	t.Run("reason strings", func(t *testing.T) {
		t.Parallel()
		c := small(t, "terse", 40)
		weirtest.Expect[*codec.Connack](c)
		c.Send(publish("$x", 1, 5, "x"))
		if ack := puback(t, c, 5, 0x90); len(bytesOf(t, ack, codec.V5)) > 40 {
			t.Errorf("a PUBACK of %d bytes", len(bytesOf(t, ack, codec.V5)))
		}
		c.Send(subscribe(1, 1, "$share/g/a", "$x"))
		ack := weirtest.Expect[*codec.Suback](c)
		if !slices.Equal(ack.Codes, []codec.ReasonCode{0x9E, 0x8F}) || len(bytesOf(t, ack, codec.V5)) > 40 {
			t.Errorf("SUBACK %+v", ack)
		}
		c.SendBytes(framed(0))
		d := weirtest.Expect[*codec.Disconnect](c)
		if d.Code != 0x81 || len(bytesOf(t, d, codec.V5)) > 40 {
			t.Errorf("DISCONNECT %+v", d)
		}
		c.ExpectClosed()
	})
	t.Run("refused CONNECT", func(t *testing.T) {
		t.Parallel()
		c := weirtest.Dial(t, w.MQTT(), codec.V5)
		p := connect("acme/dev", "refused")
		p.Password, p.Properties.MaximumPacketSize = []byte("wrong"), 20
		c.Send(p)
		ack := weirtest.Expect[*codec.Connack](c)
		if ack.Code != 0x86 || len(bytesOf(t, ack, codec.V5)) > 20 {
			t.Errorf("CONNACK %+v", ack)
		}
		c.ExpectClosed()
	})
	// A client to which not even CONNACK may be sent can only be closed.
	t.Run("no room for CONNACK", func(t *testing.T) {
		t.Parallel()
		for _, size := range []uint32{1, 4, 10} {
			small(t, fmt.Sprintf("tiny-%d", size), size).ExpectClosed()
		}
	})
}
