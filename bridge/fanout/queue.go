package fanout

// queue is what the shared ring of a place of many topics has for one subscription, ascending. It is a ring that doubles when it is
// full; whoever pushes bounds its length.
type queue struct {
	items      []item // length 0 or a power of two
	head, size int
}

// item is one entry of the ring.
type item struct {
	index    uint64
	sequence uint64 // in the stream: known when the entry is gone
}

// queueKept is the largest ring that an empty queue keeps.
const queueKept = 256

func (q *queue) len() int { return q.size }

// at returns the item i places behind the oldest one.
func (q *queue) at(i int) item { return q.items[(q.head+i)&(len(q.items)-1)] }

func (q *queue) push(x item) {
	if q.size == len(q.items) {
		q.grow()
	}
	q.items[(q.head+q.size)&(len(q.items)-1)] = x
	q.size++
}

// pop removes the oldest item. There is one.
func (q *queue) pop() item {
	x := q.items[q.head]
	q.head = (q.head + 1) & (len(q.items) - 1)
	if q.size--; q.size == 0 && len(q.items) > queueKept {
		*q = queue{}
	}
	return x
}

// cut removes the newest item.
func (q *queue) cut() { q.size-- }

// keep removes every item that f reports false for.
func (q *queue) keep(f func(item) bool) {
	n := 0
	for i := range q.size {
		if x := q.at(i); f(x) {
			q.items[(q.head+n)&(len(q.items)-1)] = x
			n++
		}
	}
	q.size = n
}

func (q *queue) grow() {
	items := make([]item, max(8, 2*len(q.items)))
	n := copy(items, q.items[q.head:])
	copy(items[n:], q.items[:q.head])
	q.items, q.head = items, 0
}
