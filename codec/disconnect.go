package codec

// Disconnect is a DISCONNECT; 3.x carries none of its fields.
type Disconnect struct {
	Code             ReasonCode
	SessionExpiry    uint32 // seconds
	HasSessionExpiry bool
	ReasonString     string
	UserProperties   []UserProperty
	ServerReference  string
}

const disconnectSet = reasonSet | 1<<idSessionExpiry | 1<<idServerReference

var errDisconnectFlags = newRule(MalformedPacket, "the flags of a DISCONNECT are not 0", "MQTT-3.14.1-1", "MQTT-3.14.1-1")

// Type is DISCONNECT.
func (*Disconnect) Type() Type { return DISCONNECT }

// Decode reads the packet.
func (d *Disconnect) Decode(h Header, body []byte, v Version) error {
	*d = Disconnect{}
	if bad := checkHeader(h, DISCONNECT, v, 0, errDisconnectFlags); bad != nil {
		return bad.in(v)
	}
	in := cursor{b: body}
	if v == V5 && len(in.b) > 0 {
		d.Code = ReasonCode(in.uint8())
		in.refuse(checkCode(DISCONNECT, d.Code, v))
		if len(in.b) > 0 {
			d.decodeProperties(&in)
		}
	}
	return in.end(v)
}

func (d *Disconnect) decodeProperties(in *cursor) {
	p := in.properties(disconnectSet)
	var x property
	for p.next(&x) {
		switch x.id {
		case idSessionExpiry:
			d.SessionExpiry, d.HasSessionExpiry = x.num, true
		case idReasonString:
			d.ReasonString = string(x.data)
		case idServerReference:
			d.ServerReference = string(x.data)
		default: // idUserProperty, the only one left of the set
			d.UserProperties = append(d.UserProperties, x.user())
		}
	}
	in.done(&p)
}

// Append appends the packet in its shortest form. In 3.x every field has to be zero.
func (d *Disconnect) Append(dst []byte, v Version) ([]byte, error) {
	w := begin(dst, DISCONNECT, 0)
	hasProperties := d.HasSessionExpiry || d.ReasonString != "" || d.ServerReference != "" || len(d.UserProperties) > 0
	if v != V5 && (d.Code != Success || hasProperties) {
		w.refuse(errNotInVersion)
	}
	w.refuse(checkCode(DISCONNECT, d.Code, v))
	if d.Code != Success || hasProperties {
		w.uint8(byte(d.Code))
	}
	if hasProperties {
		at := w.open()
		if d.HasSessionExpiry {
			w.propUint32(idSessionExpiry, d.SessionExpiry)
		}
		w.reason(d.ReasonString, d.UserProperties)
		w.optionalText(idServerReference, d.ServerReference)
		w.close(at)
	}
	return w.end(dst, v)
}
