package load

import (
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
)

func TestPayload(t *testing.T) {
	p := make(payload, PayloadSize)
	p.set(3*time.Second, 1<<40, 9)
	if p.stamp() != 3*time.Second || p.sequence() != 1<<40 || p.publisher() != 9 {
		t.Errorf("got %v, %d, %d", p.stamp(), p.sequence(), p.publisher())
	}
}

func TestIntakeChecksOrder(t *testing.T) {
	in := newIntake(2, semaphore.NewWeighted(Undelivered), false)
	for _, step := range []struct {
		publisher        int
		sequence         uint64
		fresh            bool
		late, duplicates int64
	}{
		{0, 0, true, 0, 0},
		{1, 0, true, 0, 0},
		{0, 1, true, 0, 0},
		{0, 1, false, 0, 1}, // again
		{0, 4, true, 0, 1},  // overtakes 2 and 3
		{0, 3, true, 1, 1},
		{0, 3, false, 1, 2}, // again, too
		{0, 5, true, 1, 2},
		{1, 1, true, 1, 2},
	} {
		p := make(payload, PayloadSize)
		p.set(0, step.sequence, step.publisher)
		fresh, err := in.check(p)
		if err != nil || fresh != step.fresh || in.late != step.late || in.duplicates != step.duplicates {
			t.Errorf("%+v: got %v, %d late, %d duplicates, %v", step, fresh, in.late, in.duplicates, err)
		}
	}
}

func TestIntakeRefusesWhatNobodySent(t *testing.T) {
	in := newIntake(1, semaphore.NewWeighted(Undelivered), false)
	stranger := make(payload, PayloadSize)
	stranger.set(0, 0, 1)
	future := make(payload, PayloadSize)
	future.set(0, maxOvertaken+1, 0)
	for name, p := range map[string]payload{"short": make(payload, 3), "publisher": stranger, "sequence": future} {
		if _, err := in.check(p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
