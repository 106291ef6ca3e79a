package codec

// Ack is what PUBACK, PUBREC, PUBREL and PUBCOMP have in common: Kind says which one it is.
type Ack struct {
	Kind           Type
	PacketID       uint16
	Dup            bool       // PUBREL of 3.1 only
	Code           ReasonCode // always Success in 3.x
	ReasonString   string
	UserProperties []UserProperty
}

// flagsQoS1 is what is reserved for PUBREL, SUBSCRIBE and UNSUBSCRIBE: the QoS 1 they had in 3.1.
const flagsQoS1 = 1 << shiftQoS

var errPubrelFlags = newRule(MalformedPacket, "the flags of a PUBREL are not 0010", "MQTT-3.6.1-1", "MQTT-3.6.1-1")

// Type is Kind.
func (a *Ack) Type() Type { return a.Kind }

// Decode reads a packet of whichever of the four types the header names.
func (a *Ack) Decode(h Header, body []byte, v Version) error {
	*a = Ack{Kind: h.Type}
	if !a.isAck() {
		return errWrongType.in(v)
	}
	if bad := checkHeader(h, a.Kind, v, a.reserved(), a.badFlags()); bad != nil {
		return bad.in(v)
	}
	a.Dup = v == V31 && a.Kind == PUBREL && h.Flags&flagDup != 0
	in := cursor{b: body}
	a.PacketID = in.packetID(errAckID)
	if v == V5 && len(in.b) > 0 {
		a.Code = ReasonCode(in.uint8())
		in.refuse(checkCode(a.Kind, a.Code, v))
		if len(in.b) > 0 {
			a.ReasonString, a.UserProperties = in.reason()
		}
	}
	return in.end(v)
}

func (a *Ack) isAck() bool { return a.Kind >= PUBACK && a.Kind <= PUBCOMP }

// reserved is the value that the flags of the fixed header must have.
func (a *Ack) reserved() byte {
	if a.Kind == PUBREL {
		return flagsQoS1
	}
	return 0
}

func (a *Ack) badFlags() *rule {
	if a.Kind == PUBREL {
		return errPubrelFlags
	}
	return errFlags
}

// Append appends the packet in its shortest form. 3.x has neither codes nor properties.
func (a *Ack) Append(dst []byte, v Version) ([]byte, error) {
	flags := a.reserved()
	if a.Dup {
		flags |= flagDup
	}
	w := begin(dst, a.Kind, flags)
	hasProperties := a.ReasonString != "" || len(a.UserProperties) > 0
	switch {
	case !a.isAck():
		w.refuse(errWrongType)
	case a.Dup && (v != V31 || a.Kind != PUBREL), v != V5 && (a.Code != Success || hasProperties):
		w.refuse(errNotInVersion)
	default:
		w.refuse(checkCode(a.Kind, a.Code, v))
	}
	w.packetID(a.PacketID, errAckID)
	if a.Code != Success || hasProperties {
		w.uint8(byte(a.Code))
	}
	if hasProperties {
		at := w.open()
		w.reason(a.ReasonString, a.UserProperties)
		w.close(at)
	}
	return w.end(dst, v)
}
