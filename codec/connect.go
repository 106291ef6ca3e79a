package codec

import "bytes"

// Will is the will message of a CONNECT.
type Will struct {
	QoS        QoS
	Retain     bool
	Topic      string
	Payload    []byte         // a copy, outlives the body
	Properties WillProperties // copies, too
}

// WillProperties are the MQTT 5 properties of a will.
type WillProperties struct {
	DelayInterval uint32 // seconds
	Message       MessageProperties
}

// Connect is a CONNECT. The version is its own: what Decode is told does not matter. For an unknown protocol version
// Decode stops after the version byte, returns an *Error with UnsupportedProtocolVersion and leaves the other fields
// empty. After any other error Version is what the packet says, or 0 where it was not reached.
type Connect struct {
	Version     Version // Append takes 0 for the version that it is told
	CleanStart  bool    // clean session in 3.x
	KeepAlive   uint16  // seconds
	ClientID    string
	Will        *Will
	HasUsername bool
	Username    string
	HasPassword bool
	Password    []byte // a copy
	Properties  ConnectProperties
}

// ConnectProperties are the MQTT 5 properties of CONNECT. Absent values have the specification's default.
type ConnectProperties struct {
	SessionExpiry        uint32
	ReceiveMaximum       uint16 // 65,535 where absent; Append takes 0 for that
	MaximumPacketSize    uint32 // 0 where absent: no limit
	TopicAliasMaximum    uint16
	RequestResponseInfo  bool
	NoProblemInfo        bool // Request Problem Information was 0
	UserProperties       []UserProperty
	AuthenticationMethod string
	HasAuthMethod        bool
	AuthenticationData   []byte // a copy
}

const connectSet = userPropertySet | 1<<idSessionExpiry | 1<<idReceiveMaximum | 1<<idMaximumPacketSize |
	1<<idTopicAliasMaximum | 1<<idRequestResponseInfo | 1<<idRequestProblemInfo | 1<<idAuthMethod | 1<<idAuthData

// defaultReceiveMaximum is the Receive Maximum of who does not say.
const defaultReceiveMaximum = 1<<16 - 1

// Connect flags.
const (
	flagReserved   = 1 << 0
	flagCleanStart = 1 << 1
	flagWill       = 1 << 2
	shiftWillQoS   = 3
	flagWillRetain = 1 << 5
	flagPassword   = 1 << 6
	flagUsername   = 1 << 7
)

var (
	errProtocolName   = newRule(ProtocolError, "the protocol name is not one of MQTT", "MQTT-3.1.2-1", "MQTT-3.1.2-1")
	errConnectFlag    = newRule(MalformedPacket, "the reserved connect flag is set", "MQTT-3.1.2-3", "MQTT-3.1.2-3")
	errWillQoS        = newRule(MalformedPacket, "the will QoS is 3", "MQTT-3.1.2-14", "MQTT-3.1.2-12")
	errWillQoSAlone   = newRule(MalformedPacket, "a will QoS without a will", "MQTT-3.1.2-13", "MQTT-3.1.2-11")
	errWillRetain     = newRule(MalformedPacket, "a will retain without a will", "MQTT-3.1.2-15", "MQTT-3.1.2-13")
	errPasswordAlone  = newRule(MalformedPacket, "a password without a user name", "MQTT-3.1.2-22", "")
	errAuthDataAlone  = newRule(ProtocolError, "authentication data without a method", "", "")
	errVersionMatch   = newRule(ProtocolError, "the CONNECT is of another version", "", "")
	errVersionUnknown = newRule(ProtocolError, "a packet of an unknown version cannot be written", "", "")
)

// Type is CONNECT.
func (*Connect) Type() Type { return CONNECT }

// Decode reads the packet; its own version counts, not the one given.
func (c *Connect) Decode(h Header, body []byte, _ Version) error {
	*c = Connect{}
	in := cursor{b: body}
	name := in.binary()
	if bad := in.fail; bad != nil {
		return bad.in(V5)
	}
	if s := string(name); s != "MQTT" && s != "MQIsdp" {
		return errProtocolName.in(V5)
	}
	v := Version(in.uint8())
	if bad := in.fail; bad != nil {
		return bad.in(V5)
	}
	c.Version = v
	if string(name) == "MQTT" && v != V311 && v != V5 || string(name) == "MQIsdp" && v != V31 {
		return errUnknownLevel.in(V5)
	}
	if bad := checkHeader(h, CONNECT, v, 0, errFlags); bad != nil {
		return bad.in(v)
	}

	flags := in.uint8()
	if bad := checkConnectFlags(flags, v); bad != nil {
		return bad.in(v)
	}
	c.CleanStart = flags&flagCleanStart != 0
	c.KeepAlive = in.uint16()
	c.Properties.ReceiveMaximum = defaultReceiveMaximum
	if v == V5 {
		c.Properties.decode(&in)
	}
	c.ClientID = string(in.text())
	if flags&flagWill != 0 {
		c.Will = &Will{QoS: QoS(flags >> shiftWillQoS & 3), Retain: flags&flagWillRetain != 0}
		c.Will.decode(&in, v)
	}
	// In 3.1 the remaining length takes precedence over these two flags: a string may be missing.
	given := func(flag byte) bool { return flags&flag != 0 && (v != V31 || len(in.b) > 0) }
	if given(flagUsername) {
		c.HasUsername, c.Username = true, string(in.text())
	}
	if given(flagPassword) {
		c.HasPassword, c.Password = true, bytes.Clone(in.binary())
	}
	return in.end(v)
}

// checkConnectFlags says why version v does not know these connect flags. MQTT 3.1 ignores the reserved bit and
// the will's flags where there is no will.
func checkConnectFlags(flags byte, v Version) *rule {
	willQoS := flags >> shiftWillQoS & 3
	if flags&flagWill != 0 && willQoS == 3 {
		return errWillQoS
	}
	switch {
	case v == V31:
		return nil
	case flags&flagReserved != 0:
		return errConnectFlag
	case flags&flagWill == 0 && willQoS != 0:
		return errWillQoSAlone
	case flags&flagWill == 0 && flags&flagWillRetain != 0:
		return errWillRetain
	case v == V311 && flags&flagPassword != 0 && flags&flagUsername == 0:
		return errPasswordAlone
	default:
		return nil
	}
}

func (c *ConnectProperties) decode(in *cursor) {
	p := in.properties(connectSet)
	var x property
	for p.next(&x) {
		switch x.id {
		case idSessionExpiry:
			c.SessionExpiry = x.num
		case idReceiveMaximum:
			c.ReceiveMaximum = uint16(x.num)
		case idMaximumPacketSize:
			c.MaximumPacketSize = x.num
		case idTopicAliasMaximum:
			c.TopicAliasMaximum = uint16(x.num)
		case idRequestResponseInfo:
			c.RequestResponseInfo = x.num == 1
		case idRequestProblemInfo:
			c.NoProblemInfo = x.num == 0
		case idAuthMethod:
			c.AuthenticationMethod, c.HasAuthMethod = string(x.data), true
		case idAuthData:
			c.AuthenticationData = bytes.Clone(x.data)
		default: // idUserProperty, the only one left of the set
			c.UserProperties = append(c.UserProperties, x.user())
		}
	}
	in.done(&p)
	if c.AuthenticationData != nil && !c.HasAuthMethod {
		in.refuse(errAuthDataAlone)
	}
}

func (will *Will) decode(in *cursor, v Version) {
	if v == V5 {
		will.Properties.decode(in)
	}
	topic := in.text()
	in.refuse(checkTopic(topic))
	will.Topic = string(topic)
	will.Payload = bytes.Clone(in.binary())
}

func (w *WillProperties) decode(in *cursor) {
	p := in.properties(messageSet | 1<<idWillDelay)
	var x property
	for p.next(&x) {
		if x.id == idWillDelay {
			w.DelayInterval = x.num
			continue
		}
		x.data = bytes.Clone(x.data)
		p.refuse(w.Message.set(&x))
	}
	in.done(&p)
}

// Append appends the packet. In 3.1.1 a password needs a user name; in 3.x there are no properties.
func (c *Connect) Append(dst []byte, v Version) ([]byte, error) {
	w := begin(dst, CONNECT, 0)
	name := "MQTT"
	switch {
	case v == V31:
		name = "MQIsdp"
	case v != V311 && v != V5:
		w.refuse(errVersionUnknown)
	}
	if c.Version != 0 && c.Version != v {
		w.refuse(errVersionMatch)
	}
	flags := c.flags()
	w.refuse(checkConnectFlags(flags, v))
	w.text(name)
	w.uint8(byte(v))
	w.uint8(flags)
	w.uint16(c.KeepAlive)
	if v == V5 {
		at := w.open()
		w.connect(&c.Properties)
		w.close(at)
	} else if !c.Properties.isZero() {
		w.refuse(errNotInVersion)
	}
	w.text(c.ClientID)
	if c.Will != nil {
		w.will(c.Will, v)
	}
	if c.HasUsername {
		w.text(c.Username)
	}
	if c.HasPassword {
		w.binary(c.Password)
	}
	return w.end(dst, v)
}

func (c *Connect) flags() (flags byte) {
	if c.CleanStart {
		flags |= flagCleanStart
	}
	if c.Will != nil {
		flags |= flagWill | byte(min(c.Will.QoS, 3))<<shiftWillQoS
		if c.Will.Retain {
			flags |= flagWillRetain
		}
	}
	if c.HasUsername {
		flags |= flagUsername
	}
	if c.HasPassword {
		flags |= flagPassword
	}
	return flags
}

func (c *ConnectProperties) isZero() bool {
	return c.SessionExpiry == 0 && (c.ReceiveMaximum == 0 || c.ReceiveMaximum == defaultReceiveMaximum) &&
		c.MaximumPacketSize == 0 && c.TopicAliasMaximum == 0 && !c.RequestResponseInfo && !c.NoProblemInfo &&
		len(c.UserProperties) == 0 && !c.HasAuthMethod && c.AuthenticationData == nil
}

// connect appends the properties that differ from their defaults.
func (w *writer) connect(c *ConnectProperties) {
	if c.SessionExpiry != 0 {
		w.propUint32(idSessionExpiry, c.SessionExpiry)
	}
	if c.ReceiveMaximum != 0 && c.ReceiveMaximum != defaultReceiveMaximum {
		w.propUint16(idReceiveMaximum, c.ReceiveMaximum)
	}
	if c.MaximumPacketSize != 0 {
		w.propUint32(idMaximumPacketSize, c.MaximumPacketSize)
	}
	if c.TopicAliasMaximum != 0 {
		w.propUint16(idTopicAliasMaximum, c.TopicAliasMaximum)
	}
	if c.RequestResponseInfo {
		w.propBool(idRequestResponseInfo, true)
	}
	if c.NoProblemInfo {
		w.propBool(idRequestProblemInfo, false)
	}
	if c.HasAuthMethod {
		w.propText(idAuthMethod, c.AuthenticationMethod)
	}
	if c.AuthenticationData != nil {
		if !c.HasAuthMethod {
			w.refuse(errAuthDataAlone)
		}
		w.propBinary(idAuthData, c.AuthenticationData)
	}
	w.users(c.UserProperties)
}

func (w *writer) will(x *Will, v Version) {
	if v == V5 {
		at := w.open()
		if x.Properties.DelayInterval != 0 {
			w.propUint32(idWillDelay, x.Properties.DelayInterval)
		}
		w.message(&x.Properties.Message)
		w.close(at)
	} else if x.Properties.DelayInterval != 0 || !x.Properties.Message.isZero() {
		w.refuse(errNotInVersion)
	}
	w.refuse(checkTopic([]byte(x.Topic)))
	w.text(x.Topic)
	w.binary(x.Payload)
}
