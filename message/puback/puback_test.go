package puback

import (
	"testing"

	"github.com/weirmq/weir/reason"
)

// The descriptions are nats-server's; the tests of the publisher and of Weir see the server write them.
func TestRefusal(t *testing.T) {
	for _, test := range []struct {
		code        int
		description string
		want        reason.Reason
	}{
		{10077, "maximum bytes exceeded", reason.BacklogFull},
		{10077, "maximum messages exceeded", reason.BacklogFull},
		{10077, "maximum messages per subject exceeded", reason.BacklogFull},
		{10077, "message too large", reason.MessageTooLarge},
		{10077, "store is closed", reason.NATSUnavailable},
		{10077, "disk on fire", reason.InternalError},
		{10054, "message size exceeds maximum allowed", reason.MessageTooLarge},
		{10097, "header size exceeds maximum allowed of 64k", reason.MessageTooLarge},
		{10023, "insufficient resources", reason.StorageFull},
		{10059, "stream not found", reason.NATSUnavailable},
		{10167, "too many requests", reason.NATSUnavailable},
		{10118, "stream is offline", reason.NATSUnavailable},
		{10071, "wrong last sequence", reason.InternalError},
	} {
		if got := Refusal(test.code, test.description); got.Reason != test.want || got.Message == "" {
			t.Errorf("%d %s: %v, want %s", test.code, test.description, got, test.want)
		}
	}
}
