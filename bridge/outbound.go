package bridge

import "github.com/weirmq/weir/bridge/fifo"

// outbound is the window of QoS 1 deliveries that the client has not acknowledged. A packet identifier is the
// index of its slot plus one; free slots form a FIFO, so that an identifier rests as long as possible before it is
// used again, and taking one costs the same however many are in use.
type outbound struct {
	limit int // deliveries at a time, 1 to 65,535; may shrink below used
	used  int
	slots []delivered
	free  fifo.Queue[uint16] // identifiers
}

// restingIDs is how many identifiers rest before the first is used again, as long as the limit allows it.
const restingIDs = 16

// delivered is one delivery that waits for its PUBACK.
type delivered struct {
	cursor   *cursor // nil where the slot is free
	sequence uint64
}

func (o *outbound) full() bool { return o.used >= o.limit }

// add takes a packet identifier for a delivery. The window must not be full.
func (o *outbound) add(c *cursor, sequence uint64) (packetID uint16) {
	if len(o.slots) >= o.limit || o.free.Len() > restingIDs {
		packetID = o.free.Pop()
	} else {
		o.slots = append(o.slots, delivered{})
		packetID = uint16(len(o.slots))
	}
	o.slots[packetID-1] = delivered{c, sequence}
	o.used++
	return packetID
}

// remove gives a packet identifier back. ok is false where it was not in use.
func (o *outbound) remove(packetID uint16) (d delivered, ok bool) {
	i := int(packetID) - 1
	if i < 0 || i >= len(o.slots) || o.slots[i].cursor == nil {
		return delivered{}, false
	}
	d, o.slots[i] = o.slots[i], delivered{}
	o.free.Push(packetID)
	o.used--
	return d, true
}
