package codec

import "encoding/binary"

// writer appends one packet. After its first failure what it appends no longer matters.
type writer struct {
	b    []byte
	fail *rule
}

// begin starts a packet behind dst. It reserves one byte for the remaining length; end makes room for more.
func begin(dst []byte, t Type, flags byte) writer {
	return writer{b: append(dst, byte(t)<<4|flags, 0)}
}

// end closes the packet that begin started behind dst and returns it, or dst and the failure in version v.
func (w *writer) end(dst []byte, v Version) ([]byte, error) {
	w.close(len(dst) + 1)
	if w.fail != nil {
		return dst, w.fail.in(v)
	}
	return w.b, nil
}

// refuse fails by rule r, if there is one. The first failure stays.
func (w *writer) refuse(r *rule) {
	if w.fail == nil {
		w.fail = r
	}
}

func (w *writer) uint8(x byte)    { w.b = append(w.b, x) }
func (w *writer) uint16(x uint16) { w.b = binary.BigEndian.AppendUint16(w.b, x) }
func (w *writer) uint32(x uint32) { w.b = binary.BigEndian.AppendUint32(w.b, x) }

func (w *writer) bool(x bool) {
	if x {
		w.uint8(1)
	} else {
		w.uint8(0)
	}
}

func (w *writer) binary(x []byte) {
	if len(x) > maxField {
		w.refuse(errTooLong)
		return
	}
	w.uint16(uint16(len(x)))
	w.b = append(w.b, x...)
}

func (w *writer) text(s string) {
	if len(s) > maxField {
		w.refuse(errTooLong)
		return
	}
	w.uint16(uint16(len(s)))
	w.b = append(w.b, s...)
	w.refuse(checkText(w.b[len(w.b)-len(s):]))
}

// packetID appends a packet identifier; 0 is refused by rule bad.
func (w *writer) packetID(id uint16, bad *rule) {
	if id == 0 {
		w.refuse(bad)
	}
	w.uint16(id)
}

// open reserves one byte for the length of what follows and returns its place for close.
func (w *writer) open() int {
	w.b = append(w.b, 0)
	return len(w.b) - 1
}

// close writes the length of all that was appended since open as a variable byte integer at that place.
func (w *writer) close(at int) {
	n := len(w.b) - at - 1
	if n > maxVarint {
		w.refuse(errTooLong)
		return
	}
	if size := varintSize(n); size > 1 {
		w.b = append(w.b, 0, 0, 0)[:len(w.b)+size-1]
		copy(w.b[at+size:], w.b[at+1:at+1+n])
	}
	appendVarint(w.b[:at], n)
}

// varintSize is the size in bytes of the variable byte integer x, which is at most maxVarint.
func varintSize(x int) int {
	switch {
	case x < 1<<7:
		return 1
	case x < 1<<14:
		return 2
	case x < 1<<21:
		return 3
	default:
		return 4
	}
}

// appendVarint appends x, which is at most maxVarint, as a variable byte integer.
func appendVarint(dst []byte, x int) []byte {
	for x >= 0x80 {
		dst = append(dst, byte(x)|0x80)
		x >>= 7
	}
	return append(dst, byte(x))
}
