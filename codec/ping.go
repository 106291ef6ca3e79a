package codec

// Pingreq is a PINGREQ.
type Pingreq struct{}

// Pingresp is a PINGRESP.
type Pingresp struct{}

// Type is PINGREQ.
func (*Pingreq) Type() Type { return PINGREQ }

// Type is PINGRESP.
func (*Pingresp) Type() Type { return PINGRESP }

// Decode checks that there is nothing to read.
func (*Pingreq) Decode(h Header, body []byte, v Version) error {
	return decodePing(h, body, PINGREQ, v)
}

// Decode checks that there is nothing to read.
func (*Pingresp) Decode(h Header, body []byte, v Version) error {
	return decodePing(h, body, PINGRESP, v)
}

func decodePing(h Header, body []byte, t Type, v Version) error {
	if bad := checkHeader(h, t, v, 0, errFlags); bad != nil {
		return bad.in(v)
	}
	in := cursor{b: body}
	return in.end(v)
}

// Append appends the packet.
func (*Pingreq) Append(dst []byte, _ Version) ([]byte, error) {
	return append(dst, byte(PINGREQ)<<4, 0), nil
}

// Append appends the packet.
func (*Pingresp) Append(dst []byte, _ Version) ([]byte, error) {
	return append(dst, byte(PINGRESP)<<4, 0), nil
}
