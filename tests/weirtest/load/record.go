package load

import (
	"maps"
	"slices"
	"sync"
	"testing"
)

// Record is what one receiver got, by topic. It is safe for concurrent use.
type Record struct {
	who string

	mu     sync.Mutex
	topics map[string]*received
}

// NewRecord returns an empty one, of a receiver that is called so.
func NewRecord(who string) *Record { return &Record{who: who, topics: map[string]*received{}} }

// Add notes that a number has come on a topic.
func (r *Record) Add(topic string, n int64) { r.of(topic).add(n) }

// Check waits until everything has come that was acknowledged, or for Patience, and compares.
func (r *Record) Check(t testing.TB, acknowledged map[string][]int64) {
	t.Helper()
	for topic, want := range acknowledged {
		r.of(topic).await(want)
		r.of(topic).check(t, topic, want)
	}
	tell(t, r.who, r.all())
}

// Missing is how many of the numbers have not come, in whatever order.
func (r *Record) Missing(acknowledged map[string][]int64) (n int) {
	for topic, want := range acknowledged {
		n += len(r.of(topic).missing(want))
	}
	return n
}

// Last is the highest number that has come on the topic; -1: none.
func (r *Record) Last(topic string) int64 { return r.of(topic).last() }

func (r *Record) of(topic string) *received {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.topics[topic]
	if of == nil {
		of = newReceived(r.who)
		r.topics[topic] = of
	}
	return of
}

func (r *Record) all() []*received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.topics))
}
