package bridge

import (
	"bytes"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/message"
)

// newMessage is a PUBLISH as it goes to the message log. It shares nothing with p, whose bytes the next packet overwrites.
func newMessage(topic string, p *codec.Publish) *message.Message {
	m := &message.Message{
		Topic: topic, Payload: bytes.Clone(p.Payload), QoS: message.QoS(p.QoS), Dup: p.Dup, PacketID: p.PacketID,
	}
	copyProperties(m, &p.Properties.Message)
	return m
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
