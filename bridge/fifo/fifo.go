// Package fifo is a queue in a ring.
package fifo

// Queue is a FIFO in a ring that doubles when it is full. Whoever pushes bounds its length. The zero value is empty.
type Queue[T any] struct {
	ring       []T // length 0 or a power of two
	head, size int
}

// Len is the number of elements.
func (q *Queue[T]) Len() int { return q.size }

// Push adds an element behind the others.
func (q *Queue[T]) Push(x T) {
	if q.size == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.size)&(len(q.ring)-1)] = x
	q.size++
}

// Pop removes the oldest element. The queue must not be empty.
func (q *Queue[T]) Pop() T {
	var zero T
	x := q.ring[q.head]
	q.ring[q.head] = zero
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.size--
	return x
}

// At returns the element i places behind the oldest one.
func (q *Queue[T]) At(i int) *T { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *Queue[T]) grow() {
	ring := make([]T, max(8, 2*len(q.ring)))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}
