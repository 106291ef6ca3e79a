package transient

import (
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

const (
	// unknown is when a connection ends of whose publish nobody knows what became of it, and slack is for a machine that is busy.
	unknown = 10 * time.Second
	slack   = 5 * time.Second
	// again is how soon after NATS is back readers must deliver.
	again = 15 * time.Second
)

// Nothing is acknowledged that NATS does not have: whether it answers nothing or is gone, no PUBACK is sent, and the connection ends.
// When it is back, who has stayed connected is served.
func TestWithoutNATS(t *testing.T) {
	for name, outage := range map[string]struct{ begin, end func(*weirtest.NATS) }{
		"stopped": {(*weirtest.NATS).Pause, (*weirtest.NATS).Resume},
		"killed":  {(*weirtest.NATS).Kill, (*weirtest.NATS).Restart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := weirtest.StartPair(t, live())
			subscriber := weirtest.Device(t, p.B, codec.V5, "subscriber")
			subscriber.Subscribe("live/#", 1)
			var publishers []*weirtest.Client
			for _, v := range versions {
				publisher := weirtest.Device(t, p.A, v, "publisher with "+v.String())
				mustPublish(t, publisher, "live/x", "before")
				mustReceive(t, subscriber, 1, "live/x", "before")
				publishers = append(publishers, publisher)
			}
			outage.begin(p.NATS)
			began := time.Now()
			for _, publisher := range publishers {
				publisher.Send(&codec.Publish{QoS: 1, PacketID: 5, Topic: []byte("live/x"), Payload: []byte("during")})
			}
			for _, publisher := range publishers {
				if publisher.Version == codec.V5 {
					if d := weirtest.Expect[*codec.Disconnect](publisher); d.Code != 0x89 {
						t.Errorf("DISCONNECT 0x%02X %s", d.Code, d.ReasonString)
					}
				}
				publisher.ExpectClosed()
			}
			if took := time.Since(began); took > unknown+slack {
				t.Errorf("the connections ended after %s", took)
			}
			outage.end(p.NATS)
			p.A.Ready()
			p.B.Ready()
			received := make(chan error, 1)
			go func() { received <- until(subscriber.Conn, "after") }()
			publisher := weirtest.Device(t, p.A, codec.V5, "publisher")
			back := time.Now()
			for over := false; !over; {
				mustPublish(t, publisher, "live/x", "after")
				select {
				case err := <-received:
					if err != nil {
						t.Fatal(err)
					}
					over = true
				default:
				}
				if took := time.Since(back); took > again {
					t.Fatalf("nothing is delivered %s after NATS is back", took)
				}
			}
		})
	}
}

// until reads, and acknowledges, until this message.
func until(conn *weirtest.Conn, payload string) error {
	for {
		packet, err := conn.Read()
		if err != nil {
			return err
		}
		m, ok := packet.(*codec.Publish)
		if !ok {
			continue
		}
		if err := conn.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: m.PacketID}); err != nil {
			return err
		}
		if string(m.Payload) == payload {
			return nil
		}
	}
}

// NATS is killed and started again under load: subscribers stay connected, and get what is published from then on, in order. What was
// under way is stored nowhere and may be gone.
func TestNATSRestarts(t *testing.T) {
	const topic, restarts = "live/load", 5
	p := weirtest.StartPair(t, live())
	devices := []*load.Device{
		load.Subscribe(t, p.A.MQTT(), codec.V5, "subscriber", "live/#"),
		load.Subscribe(t, p.B.MQTT(), codec.V311, "other subscriber", topic),
	}
	work := load.Start(t, &load.Publisher{
		Addresses: []string{p.A.MQTT(), p.B.MQTT()}, Version: codec.V5, ClientID: "publisher", Topics: []string{topic}, Patience: 2 * time.Second,
	})
	for range restarts {
		work.Await(500)
		p.NATS.Kill()
		var last []int64
		for _, d := range devices {
			last = append(last, d.Last(topic))
		}
		p.NATS.Restart()
		for i, d := range devices {
			weirtest.UntilWithin(t, again, "messages are delivered again", func() bool { return d.Last(topic) > last[i] })
		}
	}
	work.Await(500)
	acknowledged := work.Finish()
	for _, d := range devices {
		if missing := d.CheckOrder(t, acknowledged)[topic]; len(missing) > 0 {
			t.Logf("%d of %d acknowledged messages were under way in %d restarts", len(missing), len(acknowledged[topic]), restarts)
		}
	}
	expectNothingStored(t, p.JS)
}
