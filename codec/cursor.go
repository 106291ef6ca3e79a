package codec

import "encoding/binary"

// maxVarint is the largest variable byte integer, and so the largest remaining length.
const maxVarint = 1<<28 - 1

// cursor reads a body from front to back. After its first failure it stays failed and every read returns zero.
type cursor struct {
	b    []byte
	fail *rule
}

// refuse fails by rule r, if there is one. The first failure stays.
func (c *cursor) refuse(r *rule) {
	if r == nil {
		return
	}
	if c.fail == nil {
		c.fail = r
	}
	c.b = nil
}

func (c *cursor) uint8() byte {
	if len(c.b) < 1 {
		c.refuse(errShort)
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

func (c *cursor) uint16() uint16 {
	if len(c.b) < 2 {
		c.refuse(errShort)
		return 0
	}
	x := binary.BigEndian.Uint16(c.b)
	c.b = c.b[2:]
	return x
}

func (c *cursor) uint32() uint32 {
	if len(c.b) < 4 {
		c.refuse(errShort)
		return 0
	}
	x := binary.BigEndian.Uint32(c.b)
	c.b = c.b[4:]
	return x
}

// varint reads a variable byte integer.
func (c *cursor) varint() int {
	x, n, bad := varint(c.b)
	if n == 0 {
		if bad == nil {
			bad = errShort
		}
		c.refuse(bad)
		return 0
	}
	c.b = c.b[n:]
	return x
}

// binary reads two bytes of length and as many bytes; the slice aliases the body.
func (c *cursor) binary() []byte {
	n := int(c.uint16())
	if n > len(c.b) {
		c.refuse(errShort)
	}
	if c.fail != nil {
		return nil
	}
	x := c.b[:n:n]
	c.b = c.b[n:]
	return x
}

// text is binary that has to be a UTF-8 string.
func (c *cursor) text() []byte {
	x := c.binary()
	c.refuse(checkText(x))
	return x
}

// packetID reads a packet identifier; 0 is refused by rule bad.
func (c *cursor) packetID(bad *rule) uint16 {
	id := c.uint16()
	if id == 0 {
		c.refuse(bad)
	}
	return id
}

// end says why the body is refused, bytes that nobody has read included, or returns nil.
func (c *cursor) end(v Version) error {
	if len(c.b) > 0 {
		c.refuse(errTrailing)
	}
	return c.fail.in(v)
}

// varint returns the variable byte integer at the front of b and its size in bytes. The size is 0 where b ends too
// early or, then with a rule, where the integer is not one.
func varint(b []byte) (x, size int, bad *rule) {
	for i, one := range b {
		x |= int(one&0x7F) << (7 * i)
		if one < 0x80 {
			if one == 0 && i > 0 {
				return 0, 0, errVarintPadded
			}
			return x, i + 1, nil
		}
		if i == 3 {
			return 0, 0, errVarint
		}
	}
	return 0, 0, nil
}
