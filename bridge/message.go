package bridge

import (
	"bytes"
	"sync"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
)

// messages are kept for use again, with the memory of their payloads: there is one for every PUBLISH.
var messages = sync.Pool{New: func() any { return new(message.Message) }}

// payloadKept is the largest payload in bytes whose memory is kept.
const payloadKept = 4 << 10

// newMessage is a PUBLISH as it goes to the message log. It shares nothing with p, whose bytes the next packet overwrites.
func newMessage(topic string, p *codec.Publish) *message.Message {
	m, _ := messages.Get().(*message.Message)
	m.Topic, m.Payload = topic, append(m.Payload, p.Payload...)
	m.QoS, m.Dup, m.PacketID = message.QoS(p.QoS), p.Dup, p.PacketID
	copyProperties(m, &p.Properties.Message)
	return m
}

// recycleMessage takes back a message whose answer has come: nobody looks at it any more.
func recycleMessage(m *message.Message) {
	payload := m.Payload[:0]
	if cap(payload) > payloadKept {
		payload = nil
	}
	*m = message.Message{Payload: payload}
	messages.Put(m)
}

func copyProperties(m *message.Message, p *codec.MessageProperties) {
	m.PayloadFormat, m.HasPayloadFormat = p.PayloadFormat, p.HasPayloadFormat
	m.Expiry, m.HasExpiry = p.MessageExpiry, p.HasMessageExpiry
	m.ContentType = bytes.Clone(p.ContentType)
	m.ResponseTopic = bytes.Clone(p.ResponseTopic)
	m.CorrelationData = bytes.Clone(p.CorrelationData)
	for _, u := range p.UserProperties {
		m.UserProperties = append(m.UserProperties, message.UserProperty(u))
	}
}
