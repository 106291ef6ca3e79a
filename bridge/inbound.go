package bridge

import (
	"time"

	"github.com/weirmq/weir/bridge/fifo"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// What one connection may have on its way to the store.
const (
	receiveMaximum  = 1024    // QoS 1 publishes that are not acknowledged; announced to MQTT 5 clients
	maxUnansweredQ0 = 1024    // QoS 0 publishes without an answer
	maxInboundBytes = 4 << 20 // topics and payloads without an answer
	maxInboundSlots = receiveMaximum + maxUnansweredQ0
	messageOverhead = 256              // bytes that a publish occupies besides topic and payload
	unknownPatience = 10 * time.Second // how long the outcome of a publish may be unknown
)

// inbound is the FIFO of publishes on their way to the store. Answers come in any order; what the client is
// told leaves from the head. A slot's token is its number since the connection began.
type inbound struct {
	slots fifo.Queue[slot]
	first uint64 // token of the head

	unacked int // QoS 1 slots: at most receiveMaximum
	qos0    int // QoS 0 slots that wait for their answer
	bytes   int // of slots that wait for their answer
	waiting int // slots that wait for their answer

	// halted says that nothing more is published for this connection: an answer was a refusal that closes it, or
	// unknown.
	halted bool
}

// slot is one publish.
type slot struct {
	message  *message.Message // nil once answered
	sent     time.Time
	size     int
	packetID uint16 // 0 at QoS 0
	answered bool
	refusal  *reason.Error // nil where stored
}

// push adds a publish and returns its token.
func (in *inbound) push(m *message.Message, now time.Time) uint64 {
	size := len(m.Topic) + len(m.Payload) + messageOverhead
	if m.QoS > 0 {
		in.unacked++
	} else {
		in.qos0++
	}
	in.bytes += size
	in.waiting++
	in.slots.Push(slot{message: m, sent: now, size: size, packetID: m.PacketID})
	return in.first + uint64(in.slots.Len()-1)
}

// pushRefused adds a QoS 1 publish that is refused already, so that its answer keeps its place.
func (in *inbound) pushRefused(packetID uint16, refusal *reason.Error) {
	in.unacked++
	in.slots.Push(slot{packetID: packetID, answered: true, refusal: refusal})
}

// answer notes the answer to one publish and returns its message. refusal is nil where it is stored.
func (in *inbound) answer(token uint64, refusal *reason.Error) *message.Message {
	s, m := in.settle(token)
	s.refusal, s.answered = refusal, true
	return m
}

// abandon notes that the outcome of one publish will not be known, which leaves its slot in the FIFO for ever. It
// returns its message and when it was sent.
func (in *inbound) abandon(token uint64) (*message.Message, time.Time) {
	s, m := in.settle(token)
	return m, s.sent
}

// qos of a publish that waits for its answer.
func (in *inbound) qos(token uint64) message.QoS {
	return in.slots.At(int(token - in.first)).message.QoS
}

func (in *inbound) settle(token uint64) (*slot, *message.Message) {
	s := in.slots.At(int(token - in.first))
	m := s.message
	s.message = nil
	if m.QoS == 0 {
		in.qos0--
	}
	in.bytes -= s.size
	in.waiting--
	return s, m
}

// head removes and returns the slot at the head where it is answered.
func (in *inbound) head() (s slot, ok bool) {
	if in.slots.Len() == 0 || !in.slots.At(0).answered {
		return slot{}, false
	}
	in.first++
	s = in.slots.Pop()
	if s.packetID != 0 {
		in.unacked--
	}
	return s, true
}

// room tells whether one more publish may come in now. Where it may not, reading waits.
func (in *inbound) room() bool {
	return !in.halted && in.bytes < maxInboundBytes && in.qos0 < maxUnansweredQ0 && in.slots.Len() < maxInboundSlots
}

// settled tells whether no answer is outstanding.
func (in *inbound) settled() bool { return in.waiting == 0 }
