package codec

// Unsubscribe is an UNSUBSCRIBE.
type Unsubscribe struct {
	PacketID       uint16
	Dup            bool     // 3.1 only
	Filters        []string // UTF-8 strings; ValidFilter tells whether they are filters
	UserProperties []UserProperty
}

var (
	errUnsubscribeFlags  = newRule(MalformedPacket, "the flags of an UNSUBSCRIBE are not 0010", "MQTT-3.10.1-1", "MQTT-3.10.1-1")
	errUnsubscribeFilter = newRule(ProtocolError, "an UNSUBSCRIBE without a topic filter", "MQTT-3.10.3-2", "MQTT-3.10.3-2")
)

// Type is UNSUBSCRIBE.
func (*Unsubscribe) Type() Type { return UNSUBSCRIBE }

// Decode reads the packet. As with SUBSCRIBE, filters against the syntax of filters are not refused.
func (u *Unsubscribe) Decode(h Header, body []byte, v Version) error {
	*u = Unsubscribe{}
	if bad := checkHeader(h, UNSUBSCRIBE, v, flagsQoS1, errUnsubscribeFlags); bad != nil {
		return bad.in(v)
	}
	u.Dup = v == V31 && h.Flags&flagDup != 0
	in := cursor{b: body}
	u.PacketID = in.packetID(errPacketID)
	if v == V5 {
		u.UserProperties = in.users()
	}
	if len(in.b) == 0 {
		in.refuse(errUnsubscribeFilter)
	}
	for len(in.b) > 0 {
		u.Filters = append(u.Filters, string(in.text()))
	}
	return in.end(v)
}

// Append appends the packet.
func (u *Unsubscribe) Append(dst []byte, v Version) ([]byte, error) {
	flags := byte(flagsQoS1)
	if u.Dup {
		flags |= flagDup
	}
	w := begin(dst, UNSUBSCRIBE, flags)
	if u.Dup && v != V31 || v != V5 && len(u.UserProperties) > 0 {
		w.refuse(errNotInVersion)
	}
	if len(u.Filters) == 0 {
		w.refuse(errUnsubscribeFilter)
	}
	w.packetID(u.PacketID, errPacketID)
	if v == V5 {
		at := w.open()
		w.users(u.UserProperties)
		w.close(at)
	}
	for _, filter := range u.Filters {
		w.text(filter)
	}
	return w.end(dst, v)
}
