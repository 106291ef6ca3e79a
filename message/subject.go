package message

import (
	"strings"
	"unicode/utf8"
)

// Prefixes of the subjects of a tenant's topics, each followed by the tenant and a dot.
const (
	prefix       = "mqtt."
	systemPrefix = "mqtt-sys." // topics that start with $
)

// maxString is the longest string that MQTT can carry, in bytes.
const maxString = 65535

// Subject returns the subject of a topic name; Topic is its inverse. Level by level everything is kept except for
// the bytes 0x00 to 0x20, 0x7F, '.', '*', '>' and '%', which become %XX; an empty level becomes "%". Topics that start with '$'
// lie under a prefix of their own, so that mqtt.<tenant>.> never shows them, and their first '$' becomes %24.
// A topic filter without wildcards has the subject of the topic name that it equals.
func Subject(tenant, topic string) string {
	return string(AppendSubject(make([]byte, 0, len(systemPrefix)+len(tenant)+1+len(topic)+16), tenant, topic))
}

// AppendSubject appends the subject of a topic name to dst.
func AppendSubject(dst []byte, tenant, topic string) []byte {
	system := strings.HasPrefix(topic, "$")
	if system {
		dst = append(dst, systemPrefix...)
	} else {
		dst = append(dst, prefix...)
	}
	dst = append(dst, tenant...)
	dst = append(dst, '.')
	if system {
		dst = appendByte(dst, '$')
		topic = topic[1:]
		level, rest, more := strings.Cut(topic, "/")
		dst = appendEscaped(dst, level, inSubject) // never empty in the subject: the $ is there
		if !more {
			return dst
		}
		dst = append(dst, '.')
		topic = rest
	}
	for {
		level, rest, more := strings.Cut(topic, "/")
		if level == "" {
			dst = append(dst, '%')
		} else {
			dst = appendEscaped(dst, level, inSubject)
		}
		if !more {
			return dst
		}
		dst = append(dst, '.')
		topic = rest
	}
}

// Topic returns the topic name that has the subject in this tenant. It reports false for whatever is not exactly
// what Subject makes of a valid topic name: other spellings of it, subjects of other tenants, wildcards, and
// names that MQTT does not allow (empty, U+0000, invalid UTF-8, '+', '#', more than 65,535 bytes).
func Topic(tenant, subject string) (string, bool) {
	rest, system, ok := cutPrefix(tenant, subject)
	// NATS allows '/' in a level; MQTT's levels are separated by it.
	if !ok || rest == "" || len(rest) > 3*maxString || strings.IndexByte(rest, '/') >= 0 {
		return "", false
	}
	topic := make([]byte, 0, len(rest))
	if system {
		if rest, ok = strings.CutPrefix(rest, "%24"); !ok {
			return "", false
		}
		topic = append(topic, '$')
	} else if rest[0] == '$' {
		return "", false
	}
	for first := true; ; first = false {
		level, next, more := strings.Cut(rest, ".")
		switch {
		case first && system: // what follows the $, possibly nothing
			topic, ok = unescapeStrict(topic, level, inSubject)
		case level == "%":
		case level == "":
			ok = false
		default:
			topic, ok = unescapeStrict(topic, level, inSubject)
		}
		if !ok {
			return "", false
		}
		if !more {
			break
		}
		topic = append(topic, '/')
		rest = next
	}
	return string(topic), validName(topic)
}

func cutPrefix(tenant, subject string) (rest string, system, ok bool) {
	rest, ok = strings.CutPrefix(subject, prefix)
	if !ok {
		rest, ok = strings.CutPrefix(subject, systemPrefix)
		system = true
	}
	if !ok || len(rest) <= len(tenant) || rest[:len(tenant)] != tenant || rest[len(tenant)] != '.' {
		return "", false, false
	}
	return rest[len(tenant)+1:], system, true
}

// validName tells whether MQTT allows the topic name [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-1.5.4-1].
func validName(topic []byte) bool {
	if len(topic) == 0 || len(topic) > maxString || !utf8.Valid(topic) {
		return false
	}
	for _, c := range topic {
		if c == 0 || c == '+' || c == '#' {
			return false
		}
	}
	return true
}

// SubjectLevel encodes any string, such as a client identifier, as one level of a subject: what a topic's level escapes and no
// more, so that '/', '+' and '#' stay. The empty string is "%".
func SubjectLevel(s string) string {
	if s == "" {
		return "%"
	}
	return escape(s, inSubject)
}
