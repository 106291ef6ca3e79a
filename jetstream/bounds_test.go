package jetstream

import (
	"testing"

	"github.com/weirmq/weir/tenant"
)

// What a subscription may hold is what the rule of its place says, for as long as there is one; a change of the rules has a new revision.
func TestHold(t *testing.T) {
	logs := two(t, sharedRule(func(r *tenant.Rule) { r.HoldWhenFull, r.HoldMessages, r.HoldBytes = tenant.HoldDiscardOldest, 10, 20 }))
	l, none := logs[0], int64(tenant.Unlimited)
	check := func(place tenant.Place, messages, bytes int64, ok bool) {
		t.Helper()
		gotMessages, gotBytes, gotOK := l.Hold(place)
		if gotOK != ok || ok && (gotMessages != messages || gotBytes != bytes) {
			t.Errorf("%+v: %d, %d, %t", place, gotMessages, gotBytes, gotOK)
		}
	}
	check(sharedPlace, 10, 20, true)
	check(tenant.Dedicated("a"), none, none, true)
	check(tenant.Dedicated("t/a"), 0, 0, false) // its messages lie elsewhere
	former := l.Revision()
	enforce(t, logs, tenant.Rule{Filter: "a", Stream: tenant.StreamDedicated, HoldWhenFull: tenant.HoldDiscardOldest, HoldMessages: -1, HoldBytes: 30})
	if l.Revision() == former {
		t.Error("the revision is as before")
	}
	check(sharedPlace, 0, 0, false)
	check(tenant.Dedicated("a"), none, 30, true)
	check(tenant.Dedicated("t/a"), none, none, true)
}
