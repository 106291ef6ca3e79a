package message

import (
	"encoding/base64"
	"strconv"
)

// Header returns what AppendHeader writes as a map that nats.Header takes as it is; nil where no header applies.
func Header(m *Message) map[string][]string { return new(HeaderMap).Of(m) }

// HeaderMap makes such maps again and again in the same memory. It is not safe for concurrent use.
type HeaderMap struct {
	header map[string][]string
	values []string // the slices in header are parts of it
}

// Of returns the headers of m, nil where none applies. The map is valid until the next call.
func (h *HeaderMap) Of(m *Message) map[string][]string {
	if h.header == nil {
		h.header = make(map[string][]string)
	}
	clear(h.header)
	h.values = h.values[:0]
	if m.ClientID != "" {
		h.set(HeaderClientID, escape(m.ClientID, inValue))
	}
	if m.User != "" {
		h.set(HeaderUser, escape(m.User, inValue))
	}
	if m.Role != "" {
		h.set(HeaderRole, escape(m.Role, inValue))
	}
	if m.QoS != 1 {
		h.number(HeaderQoS, uint64(m.QoS))
	}
	if m.PacketID != 0 {
		h.number(HeaderPacketID, uint64(m.PacketID))
	}
	if m.Dup {
		h.number(HeaderDup, 1)
	}
	if m.Retain {
		h.number(HeaderRetain, 1)
	}
	if m.To != "" {
		h.set(HeaderTo, escape(m.To, inValue))
	}
	h.properties(m)
	if len(h.header) == 0 {
		return nil
	}
	return h.header
}

// properties sets what only MQTT 5 has.
func (h *HeaderMap) properties(m *Message) {
	if m.HasPayloadFormat {
		h.number(HeaderPayloadFormat, uint64(m.PayloadFormat))
	}
	if m.HasExpiry {
		h.number(HeaderMessageExpiry, uint64(m.Expiry))
		h.number(HeaderTTL, uint64(max(m.Expiry, 1)))
	}
	if m.ContentType != nil {
		h.set(HeaderContentType, escape(string(m.ContentType), inValue))
	}
	if m.ResponseTopic != nil {
		h.set(HeaderResponseTopic, escape(string(m.ResponseTopic), inValue))
	}
	if m.CorrelationData != nil {
		h.set(HeaderCorrelationData, base64.StdEncoding.EncodeToString(m.CorrelationData))
	}
	if len(m.UserProperties) == 0 {
		return
	}
	start := len(h.values)
	for _, p := range m.UserProperties {
		h.values = append(h.values, escape(p.Name, inName)+"="+escape(p.Value, inValue))
	}
	h.header[HeaderUserProperty] = h.values[start:len(h.values):len(h.values)]
}

func (h *HeaderMap) set(key, value string) {
	h.values = append(h.values, value)
	n := len(h.values)
	h.header[key] = h.values[n-1 : n : n]
}

func (h *HeaderMap) number(key string, n uint64) { h.set(key, strconv.FormatUint(n, 10)) }

func escape(s string, alphabet byte) string {
	if clean(s, alphabet) {
		return s
	}
	return string(appendEscaped(make([]byte, 0, len(s)+16), s, alphabet))
}
