package jetstream

import (
	"fmt"
	"testing"

	"github.com/weirmq/weir/jetstream/wire"
)

// What goes in comes out as it was, in order.
func TestBacklogKeepsMessages(t *testing.T) {
	var b backlog
	for round := range 3 {
		const count = 100
		for i := range count {
			m := wire.Msg{Subject: fmt.Append(nil, "s", i), Reply: []byte("r"), Data: make([]byte, i)}
			if i%2 == 1 {
				m.Header = []byte("NATS/1.0\r\n\r\n")
			}
			if !b.add(&m) {
				t.Fatalf("round %d: no room for message %d", round, i)
			}
		}
		i := 0
		b.each(func(m *wire.Msg, behind int) bool {
			if string(m.Subject) != fmt.Sprint("s", i) || len(m.Header) != 12*(i%2) || len(m.Data) != i || behind != count-1-i {
				t.Errorf("message %d: %q, %d behind", i, m, behind)
			}
			i++
			return i < count-1
		})
		if i != count-1 {
			t.Errorf("went on to %d", i)
		}
		b.reset()
	}
}

// A backlog is bounded by its bytes, those that frame a message included; only a message that is larger by itself goes beyond.
func TestBacklogIsBounded(t *testing.T) {
	for _, test := range []struct{ size, fit int }{
		{maxBacklog + 1, 1},
		{maxBacklog / 4, 3},
		{0, maxBacklog / (1 + frameBytes)},
	} {
		var b backlog
		m := wire.Msg{Subject: []byte("s"), Data: make([]byte, test.size)}
		for i := range test.fit {
			if !b.add(&m) {
				t.Fatalf("no room for message %d of %d bytes", i, test.size)
			}
		}
		if b.add(&m) {
			t.Errorf("room for more than %d messages of %d bytes", test.fit, test.size)
		}
		b.reset()
		if cap(b.bytes) != 0 || cap(b.frames) != 0 {
			t.Errorf("%d and %d kept", cap(b.bytes), cap(b.frames))
		}
	}
}
