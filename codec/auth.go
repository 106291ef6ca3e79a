package codec

// Auth is an AUTH of MQTT 5.
type Auth struct {
	Code           ReasonCode
	Method         string
	Data           []byte // nil where absent
	ReasonString   string
	UserProperties []UserProperty
}

const authSet = reasonSet | 1<<idAuthMethod | 1<<idAuthData

var (
	errAuthFlags  = newRule(MalformedPacket, "the flags of an AUTH are not 0", "", "MQTT-3.15.1-1")
	errAuthMethod = newRule(ProtocolError, "an AUTH without an authentication method", "", "")
)

// Type is AUTH.
func (*Auth) Type() Type { return AUTH }

// Decode reads the packet. An empty body is Success without any property, the method included; every other AUTH
// has to name its method.
func (a *Auth) Decode(h Header, body []byte, v Version) error {
	*a = Auth{}
	if v != V5 {
		return errPacketType.in(v)
	}
	if bad := checkHeader(h, AUTH, v, 0, errAuthFlags); bad != nil {
		return bad.in(v)
	}
	if len(body) == 0 {
		return nil
	}
	in := cursor{b: body}
	a.Code = ReasonCode(in.uint8())
	in.refuse(checkCode(AUTH, a.Code, v))
	p := in.properties(authSet)
	var x property
	for p.next(&x) {
		switch x.id {
		case idAuthMethod:
			a.Method = string(x.data)
		case idAuthData:
			a.Data = x.data
		case idReasonString:
			a.ReasonString = string(x.data)
		default: // idUserProperty, the only one left of the set
			a.UserProperties = append(a.UserProperties, x.user())
		}
	}
	in.done(&p)
	if p.seen&(1<<idAuthMethod) == 0 {
		in.refuse(errAuthMethod)
	}
	return in.end(v)
}

// Append appends the packet, which only MQTT 5 has. Success without anything else is the empty body.
func (a *Auth) Append(dst []byte, v Version) ([]byte, error) {
	if v != V5 {
		return dst, errNotInVersion.in(v)
	}
	w := begin(dst, AUTH, 0)
	w.refuse(checkCode(AUTH, a.Code, v))
	if a.Code == Success && a.Method == "" && a.Data == nil && a.ReasonString == "" && len(a.UserProperties) == 0 {
		return w.end(dst, v)
	}
	w.uint8(byte(a.Code))
	at := w.open()
	w.propText(idAuthMethod, a.Method)
	if a.Data != nil {
		w.propBinary(idAuthData, a.Data)
	}
	w.reason(a.ReasonString, a.UserProperties)
	w.close(at)
	return w.end(dst, v)
}
