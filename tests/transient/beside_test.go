package transient

import (
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A core subscription sees what goes to streams, too, and what they refuse. A subscriber to live/# gets each message once: what an
// earlier rule stores from its stream, and never what was refused.
func TestStoredRulesBeforeATransientOne(t *testing.T) {
	p := weirtest.StartPair(t, live(
		`{filter: "live/kept/#", stream: shared, name: kept, backlog_messages: 2}`,
		`{filter: "live/keep", stream: dedicated}`,
		`{filter: "live/full/+", stream: dedicated, backlog_messages: 2}`,
	))
	nc := weirtest.Connect(t, p.NATS.URL())
	each(t, func(t *testing.T, v codec.Version, level string) {
		full, kept := "live/full/"+level, "live/kept/"+level
		weirtest.Durable(t, nc, "demo", full, "service")
		weirtest.Durable(t, nc, "demo", kept, "service-"+level)
		before := p.B.Metric("weir_deliveries_total")
		var subscribers []*weirtest.Client
		for _, filter := range []string{"live/#", "#", "live/+/+"} {
			subscriber := weirtest.Device(t, p.B, v, "subscriber to "+filter)
			subscriber.Subscribe(filter, 1)
			subscribers = append(subscribers, subscriber)
		}
		both := weirtest.Device(t, p.B, v, "subscriber to both")
		both.Subscribe("live/#", 1)
		both.Subscribe("live/keep", 1)
		subscribers = append(subscribers, both)
		deep := subscribers[2]
		publisher := weirtest.Device(t, p.A, v, "publisher")

		for n := range 3 {
			for _, topic := range []string{"live/keep", "live/x", "live/deep/x"} {
				mustPublish(t, publisher, topic, number(n))
				for _, s := range subscribers {
					if s != deep || topic == "live/deep/x" {
						mustReceive(t, s, 1, topic, number(n))
					}
				}
			}
		}
		for _, topic := range []string{full, kept} {
			limited := weirtest.NewPublisher(t, p.A, v, topic)
			limited.MustPublish(0, 2)
			limited.MustRefuse("backlog_full: ")
			for _, s := range subscribers {
				mustReceive(t, s, 1, topic, "0")
				mustReceive(t, s, 1, topic, "1")
			}
		}
		mustPublish(t, publisher, "live/last/x", "after")
		for _, s := range subscribers {
			mustReceive(t, s, 1, "live/last/x", "after")
			s.Send(&codec.Disconnect{})
			s.ExpectClosed()
		}
		if n := p.B.Metric("weir_deliveries_total") - before; n != 3*10+2*8+4 {
			t.Errorf("%v messages are delivered", n)
		}
	})
}
