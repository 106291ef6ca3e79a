package recovery

import (
	"strings"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A bridge is suspended for longer than its lease. The other one cleans up after it, so that it holds nothing; when it goes on, its clients are told
// to connect again, and are served as before.
func TestBridgeIsSuspended(t *testing.T) {
	t.Parallel() // mostly it waits
	p := weirtest.StartPair(t, weirtest.DemoRules(`{filter: "s/#", stream: shared, name: s, backlog_messages: 10}`)+
		"    quotas: {backlog_messages: 10}\n")
	clients := map[string]*weirtest.Client{}
	versions := map[string]codec.Version{"#": codec.V5, "s/+": codec.V311, "d/x": codec.V5, "d/+": codec.V311}
	login := func() {
		t.Helper()
		for filter, v := range versions {
			clients[filter] = weirtest.Device(t, p.B, v, "subscriber to "+filter)
			clients[filter].Subscribe(filter, 1)
		}
	}
	login()
	var publishers []*weirtest.Publisher
	for _, topic := range []string{"d/x", "s/x"} {
		publisher := weirtest.NewPublisher(t, p.A, codec.V5, topic)
		publisher.MustPublish(0, 1)
		publishers = append(publishers, publisher)
	}
	p.B.Pause()
	for _, publisher := range publishers {
		weirtest.Until(t, "the backlog is full", func() bool { taken, _ := publisher.Publish("for nobody"); return !taken })
	}
	weirtest.Until(t, "the lease has ended", func() bool { return p.A.Metric("weir_bridges_ended_total") == 1 })
	for _, publisher := range publishers {
		weirtest.Until(t, "nobody holds the backlog", func() bool { taken, _ := publisher.Publish("for nobody"); return taken })
	}
	p.B.Resume()
	resumed := time.Now()
	for filter, client := range clients {
		told := false
		for {
			packet, err := client.Read()
			if weirtest.Closed(err) {
				break
			}
			if err != nil {
				t.Fatalf("subscriber to %s: %v", filter, err)
			}
			if d, ok := packet.(*codec.Disconnect); ok {
				told = d.Code == codec.ServerBusy && strings.HasPrefix(d.ReasonString, "lease_lost: ")
			}
		}
		if client.Version == codec.V5 && !told {
			t.Errorf("the subscriber to %s was not told that the lease is lost", filter)
		}
	}
	weirtest.UntilWithin(t, again-time.Since(resumed), "the lease is held again", func() bool { return p.B.Metric("weir_lease_held") == 1 })
	login()
	for _, publisher := range publishers {
		publisher.MustPublish(1, 4)
	}
	for filter, client := range clients {
		received := map[string]string{"d/x": "", "s/x": ""}
		for topic := range received {
			if strings.HasPrefix(filter, topic[:1]) || filter == "#" {
				for range 3 {
					m := client.Message()
					received[string(m.Topic)] += string(m.Payload)
				}
			}
		}
		for topic, payloads := range received {
			if payloads != "" && payloads != "123" {
				t.Errorf("the subscriber to %s received %s on %s", filter, payloads, topic)
			}
		}
	}
}
