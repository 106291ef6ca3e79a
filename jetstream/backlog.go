package jetstream

import "github.com/weirmq/weir/jetstream/wire"

const (
	// maxBacklog bounds the bytes of messages that have come for the subscribers of one transient rule and were not delivered yet. One
	// message is taken however large it is.
	maxBacklog = 8 << 20
	// keptBacklog is the largest buffer that is kept when it is empty.
	keptBacklog = 256 << 10
)

// backlog is messages one behind the other, as they came.
type backlog struct {
	bytes  []byte
	frames []frame
}

// frame is the lengths of the parts of one message.
type frame struct{ subject, header, data int }

// frameBytes is what a message takes besides its own bytes.
const frameBytes = 24

// add copies a message. It reports false where there is no room.
func (b *backlog) add(m *wire.Msg) bool {
	if len(b.frames) > 0 && len(b.bytes)+m.Size()+frameBytes*(len(b.frames)+1) > maxBacklog {
		return false
	}
	b.bytes = append(append(append(b.bytes, m.Subject...), m.Header...), m.Data...)
	b.frames = append(b.frames, frame{len(m.Subject), len(m.Header), len(m.Data)})
	return true
}

// each calls f with every message, as long as it reports true. m is valid only until f returns.
func (b *backlog) each(f func(m *wire.Msg, behind int) bool) {
	rest := b.bytes
	cut := func(n int) (part []byte) {
		part, rest = rest[:n:n], rest[n:]
		return part
	}
	var m wire.Msg
	for i, l := range b.frames {
		m = wire.Msg{Subject: cut(l.subject), Header: cut(l.header), Data: cut(l.data)}
		if !f(&m, len(b.frames)-i-1) {
			return
		}
	}
}

// reset empties the backlog and keeps its memory, unless that is much.
func (b *backlog) reset() {
	if cap(b.bytes)+frameBytes*cap(b.frames) > keptBacklog {
		*b = backlog{}
	}
	b.bytes, b.frames = b.bytes[:0], b.frames[:0]
}
