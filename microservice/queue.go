package microservice

// queue is a FIFO in a ring that doubles when it is full. Whoever pushes bounds its length.
type queue[T any] struct {
	ring       []T // length 0 or a power of two
	head, size int
}

func (q *queue[T]) len() int { return q.size }

func (q *queue[T]) push(x T) {
	if q.size == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.size)&(len(q.ring)-1)] = x
	q.size++
}

// pop removes the oldest element. The queue must not be empty.
func (q *queue[T]) pop() T {
	var zero T
	x := q.ring[q.head]
	q.ring[q.head] = zero
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.size--
	return x
}

// at returns the element i places behind the oldest one.
func (q *queue[T]) at(i int) *T { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue[T]) grow() {
	ring := make([]T, max(8, 2*len(q.ring)))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}
