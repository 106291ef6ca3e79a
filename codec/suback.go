package codec

// Suback is a SUBACK: one code a filter.
type Suback struct {
	PacketID       uint16
	Codes          []ReasonCode // in 3.x the granted QoS or 0x80
	ReasonString   string
	UserProperties []UserProperty
}

var errSubackCodes = newRule(ProtocolError, "a SUBACK without a code", "MQTT-3.8.4-5", "MQTT-3.8.4-6")

// Type is SUBACK.
func (*Suback) Type() Type { return SUBACK }

// Decode reads the packet.
func (s *Suback) Decode(h Header, body []byte, v Version) error {
	*s = Suback{}
	if bad := checkHeader(h, SUBACK, v, 0, errFlags); bad != nil {
		return bad.in(v)
	}
	in := cursor{b: body}
	s.PacketID = in.packetID(errSubackID)
	if v == V5 {
		s.ReasonString, s.UserProperties = in.reason()
	}
	s.Codes = in.codes(SUBACK, v, errSubackCodes)
	return in.end(v)
}

// codes reads the rest of the body as the codes of a packet of type t; none is refused by rule none.
func (c *cursor) codes(t Type, v Version, none *rule) []ReasonCode {
	if len(c.b) == 0 {
		c.refuse(none)
		return nil
	}
	codes := make([]ReasonCode, len(c.b))
	for i, b := range c.b {
		codes[i] = ReasonCode(b)
		if bad := checkCode(t, codes[i], v); bad != nil {
			c.refuse(bad)
			return nil
		}
	}
	c.b = nil
	return codes
}

// Append appends the packet. 3.x has no properties and no other failure than 0x80.
func (s *Suback) Append(dst []byte, v Version) ([]byte, error) {
	w := begin(dst, SUBACK, 0)
	w.packetID(s.PacketID, errSubackID)
	w.reasonBlock(s.ReasonString, s.UserProperties, v)
	w.codes(SUBACK, s.Codes, v, errSubackCodes)
	return w.end(dst, v)
}

// reasonBlock appends the two properties of acknowledgements with their length; 3.x must not have any.
func (w *writer) reasonBlock(text string, users []UserProperty, v Version) {
	if v != V5 {
		if text != "" || len(users) > 0 {
			w.refuse(errNotInVersion)
		}
		return
	}
	at := w.open()
	w.reason(text, users)
	w.close(at)
}

// codes appends the codes of a packet of type t; none is refused by rule none.
func (w *writer) codes(t Type, codes []ReasonCode, v Version, none *rule) {
	if len(codes) == 0 {
		w.refuse(none)
	}
	for _, c := range codes {
		w.refuse(checkCode(t, c, v))
		w.uint8(byte(c))
	}
}
