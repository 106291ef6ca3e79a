package fanout

import (
	"sort"
	"time"

	"github.com/weirmq/weir/jetstream/reader"
)

// entry is one delivery in a ring.
type entry struct {
	d       reader.Delivery
	arrived time.Duration // in the age of the hub; at places of many topics
	waits   int32         // holding subscriptions that have not acknowledged it
	acked   bool          // towards the reader
}

// ring is a window over the stream: the entries from index first up to but not including next, in stream order.
// Entries before floor have nobody waiting and are history. Indexes count from 0 and never repeat.
type ring struct {
	entries            []entry // a power of two, or empty
	first, floor, next uint64
	bytes              int64 // of the messages in the ring
	held               int64 // of those from floor on
	// readable is the first index whose message is still there.
	readable uint64
	// before is the stream sequence in front of readable.
	before uint64
	// stream is the one that the newest entry is of, and all from renewed on.
	stream  string
	renewed uint64
}

func (r *ring) at(i uint64) *entry { return &r.entries[i&uint64(len(r.entries)-1)] }

// push appends a delivery, for which that many subscriptions wait.
func (r *ring) push(d reader.Delivery, waits int32) *entry {
	if r.next-r.first == uint64(len(r.entries)) {
		r.grow()
	}
	if d.Stream != r.stream {
		r.stream, r.renewed = d.Stream, r.next
	}
	e := r.at(r.next)
	*e = entry{d: d, waits: waits}
	r.next++
	r.bytes += int64(d.Size)
	r.held += int64(d.Size)
	r.advance()
	return e
}

func (r *ring) grow() {
	entries := make([]entry, max(8, 2*len(r.entries)))
	for i := r.first; i < r.next; i++ {
		entries[i&uint64(len(entries)-1)] = *r.at(i)
	}
	r.entries = entries
}

// advance moves the floor past everything that nobody waits for.
func (r *ring) advance() {
	for r.floor < r.next {
		e := r.at(r.floor)
		if e.waits > 0 || !e.acked {
			return
		}
		r.held -= int64(e.d.Size)
		r.floor++
	}
}

// retreat moves the floor back to an index that is waited for again.
func (r *ring) retreat(to uint64) {
	for r.floor > to {
		r.floor--
		r.held += int64(r.at(r.floor).d.Size)
	}
}

// strip lets go of the message at an index, with all before it; what remains is what its acknowledgement needs.
func (r *ring) strip(i uint64) {
	for ; r.readable <= i; r.readable++ {
		e := r.at(r.readable)
		r.before = e.d.Sequence
		r.bytes -= int64(e.d.Size)
		if r.readable >= r.floor {
			r.held -= int64(e.d.Size)
		}
		e.d.Message, e.d.Size = nil, 0
	}
}

// evict removes the oldest entry of the history.
func (r *ring) evict() {
	r.strip(r.first)
	*r.at(r.first) = entry{}
	r.first++
}

// cut removes everything from an index on, and returns the stream sequence that is the last one kept.
func (r *ring) cut(from uint64) (after uint64) {
	after = r.before
	if from > r.readable {
		after = r.at(from - 1).d.Sequence
	}
	for r.next > from {
		r.next--
		e := r.at(r.next)
		r.bytes -= int64(e.d.Size)
		if r.next >= r.floor {
			r.held -= int64(e.d.Size)
		}
		*e = entry{}
	}
	r.floor, r.readable = min(r.floor, r.next), min(r.readable, r.next) // what is cut may have been let go before
	return after
}

// newest is the stream sequence of the last entry pushed, 0 where there was none.
func (r *ring) newest() uint64 {
	if r.next > r.readable {
		return r.at(r.next - 1).d.Sequence
	}
	return r.before
}

// span is how many entries lie between the oldest one waited for and the newest.
func (r *ring) span() uint64 { return r.next - r.floor }

// find returns the index of the first entry with a sequence of its present stream above after. It reports false where
// an entry in between may be gone.
func (r *ring) find(after uint64) (index uint64, ok bool) {
	from, before := r.readable, r.before
	if r.renewed > from {
		from, before = r.renewed, 0
	}
	if after < before {
		return 0, false
	}
	n := int(r.next - from)
	return from + uint64(sort.Search(n, func(i int) bool { return r.at(from+uint64(i)).d.Sequence > after })), true
}
