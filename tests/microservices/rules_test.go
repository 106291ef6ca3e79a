package microservices

import (
	"strings"
	"testing"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// together are the rules plenty, but with the topics d/# in a shared stream.
var together = strings.Replace(plenty, "topics:\n",
	"topics:\n      - {filter: \"d/#\", stream: shared, name: d, backlog_messages: -1, backlog_bytes: 268435456}\n", 1)

// Topics of a durable subscriber move to a shared stream and back, while it is away and while it is there: everything comes, in order.
func TestTopicsMove(t *testing.T) {
	p := weirtest.StartPair(t, plenty)
	token := tokenFor(t, p.A, grant{Subscriber: "mover", Subscription: "#"})
	s := mustOpen(t, p.A, consumers, token, asAvro)
	if err := s.cut(false); err != nil {
		t.Fatal(err)
	}
	weirtest.Until(t, "it is away", func() bool { return p.A.Metric("weir_sockets") == 0 })
	work := load.Start(t, publishers(p.A.MQTT(), p.B.MQTT())...)
	work.AwaitEach(100)
	change := func(rules, prefix string) {
		t.Helper()
		p.A.SetTenants(rules)
		for _, topic := range []string{"d/0", "d/1"} {
			weirtest.Until(t, topic+" has moved", func() bool {
				name, err := p.JS.StreamNameBySubject(weirtest.Context(t), message.Subject("demo", topic))
				return err == nil && strings.HasPrefix(name, prefix)
			})
		}
		work.AwaitEach(100)
	}
	change(together, "MQTT_demo_s_d")
	change(plenty, "MQTT_demo_t_")
	f := follow(t, "subscriber", token, asJSON, p.B.HTTP(), p.A.HTTP())
	f.await(t, 100)
	change(together, "MQTT_demo_s_d")
	change(plenty, "MQTT_demo_t_")
	f.Check(t, work.Finish())
}
