package bridge

import (
	"sync"

	"github.com/weirmq/weir/codec"
)

const (
	// outboxSoft is how full in bytes an outbox may be for another message to be taken into it.
	outboxSoft = 64 << 10
	// outboxHard is how full in bytes it may be for another packet to be read from the client: answers fill it, too.
	outboxHard = 1 << 20
	// outboxKept is the largest buffer in bytes that is kept for the next batch.
	outboxKept = 2 * outboxSoft
)

// outboxes are buffers that no connection holds: one that has nothing to say needs none.
var outboxes = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// outbox collects packets for the writing goroutine, which takes all of them at once.
type outbox struct {
	// immutable
	version codec.Version
	limit   int // the client's Maximum Packet Size in bytes; 0: none
	sent    *packetCounters

	buf    *[]byte // nil where empty
	closed bool    // nothing is added any more
	err    error   // of the first packet that could not be encoded, which is a fault of Weir
}

// size is how many bytes wait.
func (o *outbox) size() int {
	if o.buf == nil {
		return 0
	}
	return len(*o.buf)
}

// room tells whether answers to another packet of the client fit.
func (o *outbox) room() bool { return o.size() < outboxHard }

// append adds a packet, unless the outbox is closed. It reports false, and adds nothing, where the packet is larger than the client takes.
func (o *outbox) append(p codec.Packet) bool {
	if o.closed {
		return true
	}
	if o.buf == nil {
		o.buf, _ = outboxes.Get().(*[]byte)
	}
	before := len(*o.buf)
	b, err := p.Append(*o.buf, o.version)
	if err != nil {
		if o.err == nil {
			o.err = err
		}
		return true
	}
	*o.buf = b
	if o.limit > 0 && len(b)-before > o.limit {
		*o.buf = b[:before]
		return false
	}
	o.sent.count(p.Type())
	return true
}

// take empties the outbox; recycle gets the buffer back when it has been written. It is nil where there is nothing.
func (o *outbox) take() *[]byte {
	if o.size() == 0 {
		return nil
	}
	b := o.buf
	o.buf = nil
	return b
}

func recycle(b *[]byte) {
	if cap(*b) > outboxKept {
		return
	}
	*b = (*b)[:0]
	outboxes.Put(b)
}
