package codec

import "strings"

// Subscription is one topic filter of a SUBSCRIBE with its options. All but Filter and QoS are of MQTT 5.
type Subscription struct {
	Filter            string // a UTF-8 string; ValidFilter tells whether it is a filter
	QoS               QoS
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0 to 2
}

// Subscribe is a SUBSCRIBE.
type Subscribe struct {
	PacketID       uint16
	Dup            bool // 3.1 only
	Subscriptions  []Subscription
	SubscriptionID uint32 // 0: absent
	UserProperties []UserProperty
}

// Subscription options.
const (
	optionNoLocal           = 1 << 2
	optionRetainAsPublished = 1 << 3
	shiftRetainHandling     = 4
)

// sharedPrefix is what the filter of a shared subscription starts with in MQTT 5.
const sharedPrefix = "$share/"

var (
	errSubscribeFlags  = newRule(MalformedPacket, "the flags of a SUBSCRIBE are not 0010", "MQTT-3.8.1-1", "MQTT-3.8.1-1")
	errNoFilter        = newRule(ProtocolError, "a SUBSCRIBE without a topic filter", "MQTT-3.8.3-3", "MQTT-3.8.3-2")
	errRequestedQoS    = newRule(MalformedPacket, "the requested QoS byte is not 0, 1 or 2", "MQTT-3.8.3-4", "")
	errOptionsReserved = newRule(MalformedPacket, "reserved bits of the subscription options are set", "", "MQTT-3.8.3-5")
	errMaximumQoS      = newRule(ProtocolError, "the maximum QoS of a subscription is 3", "", "")
	errRetainHandling  = newRule(ProtocolError, "the retain handling of a subscription is 3", "", "")
	errNoLocalShared   = newRule(ProtocolError, "No Local on a shared subscription", "", "MQTT-3.8.3-4")
)

// Type is SUBSCRIBE.
func (*Subscribe) Type() Type { return SUBSCRIBE }

// Decode reads the packet. A filter that is empty or against the syntax of filters is not refused here: it is
// answered by itself, in the SUBACK.
func (s *Subscribe) Decode(h Header, body []byte, v Version) error {
	*s = Subscribe{}
	if bad := checkHeader(h, SUBSCRIBE, v, flagsQoS1, errSubscribeFlags); bad != nil {
		return bad.in(v)
	}
	s.Dup = v == V31 && h.Flags&flagDup != 0
	in := cursor{b: body}
	s.PacketID = in.packetID(errPacketID)
	if v == V5 {
		s.decodeProperties(&in)
	}
	if len(in.b) == 0 {
		in.refuse(errNoFilter)
	}
	for len(in.b) > 0 {
		one := Subscription{Filter: string(in.text())}
		options := in.uint8()
		if in.fail == nil {
			in.refuse(one.setOptions(options, v))
		}
		s.Subscriptions = append(s.Subscriptions, one)
	}
	return in.end(v)
}

func (s *Subscribe) decodeProperties(in *cursor) {
	p := in.properties(userPropertySet | 1<<idSubscriptionID)
	var x property
	for p.next(&x) {
		if x.id == idSubscriptionID {
			s.SubscriptionID = x.num
		} else {
			s.UserProperties = append(s.UserProperties, x.user())
		}
	}
	in.done(&p)
}

// setOptions takes the options byte apart. MQTT 3.1 does not reserve the upper six bits.
func (s *Subscription) setOptions(b byte, v Version) *rule {
	s.QoS = QoS(b & 3)
	if v != V5 {
		if s.QoS == 3 || v != V31 && b > 2 {
			return errRequestedQoS
		}
		return nil
	}
	s.NoLocal = b&optionNoLocal != 0
	s.RetainAsPublished = b&optionRetainAsPublished != 0
	s.RetainHandling = b >> shiftRetainHandling & 3
	if b>>6 != 0 {
		return errOptionsReserved
	}
	return s.check(v)
}

// check says why version v does not have these options.
func (s *Subscription) check(v Version) *rule {
	switch {
	case v != V5 && s.QoS > 2:
		return errRequestedQoS
	case v != V5 && (s.NoLocal || s.RetainAsPublished || s.RetainHandling != 0):
		return errNotInVersion
	case s.QoS > 2:
		return errMaximumQoS
	case s.RetainHandling > 2:
		return errRetainHandling
	case s.NoLocal && strings.HasPrefix(s.Filter, sharedPrefix):
		return errNoLocalShared
	default:
		return nil
	}
}

// Append appends the packet. 3.x has neither properties nor options besides the QoS.
func (s *Subscribe) Append(dst []byte, v Version) ([]byte, error) {
	flags := byte(flagsQoS1)
	if s.Dup {
		flags |= flagDup
	}
	w := begin(dst, SUBSCRIBE, flags)
	if s.Dup && v != V31 || v != V5 && (s.SubscriptionID != 0 || len(s.UserProperties) > 0) {
		w.refuse(errNotInVersion)
	}
	if len(s.Subscriptions) == 0 {
		w.refuse(errNoFilter)
	}
	w.packetID(s.PacketID, errPacketID)
	if v == V5 {
		at := w.open()
		if s.SubscriptionID != 0 {
			w.subscriptionID(s.SubscriptionID)
		}
		w.users(s.UserProperties)
		w.close(at)
	}
	for i := range s.Subscriptions {
		one := &s.Subscriptions[i]
		w.refuse(one.check(v))
		w.text(one.Filter)
		w.uint8(one.options())
	}
	return w.end(dst, v)
}

// options is the options byte; in 3.x only the QoS is ever set.
func (s *Subscription) options() byte {
	b := byte(s.QoS) | s.RetainHandling<<shiftRetainHandling
	if s.NoLocal {
		b |= optionNoLocal
	}
	if s.RetainAsPublished {
		b |= optionRetainAsPublished
	}
	return b
}

// subscriptionID appends the property of this name.
func (w *writer) subscriptionID(id uint32) {
	switch {
	case id == 0:
		w.refuse(propertyRule(ProtocolError, idSubscriptionID, "is 0"))
	case id > maxVarint:
		w.refuse(propertyRule(ProtocolError, idSubscriptionID, "is too large"))
	default:
		w.b = appendVarint(append(w.b, byte(idSubscriptionID)), int(id))
	}
}
