package codec

// Connack is a CONNACK. For 3.x Code is the return code 0 to 5; for 5 the reason code.
type Connack struct {
	SessionPresent bool // does not exist in 3.1
	Code           ReasonCode
	Properties     ConnackProperties
}

// ConnackProperties are the MQTT 5 properties of CONNACK. A nil pointer or empty string is not written.
type ConnackProperties struct {
	SessionExpiry        *uint32 // seconds
	ReceiveMaximum       uint16  // 0: not written
	MaximumQoS           *QoS    // 0 or 1
	RetainAvailable      *bool
	MaximumPacketSize    uint32 // bytes; 0: not written
	AssignedClientID     string
	TopicAliasMaximum    uint16
	ReasonString         string
	UserProperties       []UserProperty
	WildcardAvailable    *bool
	SubscriptionIDs      *bool
	SharedAvailable      *bool
	ServerKeepAlive      *uint16 // seconds
	ResponseInformation  string
	ServerReference      string
	AuthenticationMethod string
	AuthenticationData   []byte
}

const connackSet = reasonSet | 1<<idSessionExpiry | 1<<idReceiveMaximum | 1<<idMaximumQoS | 1<<idRetainAvailable |
	1<<idMaximumPacketSize | 1<<idAssignedClientID | 1<<idTopicAliasMaximum | 1<<idWildcardAvailable |
	1<<idSubscriptionIDsAvail | 1<<idSharedAvailable | 1<<idServerKeepAlive | 1<<idResponseInfo |
	1<<idServerReference | 1<<idAuthMethod | 1<<idAuthData

var (
	errConnackFlags   = newRule(MalformedPacket, "reserved connect acknowledge flags are set", "", "MQTT-3.2.2-1")
	errSessionPresent = newRule(ProtocolError, "session present beside a refusal", "MQTT-3.2.2-4", "MQTT-3.2.2-6")
)

// Type is CONNACK.
func (*Connack) Type() Type { return CONNACK }

// Decode reads the packet.
func (c *Connack) Decode(h Header, body []byte, v Version) error {
	*c = Connack{}
	if bad := checkHeader(h, CONNACK, v, 0, errFlags); bad != nil {
		return bad.in(v)
	}
	in := cursor{b: body}
	flags := in.uint8()
	if v != V31 { // where the byte means nothing
		if flags > 1 {
			in.refuse(errConnackFlags)
		}
		c.SessionPresent = flags == 1
	}
	c.Code = ReasonCode(in.uint8())
	in.refuse(c.check(v))
	if v == V5 {
		c.Properties.decode(&in)
	}
	return in.end(v)
}

func (c *Connack) check(v Version) *rule {
	if c.SessionPresent && c.Code != Success {
		return errSessionPresent
	}
	return checkCode(CONNACK, c.Code, v)
}

func (c *ConnackProperties) decode(in *cursor) {
	p := in.properties(connackSet)
	var x property
	for p.next(&x) {
		switch x.id {
		case idSessionExpiry:
			c.SessionExpiry = new(x.num)
		case idReceiveMaximum:
			c.ReceiveMaximum = uint16(x.num)
		case idMaximumQoS:
			c.MaximumQoS = new(QoS(x.num))
		case idRetainAvailable:
			c.RetainAvailable = new(x.num == 1)
		case idMaximumPacketSize:
			c.MaximumPacketSize = x.num
		case idAssignedClientID:
			c.AssignedClientID = string(x.data)
		case idTopicAliasMaximum:
			c.TopicAliasMaximum = uint16(x.num)
		case idReasonString:
			c.ReasonString = string(x.data)
		case idWildcardAvailable:
			c.WildcardAvailable = new(x.num == 1)
		case idSubscriptionIDsAvail:
			c.SubscriptionIDs = new(x.num == 1)
		case idSharedAvailable:
			c.SharedAvailable = new(x.num == 1)
		case idServerKeepAlive:
			c.ServerKeepAlive = new(uint16(x.num))
		case idResponseInfo:
			c.ResponseInformation = string(x.data)
		case idServerReference:
			c.ServerReference = string(x.data)
		case idAuthMethod:
			c.AuthenticationMethod = string(x.data)
		case idAuthData:
			c.AuthenticationData = x.data
		default: // idUserProperty, the only one left of the set
			c.UserProperties = append(c.UserProperties, x.user())
		}
	}
	in.done(&p)
}

// Append appends the packet. 3.x has no properties, 3.1 no session present.
func (c *Connack) Append(dst []byte, v Version) ([]byte, error) {
	w := begin(dst, CONNACK, 0)
	w.refuse(c.check(v))
	if c.SessionPresent && v == V31 {
		w.refuse(errNotInVersion)
	}
	w.bool(c.SessionPresent)
	w.uint8(byte(c.Code))
	at := w.open()
	w.connack(&c.Properties)
	if v == V5 {
		w.close(at)
		return w.end(dst, v)
	}
	if len(w.b) > at+1 {
		w.refuse(errNotInVersion)
	}
	w.b = w.b[:at] // 3.x has no properties, not even their length
	return w.end(dst, v)
}

// connack appends the properties that are there.
func (w *writer) connack(c *ConnackProperties) {
	if c.SessionExpiry != nil {
		w.propUint32(idSessionExpiry, *c.SessionExpiry)
	}
	if c.ReceiveMaximum != 0 {
		w.propUint16(idReceiveMaximum, c.ReceiveMaximum)
	}
	if c.MaximumQoS != nil {
		if *c.MaximumQoS > 1 {
			w.refuse(propertyRule(ProtocolError, idMaximumQoS, "is neither 0 nor 1"))
		}
		w.propBool(idMaximumQoS, *c.MaximumQoS == 1)
	}
	w.optionalBool(idRetainAvailable, c.RetainAvailable)
	if c.MaximumPacketSize != 0 {
		w.propUint32(idMaximumPacketSize, c.MaximumPacketSize)
	}
	w.optionalText(idAssignedClientID, c.AssignedClientID)
	if c.TopicAliasMaximum != 0 {
		w.propUint16(idTopicAliasMaximum, c.TopicAliasMaximum)
	}
	w.reason(c.ReasonString, c.UserProperties)
	w.optionalBool(idWildcardAvailable, c.WildcardAvailable)
	w.optionalBool(idSubscriptionIDsAvail, c.SubscriptionIDs)
	w.optionalBool(idSharedAvailable, c.SharedAvailable)
	if c.ServerKeepAlive != nil {
		w.propUint16(idServerKeepAlive, *c.ServerKeepAlive)
	}
	w.optionalText(idResponseInfo, c.ResponseInformation)
	w.optionalText(idServerReference, c.ServerReference)
	w.optionalText(idAuthMethod, c.AuthenticationMethod)
	if c.AuthenticationData != nil {
		w.propBinary(idAuthData, c.AuthenticationData)
	}
}

func (w *writer) optionalBool(id propertyID, x *bool) {
	if x != nil {
		w.propBool(id, *x)
	}
}

func (w *writer) optionalText(id propertyID, s string) {
	if s != "" {
		w.propText(id, s)
	}
}
