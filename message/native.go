package message

import (
	"encoding/base64"
	"strconv"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/reason"
)

// New returns a message at QoS 1, for all subscribers.
func New(topic string, payload []byte) *Message {
	return &Message{Topic: topic, Payload: payload, QoS: 1}
}

// Msg returns m as a NATS message of the tenant, to be published. The two share the payload.
func (m *Message) Msg(tenant string) *nats.Msg {
	return &nats.Msg{Subject: Subject(tenant, m.Topic), Header: m.Header(), Data: m.Payload}
}

// Header returns the headers of m, those that AppendHeader writes, and nil where no header applies.
func (m *Message) Header() nats.Header {
	h := nats.Header{}
	text := func(key, value string) {
		if value != "" {
			h[key] = []string{escape(value, inValue)}
		}
	}
	number := func(key string, applies bool, value uint64) {
		if applies {
			h[key] = []string{strconv.FormatUint(value, 10)}
		}
	}
	text(HeaderClientID, m.ClientID)
	text(HeaderUser, m.User)
	text(HeaderRole, m.Role)
	text(HeaderTo, m.To)
	number(HeaderQoS, m.QoS != 1, uint64(m.QoS))
	number(HeaderPacketID, m.PacketID != 0, uint64(m.PacketID))
	number(HeaderDup, m.Dup, 1)
	number(HeaderRetain, m.Retain, 1)
	number(HeaderPayloadFormat, m.HasPayloadFormat, uint64(m.PayloadFormat))
	number(HeaderMessageExpiry, m.HasExpiry, uint64(m.Expiry))
	number(HeaderTTL, m.HasExpiry, uint64(max(m.Expiry, 1)))
	if m.ContentType != nil {
		h[HeaderContentType] = []string{escape(string(m.ContentType), inValue)}
	}
	if m.ResponseTopic != nil {
		h[HeaderResponseTopic] = []string{escape(string(m.ResponseTopic), inValue)}
	}
	if m.CorrelationData != nil {
		h[HeaderCorrelationData] = []string{base64.StdEncoding.EncodeToString(m.CorrelationData)}
	}
	for _, p := range m.UserProperties {
		h[HeaderUserProperty] = append(h[HeaderUserProperty], escape(p.Name, inName)+"="+escape(p.Value, inValue))
	}
	if len(h) == 0 {
		return nil
	}
	return h
}

// FromMsg returns the message that a core subscription, or nats.Msg of whatever origin, has received. It shares the payload
// with msg. Headers that are faulty are left out, as Weir does. The error is a *reason.Error: the subject is not that of a
// topic of the tenant (bad_subject).
func FromMsg(tenant string, msg *nats.Msg) (*Message, error) {
	m, err := fromParts(tenant, msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return nil, err
	}
	if meta, err := msg.Metadata(); err == nil { // from a stream
		m.Stored = meta.Timestamp
	}
	return m, nil
}

// FromJetStream is FromMsg for what a JetStream consumer has received.
func FromJetStream(tenant string, msg natsjs.Msg) (*Message, error) {
	m, err := fromParts(tenant, msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		return nil, err
	}
	if meta, err := msg.Metadata(); err == nil {
		m.Stored = meta.Timestamp
	}
	return m, nil
}

func fromParts(tenant, subject string, h nats.Header, data []byte) (*Message, error) {
	topic, ok := Topic(tenant, subject)
	if !ok {
		return nil, reason.New(reason.BadSubject, strconv.Quote(subject)+" is not the subject of a topic of tenant "+tenant)
	}
	m := &Message{Topic: topic, Payload: data}
	d := decoder{message: m}
	m.QoS = 1
	for key, values := range h {
		for _, value := range values {
			d.set(key, value)
		}
	}
	return m, nil
}
