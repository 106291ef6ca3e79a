package refusal

import (
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// A message that NATS does not take, because with its headers it is over the server's max_payload, is refused by itself: the
// connection to NATS, which others use, is not lost over it.
func TestMaxPayload(t *testing.T) {
	t.Parallel()
	server := weirtest.StartNATS(t) // max_payload is 1 MiB
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": "message_bytes: -1"}), External: server})
	each(t, func(t *testing.T, v codec.Version) {
		neighbour := login(t, w, v, "acme/other", "neighbour-"+v.String())
		neighbour.Subscribe("large/"+v.String(), 1)
		c := login(t, w, v, "acme/dev", "large-"+v.String())
		fits := strings.Repeat("x", 1<<20-4096)
		c.Publish("large/"+v.String(), fits)
		if p := neighbour.Message(); string(p.Payload) != fits {
			t.Errorf("received %d bytes", len(p.Payload))
		}
		for _, n := range []int{1 << 20, 1<<20 + 1, 2 << 20} {
			refusedPublish(t, w, v, "acme/dev", "large/"+v.String(), strings.Repeat("x", n), 0x97, reason.MessageTooLarge)
		}
		ping(neighbour)
		c.Publish("large/"+v.String(), "small")
		if p := neighbour.Message(); string(p.Payload) != "small" {
			t.Errorf("received %d bytes", len(p.Payload))
		}
	})
	if said := w.Said(); strings.Contains(said, "maximum payload") || strings.Contains(said, "NATS disconnected") {
		t.Error("the connection to NATS was lost")
	}
}
