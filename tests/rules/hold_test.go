package rules

import (
	"fmt"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A client that does not acknowledge has filled the backlog. The rule is changed so that it may hold less, while it is connected: publishers
// are taken again, all of them from then on, and the client has what was in flight to it and the newest messages. What it has missed is
// counted.
func TestHoldWhenFull(t *testing.T) {
	const backlog, hold, inflight, more = 1000, 100, 100, 10_000
	for name, stream := range map[string]string{"dedicated": "dedicated", "shared": "shared, name: a, backlog_bytes: 10000000"} {
		t.Run(name, func(t *testing.T) {
			rule := fmt.Sprintf(`{filter: "a/#", stream: %s, backlog_messages: %d, hold_when_full: `, stream, backlog)
			weir := start(t, rule+"block}")
			stuck := weirtest.Device(t, weir, codec.V5, "stuck")
			stuck.Subscribe("a/+", 1)
			p := weirtest.NewPublisher(t, weir, codec.V5, "a/b")
			p.MustPublish(0, backlog)
			p.MustRefuse("backlog_full")

			weir.SetTenants(weirtest.DemoRules(fmt.Sprint(rule, "discard_oldest, hold_messages: ", hold, "}")))
			weirtest.UntilWithin(t, 2*inForce, "there is room", func() bool { taken, _ := p.Publish(number(backlog)); return taken })
			p.MustPublish(backlog+1, more)

			weirtest.Until(t, "all others are counted", func() bool {
				return weir.Metric("weir_session_overflow_total") == more-inflight-hold
			})

			var got []string
			for len(got) < inflight+hold {
				got = append(got, string(stuck.Message().Payload))
			}
			for i, payload := range got {
				want := i
				if i >= inflight {
					want = more - hold + i - inflight
				}
				if payload != number(want) {
					t.Fatalf("message %d is %s, want %d", i, payload, want)
				}
			}
		})
	}
}
