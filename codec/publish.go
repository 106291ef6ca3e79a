package codec

import "slices"

// Publish is a PUBLISH. Topic and Payload alias the body it was decoded from.
type Publish struct {
	Dup        bool
	QoS        QoS
	Retain     bool
	Topic      []byte // empty only in 5, beside a topic alias
	PacketID   uint16 // 0 at QoS 0
	Properties PublishProperties
	Payload    []byte
}

// PublishProperties are the MQTT 5 properties of PUBLISH.
type PublishProperties struct {
	Message         MessageProperties
	TopicAlias      uint16 // never 0 where there is one
	HasTopicAlias   bool
	SubscriptionIDs []uint32
}

const publishSet = messageSet | 1<<idTopicAlias | 1<<idSubscriptionID

// Flags of the fixed header.
const (
	flagRetain = 1 << 0
	shiftQoS   = 1
	flagDup    = 1 << 3
)

var (
	errQoS          = newRule(MalformedPacket, "the QoS is 3", "MQTT-3.3.1-4", "MQTT-3.3.1-4")
	errDup          = newRule(MalformedPacket, "DUP at QoS 0", "MQTT-3.3.1-2", "MQTT-3.3.1-2")
	errIDAtQoS0     = newRule(ProtocolError, "a packet identifier at QoS 0", "MQTT-2.3.1-5", "MQTT-2.2.1-2")
	errPublishTopic = newRule(ProtocolError, "a topic name holds a wildcard", "MQTT-3.3.2-2", "MQTT-3.3.2-2")
	errNoTopic      = newRule(ProtocolError, "neither a topic name nor a topic alias", "MQTT-4.7.3-1", "MQTT-4.7.3-1")
)

// Type is PUBLISH.
func (*Publish) Type() Type { return PUBLISH }

// Decode reads the packet. It allocates for user properties and subscription identifiers only. MQTT 3.1 gives DUP no
// meaning at QoS 0; there it is ignored.
func (p *Publish) Decode(h Header, body []byte, v Version) error {
	p.Dup = h.Flags&flagDup != 0
	p.QoS = QoS(h.Flags >> shiftQoS & 3)
	p.Retain = h.Flags&flagRetain != 0
	p.PacketID = 0
	p.Properties.clear()

	if h.Type != PUBLISH {
		return errWrongType.in(v)
	}
	if p.Dup && p.QoS == 0 {
		if v != V31 {
			return errDup.in(v)
		}
		p.Dup = false
	}
	if p.QoS > 2 {
		return errQoS.in(v)
	}
	if len(body) < 2 {
		return errShort.in(v)
	}
	n := int(body[0])<<8 | int(body[1])
	rest := body[2:]
	if len(rest) < n {
		return errShort.in(v)
	}
	p.Topic, rest = rest[:n:n], rest[n:]
	bad := checkTopic(p.Topic)
	if bad != nil && (bad != errTopicEmpty || v != V5) {
		return publishTopicRule(bad).in(v)
	}
	if p.QoS > 0 {
		if len(rest) < 2 {
			return errShort.in(v)
		}
		p.PacketID = uint16(rest[0])<<8 | uint16(rest[1])
		rest = rest[2:]
		if p.PacketID == 0 {
			return errPacketID.in(v)
		}
	}
	if v == V5 {
		if len(rest) > 0 && rest[0] == 0 {
			rest = rest[1:]
		} else {
			in := cursor{b: rest}
			p.Properties.decode(&in)
			if in.fail != nil {
				return in.fail.in(v)
			}
			rest = in.b
		}
		if n == 0 && !p.Properties.HasTopicAlias {
			return errNoTopic.in(v)
		}
	}
	p.Payload = rest
	return nil
}

// publishTopicRule is what a PUBLISH breaks whose topic breaks rule bad.
func publishTopicRule(bad *rule) *rule {
	switch bad {
	case errTopicWildcard:
		return errPublishTopic
	case errTopicEmpty:
		return errNoTopic
	default:
		return bad
	}
}

// clear empties p. It writes pointers only where there are some, which is seldom.
func (p *PublishProperties) clear() {
	m := &p.Message
	if m.ContentType != nil || m.ResponseTopic != nil || m.CorrelationData != nil || m.UserProperties != nil ||
		p.SubscriptionIDs != nil {
		*p = PublishProperties{}
		return
	}
	m.PayloadFormat, m.HasPayloadFormat = 0, false
	m.MessageExpiry, m.HasMessageExpiry = 0, false
	p.TopicAlias, p.HasTopicAlias = 0, false
}

func (p *PublishProperties) isZero() bool {
	return p.Message.isZero() && !p.HasTopicAlias && len(p.SubscriptionIDs) == 0
}

func (p *PublishProperties) decode(in *cursor) {
	list := in.properties(publishSet)
	list.repeat |= 1 << idSubscriptionID
	var x property
	for list.next(&x) {
		switch x.id {
		case idTopicAlias:
			p.TopicAlias, p.HasTopicAlias = uint16(x.num), true
			if x.num == 0 {
				list.refuse(errTopicAlias)
			}
		case idSubscriptionID:
			p.SubscriptionIDs = append(p.SubscriptionIDs, x.num)
		default:
			list.refuse(p.Message.set(&x))
		}
	}
	in.done(&list)
}

// Append appends the packet. It allocates only where dst is too small.
func (p *Publish) Append(dst []byte, v Version) ([]byte, error) {
	out, err := p.AppendHeader(dst, len(p.Payload), v)
	if err != nil {
		return dst, err
	}
	return append(out, p.Payload...), nil
}

// AppendHeader appends all of the packet that stands before a payload of the given length in bytes, so that one
// payload can follow many headers. The packet's own payload does not matter.
func (p *Publish) AppendHeader(dst []byte, payload int, v Version) ([]byte, error) {
	if bad := p.check(v); bad != nil {
		return dst, bad.in(v)
	}
	n := 2 + len(p.Topic) + payload
	if p.QoS > 0 {
		n += 2
	}
	properties := 0
	if v == V5 {
		properties = p.Properties.size()
		n += varintSize(min(properties, maxVarint)) + properties
	}
	if n > maxVarint {
		return dst, errTooLong.in(v)
	}
	flags := byte(p.QoS) << shiftQoS
	if p.Dup {
		flags |= flagDup
	}
	if p.Retain {
		flags |= flagRetain
	}
	out := slices.Grow(dst, 1+varintSize(n)+n)
	out = appendVarint(append(out, byte(PUBLISH)<<4|flags), n)
	out = append(out, byte(len(p.Topic)>>8), byte(len(p.Topic)))
	out = append(out, p.Topic...)
	if p.QoS > 0 {
		out = append(out, byte(p.PacketID>>8), byte(p.PacketID))
	}
	if v == V5 {
		out = appendVarint(out, properties)
		if properties > 0 {
			w := writer{b: out}
			w.publish(&p.Properties)
			if w.fail != nil {
				return dst, w.fail.in(v)
			}
			out = w.b
		}
	}
	return out, nil
}

// check says why v cannot express the packet, its properties in 5 aside.
func (p *Publish) check(v Version) *rule {
	switch {
	case p.QoS > 2:
		return errQoS
	case p.Dup && p.QoS == 0:
		return errDup
	case p.QoS > 0 && p.PacketID == 0:
		return errPacketID
	case p.QoS == 0 && p.PacketID != 0:
		return errIDAtQoS0
	case len(p.Topic) > maxField:
		return errTooLong
	case v != V5 && !p.Properties.isZero():
		return errNotInVersion
	case len(p.Topic) == 0 && v == V5 && p.Properties.HasTopicAlias:
		return nil
	}
	return publishTopicRule(checkTopic(p.Topic))
}

// size is the length of what publish appends.
func (p *PublishProperties) size() (n int) {
	if p.HasTopicAlias {
		n += 3
	}
	for _, id := range p.SubscriptionIDs {
		n += 1 + varintSize(int(min(id, maxVarint)))
	}
	return n + p.Message.size()
}

// publish appends the properties without their length.
func (w *writer) publish(p *PublishProperties) {
	if p.HasTopicAlias {
		if p.TopicAlias == 0 {
			w.refuse(errTopicAlias)
		}
		w.propUint16(idTopicAlias, p.TopicAlias)
	}
	for _, id := range p.SubscriptionIDs {
		w.subscriptionID(id)
	}
	w.message(&p.Message)
}
