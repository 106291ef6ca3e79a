package publisher

import (
	"testing"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		code        int
		description string
		outcome     Outcome
		name        reason.Reason
	}{
		{10077, "maximum bytes exceeded", Refused, reason.BacklogFull},
		{10077, "maximum messages exceeded", Refused, reason.BacklogFull},
		{10077, "maximum messages per subject exceeded", Refused, reason.BacklogFull},
		{10077, "message too large", Refused, reason.MessageTooLarge},
		{10077, "store is closed", NoStream, reason.NATSUnavailable},
		{10077, "something new", Refused, reason.InternalError},
		{10002, "", Refused, reason.StorageFull},
		{10023, "", Refused, reason.StorageFull},
		{10028, "", Refused, reason.StorageFull},
		{10047, "", Refused, reason.StorageFull},
		{10054, "", Refused, reason.MessageTooLarge},
		{10097, "", Refused, reason.MessageTooLarge},
		{10059, "", NoStream, reason.NATSUnavailable},
		{10167, "", Refused, reason.NATSUnavailable},
		{10008, "", Refused, reason.NATSUnavailable},
		{10118, "", Refused, reason.NATSUnavailable},
		{10165, "invalid per-message TTL", Refused, reason.InternalError},
	} {
		r := refusal(c.code, c.description)
		if r.Outcome != c.outcome || nameOf(r.Err) != c.name {
			t.Errorf("%d %q: outcome %d, %v", c.code, c.description, r.Outcome, r.Err)
		}
	}
}

// An answer that comes for an earlier use of a slot finds nobody.
func TestSlotsChangeTheirNumber(t *testing.T) {
	var t1 slots
	s := t1.take()
	s.state = sent
	s.message = &message.Message{}
	first := s.reply
	index, generation, ok := parseReply([]byte(first))
	if !ok || t1.find(index, generation) != s {
		t.Fatalf("%q does not find its slot", first)
	}
	t1.release(s, Result{Outcome: Unknown})
	if t1.find(index, generation) != nil {
		t.Error("a free slot is found")
	}
	again := t1.take()
	again.state = sent
	if again != s || t1.find(index, generation) != nil {
		t.Error("the answer to an earlier use finds the slot")
	}
	if index, generation, ok = parseReply([]byte(again.reply)); !ok || t1.find(index, generation) != again {
		t.Errorf("%q does not find its slot", again.reply)
	}
	again.message = &message.Message{}
	t1.release(again, stored)
	if next := t1.take(); next.reply != again.reply {
		t.Error("an answered slot changed its number")
	}
	if t1.find(1<<31, 0) != nil {
		t.Error("a slot that never was is found")
	}
}
