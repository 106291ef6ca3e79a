package codec

// Unsuback is an UNSUBACK. 3.x writes no codes.
type Unsuback struct {
	PacketID       uint16
	Codes          []ReasonCode // one a filter in 5, none in 3.x
	ReasonString   string
	UserProperties []UserProperty
}

var errUnsubackCodes = newRule(ProtocolError, "an UNSUBACK without a code", "", "MQTT-3.11.3-2")

// Type is UNSUBACK.
func (*Unsuback) Type() Type { return UNSUBACK }

// Decode reads the packet.
func (u *Unsuback) Decode(h Header, body []byte, v Version) error {
	*u = Unsuback{}
	if bad := checkHeader(h, UNSUBACK, v, 0, errFlags); bad != nil {
		return bad.in(v)
	}
	in := cursor{b: body}
	u.PacketID = in.packetID(errSubackID)
	if v == V5 {
		u.ReasonString, u.UserProperties = in.reason()
		u.Codes = in.codes(UNSUBACK, v, errUnsubackCodes)
	}
	return in.end(v)
}

// Append appends the packet. In 3.x the codes are left out: an UNSUBACK says only that the packet was processed.
func (u *Unsuback) Append(dst []byte, v Version) ([]byte, error) {
	w := begin(dst, UNSUBACK, 0)
	w.packetID(u.PacketID, errSubackID)
	w.reasonBlock(u.ReasonString, u.UserProperties, v)
	if v == V5 {
		w.codes(UNSUBACK, u.Codes, v, errUnsubackCodes)
	}
	return w.end(dst, v)
}
