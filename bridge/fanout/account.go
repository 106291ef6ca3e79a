package fanout

import (
	"slices"
	"sort"
)

// account is what a subscription holds, by stream sequence. It costs 16 bytes a message.
type account struct {
	items    []held // items[head:], ascending; the leading one is not gone
	head     int
	gone     int // of them; they go when they are many
	messages int64
	bytes    int64
	newest   uint64 // sequence ever added
}

// held is one message.
type held struct {
	sequence uint64
	size     int32 // bytes; goneSize: it is not held any more
}

const (
	goneSize = -1
	// accountKept is the largest list that an empty account keeps.
	accountKept = 256
)

// add puts a message behind the others. One that is not newer than all before is there, or was.
func (a *account) add(sequence uint64, size int) {
	if sequence <= a.newest {
		return
	}
	a.newest = sequence
	if len(a.items) == cap(a.items) && a.head > len(a.items)/2 {
		a.items = a.items[:copy(a.items, a.items[a.head:])]
		a.head = 0
	}
	a.items = append(a.items, held{sequence: sequence, size: int32(size)})
	a.messages++
	a.bytes += int64(size)
}

// find returns the index of the first message that is not before a sequence.
func (a *account) find(sequence uint64) int {
	if a.head == len(a.items) || a.items[a.head].sequence >= sequence {
		return a.head
	}
	return a.head + sort.Search(len(a.items)-a.head, func(i int) bool { return a.items[a.head+i].sequence >= sequence })
}

// remove takes out the messages from a sequence up to but not including another.
func (a *account) remove(from, to uint64) {
	for i := a.find(from); i < len(a.items) && a.items[i].sequence < to; i++ {
		a.takeOut(i)
	}
	a.tidy()
}

// oldest takes the oldest message out and returns its sequence; there is one.
func (a *account) oldest() (sequence uint64) {
	sequence = a.items[a.head].sequence
	a.takeOut(a.head)
	a.tidy()
	return sequence
}

func (a *account) takeOut(i int) {
	x := &a.items[i]
	if x.size == goneSize {
		return
	}
	a.messages--
	a.bytes -= int64(x.size)
	x.size = goneSize
	a.gone++
}

func (a *account) tidy() {
	for a.head < len(a.items) && a.items[a.head].size == goneSize {
		a.head++
		a.gone--
	}
	switch {
	case a.head < len(a.items):
	case cap(a.items) > accountKept:
		a.items, a.head = nil, 0
	default:
		a.items, a.head = a.items[:0], 0
	}
	if a.gone >= compactAt && a.gone > (len(a.items)-a.head)/2 {
		open := slices.DeleteFunc(a.items[a.head:], func(x held) bool { return x.size == goneSize })
		a.items, a.head, a.gone = a.items[:copy(a.items, open)], 0, 0
	}
}

// join appends another account, all of whose messages are newer.
func (a *account) join(b account) {
	for _, x := range b.items[b.head:] {
		if x.size != goneSize {
			a.add(x.sequence, int(x.size))
		}
	}
	a.newest = max(a.newest, b.newest)
}
