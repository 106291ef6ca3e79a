package weirtest

import (
	"context"
	"testing"
	"time"
)

// Patience is how long a test waits for what should come at once. It is long because the machine may be busy; that
// something is fast is measured, not guarded by a timeout.
const Patience = 30 * time.Second

const glance = 20 * time.Millisecond

// Until waits until the condition holds and fails the test when it does not within Patience. It is for states that
// announce themselves by no event, such as metrics and streams.
func Until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	UntilWithin(t, Patience, what, condition)
}

// UntilWithin is Until with a patience of its own.
func UntilWithin(t testing.TB, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !poll(ctx, condition) {
		t.Fatalf("not within %s: %s", patience, what)
	}
}

// poll reports whether the condition holds before the context ends.
func poll(ctx context.Context, condition func() bool) bool {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Receive returns the next value of a channel, and fails the test when there is none within Patience.
func Receive[V any](t testing.TB, what string, from <-chan V) V {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case v, ok := <-from:
		if !ok {
			t.Fatalf("%s: the channel is closed", what)
		}
		return v
	case <-timer.C:
		t.Fatalf("%s: nothing in %s", what, Patience)
	}
	panic("unreachable")
}

// Context ends with the test or after Patience.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}
