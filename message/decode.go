package message

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DecodeHeader fills m from a header block and reports whether all of it was understood; m keeps nothing of block. A
// header that is malformed, or repeated where it may stand once only, is left out and makes it report false, so
// that a native service's mistake costs a property and not the message. Headers that are none of ours are skipped.
// Topic, Payload and Stored stay as they are; m's other fields must be zero. An empty block is valid.
func DecodeHeader(block []byte, m *Message) bool {
	d := decoder{message: m}
	m.QoS = 1
	if len(block) == 0 {
		return true
	}
	// One copy for all values: strings without escapes are parts of it.
	s := string(block)
	line, rest, ok := strings.Cut(s, "\r\n")
	if !ok || !strings.HasPrefix(line, "NATS/1.0") {
		return false
	}
	for rest != "" {
		line, rest, ok = strings.Cut(rest, "\r\n")
		if line == "" && ok {
			break
		}
		key, value, found := strings.Cut(line, ":")
		if !found {
			d.bad = true
			continue
		}
		d.set(key, strings.TrimLeft(value, " \t"))
	}
	return !d.bad
}

// field is one bit for each header that may stand once only.
type field uint16

const (
	fieldClientID field = 1 << iota
	fieldUser
	fieldRole
	fieldQoS
	fieldPacketID
	fieldDup
	fieldRetain
	fieldTo
	fieldPayloadFormat
	fieldContentType
	fieldResponseTopic
	fieldCorrelationData
	fieldMessageExpiry
)

type decoder struct {
	message *Message
	seen    field
	bad     bool
}

func (d *decoder) set(key, value string) {
	if !strings.HasPrefix(key, "Mqtt-") {
		return
	}
	m := d.message
	switch key {
	case HeaderClientID:
		if s, ok := d.text(fieldClientID, value); ok {
			m.ClientID = s
		}
	case HeaderUser:
		if s, ok := d.text(fieldUser, value); ok {
			m.User = s
		}
	case HeaderRole:
		if s, ok := d.text(fieldRole, value); ok {
			m.Role = s
		}
	case HeaderTo:
		if s, ok := d.text(fieldTo, value); ok {
			m.To = s
		}
	case HeaderQoS:
		if n, ok := d.number(fieldQoS, value, 0, 2); ok {
			m.QoS = QoS(n)
		}
	case HeaderPacketID:
		if n, ok := d.number(fieldPacketID, value, 1, 65535); ok {
			m.PacketID = uint16(n)
		}
	case HeaderDup:
		m.Dup = d.flag(fieldDup, value) || m.Dup
	case HeaderRetain:
		m.Retain = d.flag(fieldRetain, value) || m.Retain
	default:
		d.property(key, value)
	}
}

// property takes what only MQTT 5 has.
func (d *decoder) property(key, value string) {
	m := d.message
	switch key {
	case HeaderPayloadFormat:
		if n, ok := d.number(fieldPayloadFormat, value, 0, 1); ok {
			m.PayloadFormat, m.HasPayloadFormat = byte(n), true
		}
	case HeaderMessageExpiry:
		if n, ok := d.number(fieldMessageExpiry, value, 0, 1<<32-1); ok {
			m.Expiry, m.HasExpiry = uint32(n), true
		}
	case HeaderContentType:
		if s, ok := d.text(fieldContentType, value); ok {
			m.ContentType = []byte(s)
		}
	case HeaderResponseTopic:
		s, ok := d.text(fieldResponseTopic, value)
		switch {
		case !ok:
		case !validName([]byte(s)): // wildcards for example [MQTT-3.3.2-14]
			d.bad = true
		default:
			m.ResponseTopic = []byte(s)
		}
	case HeaderCorrelationData:
		if !d.once(fieldCorrelationData) {
			return
		}
		data, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(data) > maxString {
			d.bad = true
			return
		}
		m.CorrelationData = data
	case HeaderUserProperty:
		name, text, found := strings.Cut(value, "=")
		name, ok1 := d.decode(name)
		text, ok2 := d.decode(text)
		if !found || !ok1 || !ok2 {
			d.bad = true
			return
		}
		m.UserProperties = append(m.UserProperties, UserProperty{Name: name, Value: text})
	}
}

// once reports whether the header is there for the first time.
func (d *decoder) once(f field) bool {
	if d.seen&f != 0 {
		d.bad = true
		return false
	}
	d.seen |= f
	return true
}

// decode returns the value as a string that MQTT can carry.
func (d *decoder) decode(value string) (string, bool) {
	s, ok := unescape(value)
	if !ok || len(s) > maxString || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		d.bad = true
		return "", false
	}
	return s, true
}

func (d *decoder) text(f field, value string) (string, bool) {
	if !d.once(f) {
		return "", false
	}
	return d.decode(value)
}

func (d *decoder) number(f field, value string, low, high uint64) (uint64, bool) {
	if !d.once(f) {
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n < low || n > high {
		d.bad = true
		return 0, false
	}
	return n, true
}

// flag takes 1 and true, 0 and false.
func (d *decoder) flag(f field, value string) bool {
	if !d.once(f) {
		return false
	}
	switch value {
	case "1", "true":
		return true
	case "0", "false":
	default:
		d.bad = true
	}
	return false
}
