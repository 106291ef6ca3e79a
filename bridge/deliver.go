package bridge

import (
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// pump takes messages from the cursors in turn, one each, while outbox and window have room. It returns
// what the client did not get through its own doing.
func (s *session) pump(now time.Time) (faults []*fault) {
	for s.box.size() < outboxSoft {
		c := s.subs.next(s.out.full())
		if c == nil {
			break
		}
		if s.out.full() && c.granted() > 0 {
			s.subs.park(c)
			continue
		}
		d, held, ok := c.source.Next()
		if !ok {
			continue
		}
		s.subs.enqueue(c)
		if f := s.send(c, d, held, now); f != nil {
			faults = append(faults, f)
		}
	}
	return faults
}

// send delivers one message of a cursor, or drops it for a reason. A message that is held wants its
// acknowledgement; for it the window has room.
func (s *session) send(c *cursor, d reader.Delivery, held bool, now time.Time) *fault {
	r := s.unwanted(d.Message, now)
	waits := false // for the client's PUBACK
	if r == "" && s.address(c, d.Message) {
		var fits bool
		if waits, fits = s.sendPublish(c, d, now); !fits {
			r = reason.ClientMaximumPacket
		}
	}
	if held && !waits {
		c.source.Ack(d.Sequence)
	}
	if r != "" {
		s.counts.dropped++
		s.metrics.dropped(r)
	}
	if r == reason.ClientMaximumPacket {
		return &fault{
			Error:  reason.New(r, "a message is larger than the client's Maximum Packet Size [MQTT-3.1.2-24]"),
			packet: codec.PUBLISH, topic: d.Topic,
		}
	}
	return nil
}

// address sets what the filters say about a delivery: the highest QoS [MQTT-3.3.4-2], 3.1.1: [MQTT-3.3.5-1], and all
// identifiers [MQTT-3.3.4-3] [MQTT-3.3.4-4]. A filter with No Local does not match what the client has published itself
// [MQTT-3.8.3-3]. It reports whether one matches: where others are for some topics only, one that was just taken back, or whose SUBACK is yet
// to come, may not.
func (s *session) address(c *cursor, m *message.Message) (wanted bool) {
	p := &s.deliver
	p.QoS = 0
	p.Properties.SubscriptionIDs = p.Properties.SubscriptionIDs[:0]
	for _, f := range c.matching(m.Topic, !s.subs.changing) {
		if f.noLocal && m.ClientID == s.clientID {
			continue
		}
		wanted = true
		p.QoS = max(p.QoS, f.granted)
		if f.identifier != 0 {
			p.Properties.SubscriptionIDs = append(p.Properties.SubscriptionIDs, f.identifier)
		}
	}
	p.QoS = min(p.QoS, codec.QoS(m.QoS))
	return wanted
}

// sendPublish appends a PUBLISH, unless it is larger than the client takes. waits tells that it has a place in the window.
func (s *session) sendPublish(c *cursor, d reader.Delivery, now time.Time) (waits, fits bool) {
	p := &s.deliver
	p.PacketID = 0
	if p.QoS > 0 {
		p.PacketID = s.out.add(c, d.Sequence)
	}
	p.Topic = append(p.Topic[:0], d.Topic...)
	p.Payload = d.Payload
	if s.version == codec.V5 {
		setProperties(&p.Properties.Message, d.Message, now)
	}
	fits = s.box.append(p)
	p.Payload = nil
	if !fits {
		s.out.remove(p.PacketID)
		return false, false
	}
	s.counts.delivered++
	s.metrics.delivered[p.QoS].Inc()
	return p.QoS > 0, true
}

// unwanted says why a message is not delivered, or is empty.
func (s *session) unwanted(m *message.Message, now time.Time) reason.Reason {
	switch {
	case m.To != "" && m.To != s.clientID:
		return reason.OtherClient
	case m.HasExpiry && expired(m, now):
		return reason.MessageExpired
	default:
		return ""
	}
}

// age is how many whole seconds ago a message was stored.
func age(m *message.Message, now time.Time) uint32 {
	if m.Stored.IsZero() || now.Before(m.Stored) {
		return 0
	}
	return uint32(min(now.Sub(m.Stored)/time.Second, 1<<32-1))
}

// expired tells whether a message that can expire has done so. One with an expiry of 0 goes to those who are up to
// date, which is to say within its first second.
func expired(m *message.Message, now time.Time) bool { return age(m, now) >= max(m.Expiry, 1) }

// setProperties fills the properties of a message that is about to be sent, with what is left of its expiry
// [MQTT-3.3.2-6].
func setProperties(p *codec.MessageProperties, m *message.Message, now time.Time) {
	users := p.UserProperties[:0]
	for _, u := range m.UserProperties {
		users = append(users, codec.UserProperty(u))
	}
	*p = codec.MessageProperties{
		PayloadFormat:    m.PayloadFormat,
		HasPayloadFormat: m.HasPayloadFormat,
		ContentType:      m.ContentType,
		ResponseTopic:    m.ResponseTopic,
		CorrelationData:  m.CorrelationData,
		UserProperties:   users,
	}
	if m.HasExpiry {
		p.HasMessageExpiry = true
		p.MessageExpiry = m.Expiry - min(age(m, now), m.Expiry)
	}
}
