package message

import (
	"encoding/base64"
	"strconv"
)

// Headers of a message in JetStream. All are optional, so that a native service can publish a payload alone.
const (
	HeaderClientID        = "Mqtt-Client-Id"
	HeaderUser            = "Mqtt-User"
	HeaderRole            = "Mqtt-Role"
	HeaderQoS             = "Mqtt-Qos" // absent: 1
	HeaderPacketID        = "Mqtt-Packet-Id"
	HeaderDup             = "Mqtt-Dup"    // 1
	HeaderRetain          = "Mqtt-Retain" // 1
	HeaderTo              = "Mqtt-To"
	HeaderPayloadFormat   = "Mqtt-Payload-Format-Indicator" // 0 or 1
	HeaderContentType     = "Mqtt-Content-Type"
	HeaderResponseTopic   = "Mqtt-Response-Topic"
	HeaderCorrelationData = "Mqtt-Correlation-Data" // base64
	HeaderUserProperty    = "Mqtt-User-Property"    // name=value, repeated
	HeaderMessageExpiry   = "Mqtt-Message-Expiry"   // seconds
	HeaderTTL             = "Nats-TTL"              // JetStream's own
)

// Version is the first line of a header block.
const Version = "NATS/1.0\r\n"

// AppendHeader appends the header block of m as it goes over the wire, from "NATS/1.0" to the empty line, and
// nothing where no header applies. Every string is percent-encoded, so no value can end its line.
//
// Where the message expires, Nats-TTL lets JetStream remove it too. JetStream's shortest is one second, so a message that is to
// go only to sessions that are up to date (expiry 0) stays that long; Mqtt-Message-Expiry is what counts.
func AppendHeader(dst []byte, m *Message) []byte {
	start := len(dst)
	dst = append(dst, Version...)
	empty := len(dst)
	if m.ClientID != "" {
		dst = appendText(dst, HeaderClientID, m.ClientID)
	}
	if m.User != "" {
		dst = appendText(dst, HeaderUser, m.User)
	}
	if m.Role != "" {
		dst = appendText(dst, HeaderRole, m.Role)
	}
	if m.QoS != 1 {
		dst = appendNumber(dst, HeaderQoS, uint64(m.QoS))
	}
	if m.PacketID != 0 {
		dst = appendNumber(dst, HeaderPacketID, uint64(m.PacketID))
	}
	if m.Dup {
		dst = appendNumber(dst, HeaderDup, 1)
	}
	if m.Retain {
		dst = appendNumber(dst, HeaderRetain, 1)
	}
	if m.To != "" {
		dst = appendText(dst, HeaderTo, m.To)
	}
	dst = appendProperties(dst, m)
	if len(dst) == empty {
		return dst[:start]
	}
	return append(dst, "\r\n"...)
}

// appendProperties appends what only MQTT 5 has.
func appendProperties(dst []byte, m *Message) []byte {
	if m.HasPayloadFormat {
		dst = appendNumber(dst, HeaderPayloadFormat, uint64(m.PayloadFormat))
	}
	if m.HasExpiry {
		dst = appendNumber(dst, HeaderMessageExpiry, uint64(m.Expiry))
		dst = appendNumber(dst, HeaderTTL, uint64(max(m.Expiry, 1)))
	}
	if m.ContentType != nil {
		dst = appendText(dst, HeaderContentType, m.ContentType)
	}
	if m.ResponseTopic != nil {
		dst = appendText(dst, HeaderResponseTopic, m.ResponseTopic)
	}
	if m.CorrelationData != nil {
		dst = appendKey(dst, HeaderCorrelationData)
		dst = base64.StdEncoding.AppendEncode(dst, m.CorrelationData)
		dst = append(dst, "\r\n"...)
	}
	for i := range m.UserProperties {
		p := &m.UserProperties[i]
		dst = appendKey(dst, HeaderUserProperty)
		dst = appendEscaped(dst, p.Name, inName)
		dst = append(dst, '=')
		dst = appendEscaped(dst, p.Value, inValue)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func appendKey(dst []byte, key string) []byte {
	dst = append(dst, key...)
	return append(dst, ": "...)
}

func appendText[T string | []byte](dst []byte, key string, value T) []byte {
	dst = appendKey(dst, key)
	dst = appendEscaped(dst, value, inValue)
	return append(dst, "\r\n"...)
}

func appendNumber(dst []byte, key string, value uint64) []byte {
	dst = appendKey(dst, key)
	dst = strconv.AppendUint(dst, value, 10)
	return append(dst, "\r\n"...)
}
