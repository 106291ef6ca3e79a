package codec

// propertyID is the identifier of a property. It is a variable byte integer, all of which take one byte so far.
type propertyID byte

const (
	idPayloadFormat        propertyID = 0x01
	idMessageExpiry        propertyID = 0x02
	idContentType          propertyID = 0x03
	idResponseTopic        propertyID = 0x08
	idCorrelationData      propertyID = 0x09
	idSubscriptionID       propertyID = 0x0B
	idSessionExpiry        propertyID = 0x11
	idAssignedClientID     propertyID = 0x12
	idServerKeepAlive      propertyID = 0x13
	idAuthMethod           propertyID = 0x15
	idAuthData             propertyID = 0x16
	idRequestProblemInfo   propertyID = 0x17
	idWillDelay            propertyID = 0x18
	idRequestResponseInfo  propertyID = 0x19
	idResponseInfo         propertyID = 0x1A
	idServerReference      propertyID = 0x1C
	idReasonString         propertyID = 0x1F
	idReceiveMaximum       propertyID = 0x21
	idTopicAliasMaximum    propertyID = 0x22
	idTopicAlias           propertyID = 0x23
	idMaximumQoS           propertyID = 0x24
	idRetainAvailable      propertyID = 0x25
	idUserProperty         propertyID = 0x26
	idMaximumPacketSize    propertyID = 0x27
	idWildcardAvailable    propertyID = 0x28
	idSubscriptionIDsAvail propertyID = 0x29
	idSharedAvailable      propertyID = 0x2A
)

// propertyKind is the data type of a property's value. Every Byte is either 0 or 1.
type propertyKind byte

const (
	kindNone propertyKind = iota
	kindBool
	kindUint16
	kindUint32
	kindVarint
	kindText
	kindBinary
	kindPair
)

// propertyTable is table 2-4 of MQTT 5: the type of every property, and whether its value may be 0.
var propertyTable = [idSharedAvailable + 1]struct {
	name    string
	kind    propertyKind
	nonzero bool
}{
	idPayloadFormat:        {name: "Payload Format Indicator", kind: kindBool},
	idMessageExpiry:        {name: "Message Expiry Interval", kind: kindUint32},
	idContentType:          {name: "Content Type", kind: kindText},
	idResponseTopic:        {name: "Response Topic", kind: kindText},
	idCorrelationData:      {name: "Correlation Data", kind: kindBinary},
	idSubscriptionID:       {name: "Subscription Identifier", kind: kindVarint, nonzero: true},
	idSessionExpiry:        {name: "Session Expiry Interval", kind: kindUint32},
	idAssignedClientID:     {name: "Assigned Client Identifier", kind: kindText},
	idServerKeepAlive:      {name: "Server Keep Alive", kind: kindUint16},
	idAuthMethod:           {name: "Authentication Method", kind: kindText},
	idAuthData:             {name: "Authentication Data", kind: kindBinary},
	idRequestProblemInfo:   {name: "Request Problem Information", kind: kindBool},
	idWillDelay:            {name: "Will Delay Interval", kind: kindUint32},
	idRequestResponseInfo:  {name: "Request Response Information", kind: kindBool},
	idResponseInfo:         {name: "Response Information", kind: kindText},
	idServerReference:      {name: "Server Reference", kind: kindText},
	idReasonString:         {name: "Reason String", kind: kindText},
	idReceiveMaximum:       {name: "Receive Maximum", kind: kindUint16, nonzero: true},
	idTopicAliasMaximum:    {name: "Topic Alias Maximum", kind: kindUint16},
	idTopicAlias:           {name: "Topic Alias", kind: kindUint16},
	idMaximumQoS:           {name: "Maximum QoS", kind: kindBool},
	idRetainAvailable:      {name: "Retain Available", kind: kindBool},
	idUserProperty:         {name: "User Property", kind: kindPair},
	idMaximumPacketSize:    {name: "Maximum Packet Size", kind: kindUint32, nonzero: true},
	idWildcardAvailable:    {name: "Wildcard Subscription Available", kind: kindBool},
	idSubscriptionIDsAvail: {name: "Subscription Identifiers Available", kind: kindBool},
	idSharedAvailable:      {name: "Shared Subscription Available", kind: kindBool},
}

// propertySet is a set of properties, one bit each.
type propertySet uint64

const userPropertySet propertySet = 1 << idUserProperty

// reasonSet is what acknowledgements may have.
const reasonSet = userPropertySet | 1<<idReasonString

var (
	errPropertyLength = newRule(MalformedPacket, "the property length is larger than the packet", "", "")
	errUnknownID      = newRule(MalformedPacket, "a property of this identifier does not exist", "", "")
	errPair           = newRule(MalformedPacket, "a User Property is not a pair of UTF-8 strings", "", "MQTT-1.5.7-1")
	errTopicAlias     = newRule(TopicAliasInvalid, "the topic alias is 0", "", "MQTT-3.3.2-8")
	errResponseTopic  = newRule(ProtocolError, "the Response Topic holds a wildcard", "", "MQTT-3.3.2-14")
	errResponseEmpty  = newRule(ProtocolError, "the Response Topic is empty", "", "MQTT-4.7.3-1")
)

// property is one property as it was read: which fields hold the value depends on the identifier.
type property struct {
	id   propertyID
	num  uint32 // any number
	data []byte // text, binary, the name of a pair; aliases the body
	pair []byte // the value of a pair; aliases the body
}

func (p *property) user() UserProperty {
	return UserProperty{Name: string(p.data), Value: string(p.pair)}
}

// properties reads the properties of one packet or will.
type properties struct {
	cursor
	allowed propertySet
	seen    propertySet
	repeat  propertySet // may appear more than once
}

// properties cuts the properties out of the body, length included.
func (c *cursor) properties(allowed propertySet) properties {
	n := c.varint()
	if n > len(c.b) {
		c.refuse(errPropertyLength)
		n = 0
	}
	p := properties{cursor: cursor{b: c.b[:n]}, allowed: allowed, repeat: userPropertySet}
	c.b = c.b[n:]
	return p
}

// next reads the next property into x and tells whether there was one. Once it says no, fail tells why.
func (p *properties) next(x *property) bool {
	if len(p.b) == 0 {
		return false
	}
	id := propertyID(p.uint8())
	if int(id) >= len(propertyTable) || propertyTable[id].kind == kindNone {
		p.refuse(errUnknownID)
		return false
	}
	one := propertySet(1) << id
	if p.allowed&one == 0 {
		p.refuse(propertyRule(MalformedPacket, id, "does not belong here"))
		return false
	}
	if p.seen&one&^p.repeat != 0 {
		p.refuse(propertyRule(ProtocolError, id, "appears twice"))
		return false
	}
	p.seen |= one
	*x = property{id: id}
	p.value(x)
	return p.fail == nil
}

// value reads the value of property x and checks its range.
func (p *properties) value(x *property) {
	kind := &propertyTable[x.id]
	switch kind.kind {
	case kindNone:
	case kindBool:
		x.num = uint32(p.uint8())
		if x.num > 1 {
			p.refuse(propertyRule(ProtocolError, x.id, "is neither 0 nor 1"))
		}
	case kindUint16:
		x.num = uint32(p.uint16())
	case kindUint32:
		x.num = p.uint32()
	case kindVarint:
		x.num = uint32(p.varint())
	case kindText:
		x.data = p.text()
	case kindBinary:
		x.data = p.binary()
	case kindPair:
		x.data, x.pair = p.text(), p.text()
		if p.fail == errUTF8 || p.fail == errNull {
			p.fail = errPair
		}
	}
	if kind.nonzero && x.num == 0 && p.fail == nil {
		p.refuse(propertyRule(ProtocolError, x.id, "is 0"))
	}
}

// done hands what was wrong with the properties on to the body's cursor.
func (c *cursor) done(p *properties) {
	c.refuse(p.fail)
}

// propertyRule returns the rule that property id breaks. Properties are of MQTT 5 alone.
func propertyRule(code ReasonCode, id propertyID, what string) *rule {
	return newRule(code, propertyTable[id].name+" "+what, "", "")
}

// reason reads properties that are only a reason string and user properties.
func (c *cursor) reason() (text string, users []UserProperty) {
	p := c.properties(reasonSet)
	var x property
	for p.next(&x) {
		if x.id == idReasonString {
			text = string(x.data)
		} else {
			users = append(users, x.user())
		}
	}
	c.done(&p)
	return text, users
}

// users reads properties that are only user properties.
func (c *cursor) users() (users []UserProperty) {
	p := c.properties(userPropertySet)
	var x property
	for p.next(&x) {
		users = append(users, x.user())
	}
	c.done(&p)
	return users
}

func (w *writer) propBool(id propertyID, x bool) {
	w.uint8(byte(id))
	w.bool(x)
}

func (w *writer) propUint16(id propertyID, x uint16) {
	w.uint8(byte(id))
	w.uint16(x)
}

func (w *writer) propUint32(id propertyID, x uint32) {
	w.uint8(byte(id))
	w.uint32(x)
}

func (w *writer) propText(id propertyID, s string) {
	w.uint8(byte(id))
	w.text(s)
}

func (w *writer) propBinary(id propertyID, x []byte) {
	w.uint8(byte(id))
	w.binary(x)
}

// reason appends the two properties of acknowledgements without their length; an empty text is left out.
func (w *writer) reason(text string, users []UserProperty) {
	if text != "" {
		w.propText(idReasonString, text)
	}
	w.users(users)
}

func (w *writer) users(users []UserProperty) {
	for i := range users {
		w.propText(idUserProperty, users[i].Name)
		w.text(users[i].Value)
	}
}
