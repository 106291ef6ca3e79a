package transient

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
)

// What is published on either bridge, with either QoS, reaches every subscriber of both once and in order, and no stream.
func TestDeliveredAcrossBridges(t *testing.T) {
	t.Run("two beside one NATS", func(t *testing.T) {
		p := weirtest.StartPair(t, live())
		deliver(t, p.A, p.B)
		expectNothingStored(t, p.JS)
	})
	t.Run("embedded", func(t *testing.T) {
		weir := weirtest.Start(t, weirtest.Options{Tenants: live()})
		deliver(t, weir, weir)
		expectNothingStored(t, weirtest.JetStream(t, weir.NATS(), weirtest.DemoService()))
	})
}

func deliver(t *testing.T, a, b *weirtest.Weir) {
	const count = 50
	each(t, func(t *testing.T, v codec.Version, level string) {
		topic := "live/" + level
		type subscriber struct {
			*weirtest.Client
			granted codec.QoS
		}
		var subscribers []subscriber
		for name, weir := range map[string]*weirtest.Weir{"a": a, "b": b} {
			for _, q := range []codec.QoS{0, 1} {
				for _, filter := range []string{topic, "live/#", "+/" + level} {
					s := subscriber{weirtest.Device(t, weir, v, filter+" with QoS "+number(int(q))+" on "+name), q}
					s.Subscribe(filter, q)
					subscribers = append(subscribers, s)
				}
			}
		}
		for name, weir := range map[string]*weirtest.Weir{"a": a, "b": b} {
			publisher := weirtest.Device(t, weir, v, "publisher on "+name)
			for _, q := range []codec.QoS{0, 1} {
				for n := range count {
					if q == 0 {
						publisher.Send(&codec.Publish{Topic: []byte(topic), Payload: []byte(number(n))})
					} else {
						mustPublish(t, publisher, topic, number(n))
					}
				}
				for _, s := range subscribers {
					for n := range count {
						mustReceive(t, s.Client, min(q, s.granted), topic, number(n))
					}
				}
			}
		}
		for _, s := range subscribers {
			s.Send(&codec.Pingreq{})
			weirtest.Expect[*codec.Pingresp](s.Client) // and nothing twice
			s.Send(&codec.Disconnect{})
			s.ExpectClosed()
		}
	})
}

// live/ itself matches live/#, and what nobody subscribes to is acknowledged all the same.
func TestParentAndNobody(t *testing.T) {
	p := weirtest.StartPair(t, live())
	each(t, func(t *testing.T, v codec.Version, _ string) {
		publisher := weirtest.Device(t, p.A, v, "publisher")
		mustPublish(t, publisher, "live/nobody", "lost")
		subscriber := weirtest.Device(t, p.B, v, "subscriber")
		subscriber.Subscribe("live/#", 1)
		mustPublish(t, publisher, "live", "parent")
		mustReceive(t, subscriber, 1, "live", "parent")
		subscriber.Send(&codec.Unsubscribe{PacketID: 2, Filters: []string{"live/#"}})
		weirtest.Expect[*codec.Unsuback](subscriber)
		mustPublish(t, publisher, "live/nobody", "lost")
		subscriber.Subscribe("live/+", 0)
		mustPublish(t, publisher, "live/x", "again")
		mustReceive(t, subscriber, 0, "live/x", "again")
	})
	if code := weirtest.AskFor(t, weirtest.Connect(t, p.NATS.URL()), "demo", "live/asked"); code != "" {
		t.Errorf("asked for a topic: %s", code)
	}
	expectNothingStored(t, p.JS)
}

// A native service takes part with core NATS.
func TestNativeService(t *testing.T) {
	p := weirtest.StartPair(t, live())
	nc := weirtest.Connect(t, p.NATS.URL())
	got := make(chan *nats.Msg, 1)
	if _, err := nc.ChanSubscribe(message.Subject("demo", "live")+".>", got); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, v codec.Version, level string) {
		topic := "live/room 1/" + level
		client := weirtest.Device(t, p.A, v, "client")
		mustPublish(t, client, topic, "up")
		m := weirtest.Receive(t, "the message", got)
		if m.Subject != message.Subject("demo", topic) || string(m.Data) != "up" || m.Header.Get("Mqtt-Client-Id") != "client" {
			t.Errorf("received %q on %s with %v", m.Data, m.Subject, m.Header)
		}
		client.Subscribe(topic, 1)
		if err := nc.Publish(message.Subject("demo", topic), []byte("down")); err != nil {
			t.Fatal(err)
		}
		mustReceive(t, client, 1, topic, "down")
		weirtest.Receive(t, "its own", got)
	})
}
