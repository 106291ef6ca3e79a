package reader

import (
	"cmp"
	"slices"
)

// position is how far a reader has come. It is guarded by the reader's mu.
type position struct {
	stream  string // name
	last    uint64 // consumer sequence of the last delivery accepted, 0 after a reset
	high    uint64 // highest stream sequence handed to the sink or settled otherwise
	origin  uint64 // stream sequence before the first that the consumer is there for
	pending uint64 // messages for the consumer above high, as it last told
	// syncing: a reset was asked for; everything is dropped until consumer sequence 1.
	syncing bool
	// paused: the sink has no room; everything is dropped until Resume.
	paused  bool
	resumes uint64 // calls of Resume so far
	// discards counts calls of Discard, and tells what comes after them from what was on its way to the sink before.
	discards uint64
	// open[head:] holds the sequences handed to the sink, ascending; the leading one is not acknowledged yet.
	open []slot
	head int
	// acked counts those among them that are acknowledged; they go when they are many.
	acked int
	// mending: the keeper is at work, and what the consumer tells of itself does not count.
	mending bool
	// adrift: the consumer is being made again, and its deliveries do not count either.
	adrift bool
}

// compactAt is how many acknowledged slots may lie among the open ones.
const compactAt = 128

type slot struct {
	sequence uint64
	acked    bool
}

// hand notes that a sequence goes to the sink.
func (p *position) hand(sequence uint64) {
	p.high = sequence
	if len(p.open) == cap(p.open) && p.head > len(p.open)/2 {
		p.open = p.open[:copy(p.open, p.open[p.head:])]
		p.head = 0
	}
	p.open = append(p.open, slot{sequence: sequence})
}

// settle notes the acknowledgement by the sink. It reports false for what is not open: a message from before a
// Discard or of a stream that was replaced.
func (p *position) settle(sequence uint64) bool {
	i, ok := p.find(sequence)
	if !ok || p.open[i].acked {
		return false
	}
	p.open[i].acked = true
	if p.acked++; p.acked >= compactAt && p.acked > (len(p.open)-p.head)/2 {
		p.open = append(p.open[:0], slices.DeleteFunc(p.open[p.head:], func(s slot) bool { return s.acked })...)
		p.head, p.acked = 0, 0
		return true
	}
	for p.head < len(p.open) && p.open[p.head].acked {
		p.head++
		p.acked--
	}
	if p.head == len(p.open) {
		p.open, p.head = p.open[:0], 0
	}
	return true
}

// isOpen tells whether the sink still has to acknowledge the sequence.
func (p *position) isOpen(sequence uint64) bool {
	i, ok := p.find(sequence)
	return ok && !p.open[i].acked
}

// forget takes back everything above after.
func (p *position) forget(after uint64) {
	i, ok := p.find(after)
	if ok {
		i++
	}
	for _, s := range p.open[i:] {
		if s.acked {
			p.acked--
		} else {
			p.pending++
		}
	}
	p.open = p.open[:i]
	p.high = max(min(p.high, after), p.origin)
}

// next is where a consumer made anew has to start: at the first sequence not acknowledged by the sink.
func (p *position) next() uint64 {
	if p.head < len(p.open) {
		return p.open[p.head].sequence
	}
	return p.high + 1
}

// unsettled counts what the sink still has to acknowledge.
func (p *position) unsettled() int { return len(p.open) - p.head - p.acked }

// replaced starts over on another stream.
func (p *position) replaced(stream string) {
	p.stream, p.high, p.origin, p.open, p.head, p.acked = stream, 0, 0, nil, 0, 0
}

// find returns the index of the sequence in open, or where it would stand.
func (p *position) find(sequence uint64) (int, bool) {
	// In the usual order it is the first.
	if p.head < len(p.open) && p.open[p.head].sequence == sequence {
		return p.head, true
	}
	i, ok := slices.BinarySearchFunc(p.open[p.head:], sequence, func(s slot, q uint64) int { return cmp.Compare(s.sequence, q) })
	return p.head + i, ok
}
