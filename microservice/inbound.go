package microservice

import (
	"time"

	"github.com/weirmq/weir/bridge/fifo"

	"github.com/weirmq/weir/reason"
)

// What one socket may have on its way to the store.
const (
	maxUnanswered   = 1024
	maxInboundBytes = 4 << 20
	messageOverhead = 256              // bytes that a publish occupies besides its frame
	unknownPatience = 10 * time.Second // how long the outcome of a publish may be unknown
)

// inbound is the FIFO of publishes on their way to the store. Their answers come in any order; what the producer is told leaves
// from the head. A slot's token is its number since the socket was opened.
type inbound struct {
	slots   fifo.Queue[slot]
	first   uint64 // token of the head
	bytes   int    // of slots that wait for their answer
	waiting int    // slots that wait for their answer

	// halted says that nothing more is published on this socket: the outcome of a publish is unknown.
	halted bool
}

// slot is one frame of a producer.
type slot struct {
	seq      uint64
	numbered bool // the frame had a seq
	sent     time.Time
	size     int
	answered bool
	refusal  *reason.Error // nil where stored
}

// push adds a publish and returns its token.
func (in *inbound) push(seq uint64, size int, now time.Time) uint64 {
	in.bytes += size
	in.waiting++
	in.slots.Push(slot{seq: seq, numbered: true, size: size, sent: now})
	return in.first + uint64(in.slots.Len()-1)
}

// pushRefused adds a frame that is refused already, so that its answer keeps its place.
func (in *inbound) pushRefused(seq uint64, numbered bool, refusal *reason.Error) {
	in.slots.Push(slot{seq: seq, numbered: numbered, answered: true, refusal: refusal})
}

// answer notes the answer to one publish. refusal is nil where it is stored.
func (in *inbound) answer(token uint64, refusal *reason.Error) {
	s := in.settle(token)
	s.answered, s.refusal = true, refusal
}

// abandon notes that the outcome of one publish will not be known, which leaves its slot in the FIFO for ever. It returns when
// it was sent.
func (in *inbound) abandon(token uint64) time.Time {
	in.halted = true
	return in.settle(token).sent
}

func (in *inbound) settle(token uint64) *slot {
	s := in.slots.At(int(token - in.first))
	in.bytes -= s.size
	in.waiting--
	return s
}

// head removes and returns the slot at the head where it is answered.
func (in *inbound) head() (s slot, ok bool) {
	if in.slots.Len() == 0 || !in.slots.At(0).answered {
		return slot{}, false
	}
	in.first++
	return in.slots.Pop(), true
}

// room tells whether one more frame may come in now. Where it may not, reading waits.
func (in *inbound) room() bool {
	return !in.halted && in.bytes < maxInboundBytes && in.slots.Len() < maxUnanswered
}
