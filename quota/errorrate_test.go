package quota_test

import (
	"testing"
	"time"

	"github.com/weirmq/weir/quota"
)

func TestErrorRate(t *testing.T) {
	var r quota.ErrorRate
	start := time.Unix(1_000_000, 0)
	for i := range 10 {
		if !r.Allow(start) {
			t.Fatalf("message %d was suppressed", i+1)
		}
	}
	if !r.Due().IsZero() || r.Suppressed(start.Add(time.Hour)) != 0 {
		t.Fatal("something is suppressed after ten messages")
	}
	for range 5 {
		if r.Allow(start.Add(100 * time.Millisecond)) {
			t.Fatal("the eleventh message within a second was allowed")
		}
	}
	due := start.Add(1100 * time.Millisecond)
	if !r.Due().Equal(due) {
		t.Fatalf("due at %v, want %v", r.Due(), due)
	}
	if n := r.Suppressed(due.Add(-1)); n != 0 {
		t.Fatalf("%d suppressed before it was due", n)
	}
	if !r.Allow(start.Add(time.Second)) {
		t.Fatal("a message was suppressed a second later")
	}
	if n := r.Suppressed(due); n != 5 {
		t.Fatalf("%d suppressed, want 5", n)
	}
	if n := r.Suppressed(due); n != 0 || !r.Due().IsZero() {
		t.Fatalf("%d suppressed were told twice", n)
	}
}

// Under a steady flood no second, wherever it begins, has more than ten messages, and none goes uncounted.
func TestErrorRateInAnySecond(t *testing.T) {
	var r quota.ErrorRate
	var sent []time.Time
	told, total := 0, 0
	start := time.Unix(1_000_000, 0)
	var now time.Time
	for elapsed := time.Duration(0); elapsed < 10*time.Second; elapsed += 7 * time.Millisecond {
		now = start.Add(elapsed)
		told += r.Suppressed(now)
		total++
		if r.Allow(now) {
			sent = append(sent, now)
		}
	}
	for i := range sent[:len(sent)-10] {
		if d := sent[i+10].Sub(sent[i]); d < time.Second {
			t.Fatalf("eleven messages within %v", d)
		}
	}
	told += r.Suppressed(r.Due())
	if len(sent) < 90 || len(sent)+told != total {
		t.Errorf("%d sent and %d told as suppressed of %d", len(sent), told, total)
	}
}
