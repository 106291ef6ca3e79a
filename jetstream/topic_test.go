package jetstream

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMessageReachesSubscribersOfBothBridges(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	onA, ra := attach(t, a, "sensors/room 1", "")
	onB, rb := attach(t, b, "sensors/room 1", "")
	var want, gotA, gotB []string
	for i := range 100 {
		payload := numbered(i)
		want = append(want, payload)
		l := a
		if i%2 == 1 {
			l = b
		}
		mustStore(t, l, "sensors/room 1", payload)
	}
	for range want {
		d := onA.next(t)
		gotA = append(gotA, string(d.Payload))
		ra.Ack(d)
		d = onB.next(t)
		gotB = append(gotB, string(d.Payload))
		rb.Ack(d)
	}
	if diff := cmp.Diff(want, gotA); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, gotB); diff != "" {
		t.Error(diff)
	}
	closeReader(t, ra)
	closeReader(t, rb)
}
