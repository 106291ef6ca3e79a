package fanout

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/weirmq/weir/jetstream/reader"
)

// What one source keeps at most. The reader stops by itself at 256 messages unacknowledged, sooner where they are large; maxHeld counts where messages
// that expired in the stream do not hold it back. Bytes are bounded for all sources together, by the hub's budget:
// a bound for each would have the reader stop and start over with every few large messages.
const (
	maxHeld        = 512
	historyEntries = 256
	historyBytes   = 1 << 20
)

// source is one reader and the ring that it fills: the feed's shared one, or that of a detached subscription. It is
// the reader's sink.
type source struct {
	// Immutable.
	feed    *feed
	owner   *Subscription // nil: the shared one
	filters []string      // of the owner at a place of many topics, for which the reader was opened; nil: all topics

	buffered atomic.Int64 // ring.bytes, for those who do not hold the lock

	// Guarded by feed.mu.
	ring   ring
	passed uint64           // stream sequence up to which the reader has delivered everything
	aside  map[uint64]entry // of the ring, by index, see putAside
	reader reader.Attached  // nil until it is open
	opened reader.Attached  // of a source of a single subscription: what becomes the reader
	// paused: a delivery was refused because the source is full. starved: because the hub's budget is used up, or
	// messages were discarded for that reason.
	paused, starved bool
	discards        uint64 // calls of the reader's Discard
	window          uint64 // messages that the reader delivers without acknowledgement
	large           int64  // bytes of the largest message of late, for what refilling costs
	retired         bool   // it delivers nothing any more and only holds what is not acknowledged, up to sequence until
	dropped         bool   // it is being closed
	until           uint64
	// Of a source of a detached subscription: when it was detached; what index in the shared ring it joined that before; and whether
	// what it had before is sorted out, see settle.
	since   time.Time
	joined  uint64
	settled bool
}

// Deliver takes the next message from the reader.
func (s *source) Deliver(d reader.Delivery) bool {
	f := s.feed
	f.mu.Lock()
	if d.Discards != s.discards {
		f.mu.Unlock()
		return false // it was on its way when those before it were cut off: it comes again behind them
	}
	if s.retired && !s.dropped {
		s.deliverRetired(d)
		f.mu.Unlock()
		return true
	}
	if s.lapse(&d) {
		f.mu.Unlock()
		return true
	}
	if !s.room() {
		f.mu.Unlock()
		return false
	}
	s.large = max(s.large-s.large/64, int64(d.Size))
	s.passed = d.Sequence
	if d.Pending == 0 && f.isFormer() {
		s.passed = f.subs[0].until // nothing follows
	}
	if s.owner != nil {
		wake := s.deliverOwn(d)
		f.mu.Unlock()
		if wake {
			s.owner.waker.Wake()
		}
		return true
	}
	if f.matcher != nil {
		s.deliverMany(d)
	} else {
		s.deliverAll(d)
	}
	f.mu.Unlock()
	for i, sub := range f.waking {
		sub.waker.Wake()
		f.waking[i] = nil
	}
	return true
}

// deliverAll takes the next message of a topic, which all want, and sets the feed's waking. The caller holds feed.mu.
func (s *source) deliverAll(d reader.Delivery) {
	f := s.feed
	f.admit(&d)
	e := s.ring.push(d, f.holders)
	s.changed()
	if e.waits == 0 {
		s.settleEntry(e)
	}
	s.forget()
	s.measure()
	f.noteAll(&d)
	if f.behind() {
		f.shed()
	}
	f.idle, f.waking = f.waking[:0], f.idle
	for _, sub := range f.waking {
		sub.resting = -1
	}
}

// Passed notes how far the reader has come without a delivery.
func (s *source) Passed(sequence, discards uint64) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.dropped || s.paused || s.starved || discards != s.discards {
		return
	}
	s.passed = max(s.passed, sequence)
	if s.owner != nil {
		s.owner.passBounds()
		return
	}
	for _, sub := range slices.Clone(f.subs) {
		sub.passBounds()
	}
}

// Lost counts what the reader says is gone; the reader has counted and logged it.
func (s *source) Lost(uint64) {}

// room tells whether the next message fits. The caller holds feed.mu.
func (s *source) room() bool {
	if s.feed.transient || s.idles() {
		if s.feed.hub.overfull() {
			s.shrink() // there is no later
		}
		return !s.dropped
	}
	if s.ring.span() >= s.limit() && s.reader != nil && (s.owner == nil || s.settled) {
		s.putAside()
	}
	switch r := &s.ring; {
	case s.dropped || s.starved || s.paused:
		return false
	case r.span() >= s.limit():
		s.paused = true
		return false
	case s.feed.hub.overfull() && r.next > r.readable:
		s.starve()
		return false
	}
	return true
}

// idles tells whether this is a shared source that nobody holds anything in. It goes on, at the cost of those who do not keep up: what it left in
// the stream would hold the backlog.
func (s *source) idles() bool {
	return s.owner == nil && s.feed.holders == 0 && s.reader != nil && !s.starved && !s.paused
}

// attached gives the source its reader and acknowledges what needed none until now. The caller holds feed.mu.
func (s *source) attached(r reader.Attached) {
	s.reader = r
	s.measure()
	for i := s.ring.first; i < s.ring.next; i++ {
		if e := s.ring.at(i); e.waits == 0 {
			s.settleEntry(e)
		}
	}
	s.forget()
	s.refill()
	s.hungry()
}

// settleEntry acknowledges an entry that nobody waits for any more. The caller holds feed.mu.
func (s *source) settleEntry(e *entry) {
	if e.acked || s.reader == nil {
		return
	}
	e.acked = true
	s.acknowledge(e.d)
	s.ring.advance()
}

// acknowledge tells the reader that a message is done with. The caller holds feed.mu, and the reader is open.
func (s *source) acknowledge(d reader.Delivery) {
	if !s.feed.transient && !s.feed.keeping {
		s.reader.Ack(d)
	}
}

// limit is how many entries the ring may have from the oldest one that somebody waits for.
func (s *source) limit() uint64 {
	switch {
	case s.feed.matcher == nil:
		return maxHeld
	case s.owner == nil:
		return manyHeld
	default:
		return manyHeldByOne
	}
}

// history is how many entries and bytes it may have before that.
func (s *source) history() (entries uint64, bytes int64) {
	switch {
	case s.owner != nil:
		return 0, 0
	case s.feed.matcher != nil:
		return manyHistoryEntries, manyHistoryBytes
	default:
		return historyEntries, historyBytes
	}
}

// measure notes how much the reader delivers without acknowledgement: it depends on the size of the messages.
func (s *source) measure() {
	if s.owner == nil && s.reader != nil && !s.feed.transient {
		s.window = min(uint64(s.reader.Window()), s.limit())
	}
}

// sink is what its reader delivers to.
func (s *source) sink() reader.Sink {
	if s.feed.matcher != nil {
		return chooser{s}
	}
	return s
}

// release takes one subscription's hold from an entry. The caller holds feed.mu.
func (s *source) release(index uint64) {
	if index < s.ring.first {
		s.releaseAside(index)
		return
	}
	e := s.ring.at(index)
	e.waits--
	if e.waits > 0 {
		return
	}
	if e.acked {
		s.ring.advance() // read once more from the history
	}
	s.settleEntry(e)
	s.forget()
	s.refill()
	if s.owner == nil && s.feed.matcher == nil && !s.feed.behind() {
		s.feed.calm = true
	}
}

// putAside takes what everybody has taken, and somebody has not acknowledged, out of the ring, so that one message without
// acknowledgement does not stop those after it. The server's limit bounds how many there can be.
func (s *source) putAside() {
	r := &s.ring
	low, _ := s.cursors()
	if low <= r.floor {
		return
	}
	r.strip(low - 1)
	for r.first < low {
		if e := r.at(r.first); e.waits > 0 || !e.acked {
			if s.aside == nil {
				s.aside = make(map[uint64]entry)
			}
			s.aside[r.first] = *e
		}
		r.evict()
	}
	r.floor = max(r.floor, r.first)
	r.advance()
	s.changed()
}

// releaseAside is release for what was put aside.
func (s *source) releaseAside(index uint64) {
	e := s.aside[index]
	if e.waits--; e.waits > 0 {
		s.aside[index] = e
		return
	}
	delete(s.aside, index)
	if !e.acked {
		s.acknowledge(e.d)
	}
}

// forget cuts the history to its bounds. The caller holds feed.mu.
func (s *source) forget() {
	r := &s.ring
	entries, bytes := s.history()
	for r.first < r.floor && (r.floor-r.first > entries || r.bytes-r.held > bytes) {
		r.evict()
	}
	s.changed()
}

// refill lets the reader go on where there is room again. The caller holds feed.mu.
func (s *source) refill() {
	if s.paused && s.ring.span() <= s.limit()/2 && s.reader != nil {
		s.paused = false
		if !s.starved {
			s.reader.Resume()
		}
	}
}

// changed brings the hub's account up to date. The caller holds feed.mu.
func (s *source) changed() {
	if was := s.buffered.Swap(s.ring.bytes); was != s.ring.bytes {
		s.feed.hub.account(s.ring.bytes - was)
	}
}

// clear gives everything back when the reader is closed. The caller holds feed.mu.
func (s *source) clear() {
	s.ring, s.aside, s.dropped = ring{}, nil, true
	s.feedNoMore()
	s.changed()
}
