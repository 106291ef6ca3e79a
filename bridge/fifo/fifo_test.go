package fifo

import "testing"

// What goes in comes out in order, however the ring wraps and grows.
func TestQueue(t *testing.T) {
	var q Queue[int]
	next, want := 0, 0
	for round := range 100 {
		for range round {
			q.Push(next)
			next++
		}
		if q.Len() != next-want {
			t.Fatalf("%d elements, want %d", q.Len(), next-want)
		}
		for i := range q.Len() {
			if got := *q.At(i); got != want+i {
				t.Fatalf("element %d is %d, want %d", i, got, want+i)
			}
		}
		for q.Len() > round/2 {
			if got := q.Pop(); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
	}
}
