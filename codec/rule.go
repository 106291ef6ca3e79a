package codec

// rule is one reason to refuse bytes or a packet: its Error for 3.1, 3.1.1 and 5.0. The errors exist once, so that a
// refusal costs no allocation, and nobody may change them.
type rule [3]Error

// newRule returns the rule with the statements of 3.1.1 and 5.0. The text of 3.1 has no numbers.
func newRule(code ReasonCode, detail, statement311, statement5 string) *rule {
	return &rule{
		{Code: code, Detail: detail},
		{Code: code, Detail: detail, Statement: statement311},
		{Code: code, Detail: detail, Statement: statement5},
	}
}

// in returns the rule as an error in version v: nil where r is nil.
func (r *rule) in(v Version) error {
	switch {
	case r == nil:
		return nil
	case v == V31:
		return &r[0]
	case v == V311:
		return &r[1]
	default:
		return &r[2]
	}
}

// Rules of the data representations and of the fixed header. Those of one packet stand beside it.
var (
	errShort         = newRule(MalformedPacket, "the packet ends before its last field", "", "")
	errTrailing      = newRule(MalformedPacket, "bytes follow the last field", "", "")
	errUTF8          = newRule(MalformedPacket, "a string is not well-formed UTF-8", "MQTT-1.5.3-1", "MQTT-1.5.4-1")
	errNull          = newRule(MalformedPacket, "a string holds U+0000", "MQTT-1.5.3-2", "MQTT-1.5.4-2")
	errVarint        = newRule(MalformedPacket, "a variable byte integer is longer than four bytes", "", "")
	errVarintPadded  = newRule(MalformedPacket, "a variable byte integer is longer than need be", "", "MQTT-1.5.5-1")
	errPacketType    = newRule(MalformedPacket, "a packet of this type does not exist", "", "")
	errWrongType     = newRule(ProtocolError, "a packet of another type was expected", "", "")
	errFlags         = newRule(MalformedPacket, "reserved flags of the fixed header are not as reserved", "MQTT-2.2.2-2", "MQTT-2.1.3-1")
	errNotInVersion  = newRule(ProtocolError, "this version of the protocol cannot say this", "", "")
	errUnknownLevel  = newRule(UnsupportedProtocolVersion, "the protocol version is not known", "MQTT-3.1.2-2", "MQTT-3.1.2-2")
	errTooLong       = newRule(PacketTooLarge, "a field does not fit its length", "", "")
	errPacketTooLong = newRule(PacketTooLarge, "the packet is larger than the limit", "", "MQTT-3.2.2-15")
)

// errPacketID says that a packet that needs an identifier has 0.
var errPacketID = newRule(ProtocolError, "the packet identifier is 0", "MQTT-2.3.1-1", "MQTT-2.2.1-3")

// errAckID is errPacketID in an acknowledgement of a PUBLISH, errSubackID in the others.
var (
	errAckID    = newRule(ProtocolError, "the packet identifier is 0", "MQTT-2.3.1-6", "MQTT-2.2.1-5")
	errSubackID = newRule(ProtocolError, "the packet identifier is 0", "MQTT-2.3.1-7", "MQTT-2.2.1-6")
)

// checkHeader checks that h is the header of a packet of type t with the flags that are reserved for it.
// MQTT 3.1 does not reserve them.
func checkHeader(h Header, t Type, v Version, flags byte, bad *rule) *rule {
	if h.Type != t {
		return errWrongType
	}
	if h.Flags != flags && v != V31 {
		return bad
	}
	return nil
}
