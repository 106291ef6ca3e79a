package fanout

import "slices"

// window is what a subscription has taken with Next and not acknowledged, in that order. How much that can be is
// the session's limit.
type window struct {
	taken []taken // taken[head:]; the leading one is not acknowledged
	head  int32
	acked int32 // of them; they go when they are many
}

// compactAt is how many acknowledged messages may lie among the others.
const compactAt = 128

type taken struct {
	sequence uint64
	source   *source // that holds it for this subscription
	index    uint64  // in the source's ring, or absent
	acked    bool
}

// absent: the source, made after the message was taken, has not delivered it yet.
const absent = ^uint64(0)

func (w *window) push(t taken) {
	if len(w.taken) == cap(w.taken) && int(w.head) > len(w.taken)/2 {
		w.taken = w.taken[:copy(w.taken, w.taken[w.head:])]
		w.head = 0
	}
	w.taken = append(w.taken, t)
}

// oldest is the first that is not acknowledged, nil where there is none.
func (w *window) oldest() *taken {
	if int(w.head) == len(w.taken) {
		return nil
	}
	return &w.taken[w.head]
}

// find returns what was taken under that sequence and is not acknowledged, or nil. Sequences ascend, unless the
// stream was replaced in between; the search allows for it, at a cost that only such a window has.
func (w *window) find(sequence uint64) *taken {
	open := w.taken[w.head:]
	if len(open) > 0 && open[0].sequence == sequence {
		return &open[0]
	}
	low, high := 0, len(open)
	for low < high {
		mid := (low + high) / 2
		if open[mid].sequence < sequence {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(open) && open[low].sequence == sequence {
		if open[low].acked {
			return nil
		}
		return &open[low]
	}
	if len(open) > 0 && open[0].sequence > open[len(open)-1].sequence {
		for i := range open {
			if open[i].sequence == sequence && !open[i].acked {
				return &open[i]
			}
		}
	}
	return nil
}

// acknowledge marks one that find has returned. The pointer is not valid any more afterwards.
func (w *window) acknowledge(t *taken) {
	t.acked = true
	w.acked++
	for int(w.head) < len(w.taken) && w.taken[w.head].acked {
		w.head++
		w.acked--
	}
	if w.acked >= compactAt && int(w.acked) > (len(w.taken)-int(w.head))/2 {
		open := slices.DeleteFunc(w.taken[w.head:], func(t taken) bool { return t.acked })
		w.taken, w.head, w.acked = w.taken[:copy(w.taken, open)], 0, 0
	}
	if int(w.head) == len(w.taken) {
		w.taken, w.head = w.taken[:0], 0
	}
}

// len is how many are not acknowledged.
func (w *window) len() int { return len(w.taken) - int(w.head) - int(w.acked) }

// open calls f for everything not acknowledged.
func (w *window) open(f func(*taken)) {
	for i := int(w.head); i < len(w.taken); i++ {
		if !w.taken[i].acked {
			f(&w.taken[i])
		}
	}
}
