package load

import (
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/tests/weirtest"
)

// received is what one receiver got of one topic.
type received struct {
	who string

	mu   sync.Mutex
	seen map[int64]bool
	list []int64 // in the order of first occurrences
	all  int
}

func newReceived(who string) *received { return &received{who: who, seen: map[int64]bool{}} }

func (r *received) add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all++
	if !r.seen[n] {
		r.seen[n] = true
		r.list = append(r.list, n)
	}
}

// missing are those of the numbers that have not come.
func (r *received) missing(want []int64) (missing []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range want {
		if !r.seen[n] {
			missing = append(missing, n)
		}
	}
	return missing
}

// check compares what has come with the numbers that were acknowledged.
func (r *received) check(t testing.TB, topic string, want []int64) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: nothing was acknowledged on %s", r.who, topic)
		return
	}
	if lost := r.missing(want); len(lost) > 0 {
		t.Errorf("%s: %d of %d acknowledged messages on %s are lost: %v", r.who, len(lost), len(want), topic, lost[:min(len(lost), 50)])
	}
	r.checkOrder(t, topic)
}

// checkOrder expects that no message came for the first time after a later one.
func (r *received) checkOrder(t testing.TB, topic string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.list); i++ {
		if r.list[i] < r.list[i-1] {
			t.Errorf("%s: on %s %d came after %d", r.who, topic, r.list[i], r.list[i-1])
			break
		}
	}
}

func (r *received) counts() (different, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.list), r.all
}

// tell logs how much has come of all topics.
func tell(t testing.TB, who string, topics []*received) {
	t.Helper()
	var different, all int
	for _, r := range topics {
		d, a := r.counts()
		different, all = different+d, all+a
	}
	t.Logf("%s: %d different messages of %d in all on %d topics", who, different, all, len(topics))
}

// await waits until all numbers have come, or for Patience.
func (r *received) await(want []int64) {
	timer, ticker := time.NewTimer(weirtest.Patience), time.NewTicker(20*time.Millisecond)
	defer timer.Stop()
	defer ticker.Stop()
	for !r.complete(want) {
		select {
		case <-ticker.C:
		case <-timer.C:
			return
		}
	}
}

func (r *received) complete(want []int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(want) - 1; i >= 0; i-- {
		if !r.seen[want[i]] {
			return false
		}
	}
	return true
}

// last is the highest number that has come; -1: none.
func (r *received) last() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	highest := int64(-1)
	for _, n := range r.list {
		highest = max(highest, n)
	}
	return highest
}
