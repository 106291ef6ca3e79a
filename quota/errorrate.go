package quota

import "time"

const (
	// ErrorsPerSecond is how many messages one client gets on its error topic in any second.
	ErrorsPerSecond = 10
	errorWindow     = time.Second
)

// ErrorRate bounds what is written to the error topic of one client: at most ErrorsPerSecond messages in
// any second, and after a second in which some were left out, one message that says how many. The zero
// value is ready. It is not safe for concurrent use.
//
// It remembers when the last messages went out instead of refilling a bucket, because a full bucket and
// its refill together would let twice the rate through in the first second.
type ErrorRate struct {
	// sent is a ring; next is the oldest entry and the one to overwrite.
	sent       [ErrorsPerSecond]time.Time
	next       int
	suppressed int
	due        time.Time // when suppressed is to be told, zero where it is 0
}

// Allow reports whether a message may be written now. If not, the message is counted as suppressed.
func (r *ErrorRate) Allow(now time.Time) bool {
	if oldest := r.sent[r.next]; !oldest.IsZero() && now.Sub(oldest) < errorWindow {
		if r.suppressed == 0 {
			r.due = now.Add(errorWindow)
		}
		r.suppressed++
		return false
	}
	r.sent[r.next] = now
	r.next = (r.next + 1) % len(r.sent)
	return true
}

// Due returns when Suppressed will have something to tell; zero where nothing was suppressed.
func (r *ErrorRate) Due() time.Time { return r.due }

// Suppressed returns how many messages were left out, once that is due, and begins to count anew. The
// message that tells it is not one of the ErrorsPerSecond. Before it is due the result is 0.
func (r *ErrorRate) Suppressed(now time.Time) int {
	if r.suppressed == 0 || now.Before(r.due) {
		return 0
	}
	n := r.suppressed
	r.suppressed, r.due = 0, time.Time{}
	return n
}
