package bridge

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/tenant"
)

// wait is for offsets of a race.
func wait(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// TestRaceOfCreationAndWildcard creates topics while somebody subscribes, on the same bridge or on another: what was stored after the
// SUBACK comes, and nothing twice.
func TestRaceOfCreationAndWildcard(t *testing.T) {
	small := tenant.Quotas{BacklogBytes: 1 << 16}
	one := newBridge(t, serverProcess(natsprocess.New(t)), small, nil)
	two := newBridge(t, one.nats, small, nil)
	for name, other := range map[string]*rig{"same bridge": one, "another bridge": two} {
		t.Run(name, func(t *testing.T) {
			sub, pub := one.connect(codec.V5, "sub "+name), other.connect(codec.V5, "pub "+name)
			sub.t, pub.t = t, t
			before, after := 0, 0
			for round := range 200 {
				filter, topic := fmt.Sprintf("%s/%d/#", name, round), fmt.Sprintf("%s/%d", name, round)
				var subscribed atomic.Bool
				late := make(chan bool, 1) // the message is sent after the SUBACK
				go func() {
					wait(time.Duration(round%40) * 200 * time.Microsecond)
					late <- subscribed.Load()
					pub.send(publish(topic, 1, 1, "first"))
				}()
				wait(time.Millisecond)
				if ack := sub.subscribe(filter, 1); ack.Codes[0] != 1 {
					t.Fatalf("got %s", show(ack))
				}
				subscribed.Store(true)
				must := <-late
				expect[*codec.Ack](pub)
				pub.mustPublish(topic, 2, "second")
				p := sub.receive()
				if first := string(p.Payload) == "first"; first {
					after++
					p = sub.receive()
				} else if before++; must {
					t.Errorf("round %d: the message sent after the SUBACK is lost", round)
				}
				if string(p.Payload) != "second" {
					t.Errorf("round %d: got %s", round, show(p))
				}
				sub.send(&codec.Unsubscribe{PacketID: 6, Filters: []string{filter}})
				expect[*codec.Unsuback](sub)
			}
			t.Logf("the first message did not come in %d rounds, and came in %d", before, after)
		})
	}
}
