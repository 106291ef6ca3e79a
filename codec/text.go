package codec

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// maxField is the length in bytes of the longest string and of the longest binary field.
const maxField = 1<<16 - 1

// Rules of topic names, section 4.7.
var (
	errTopicEmpty    = newRule(ProtocolError, "a topic name is empty", "MQTT-4.7.3-1", "MQTT-4.7.3-1")
	errTopicWildcard = newRule(ProtocolError, "a topic name holds a wildcard", "MQTT-4.7.1-1", "MQTT-4.7.0-1")
)

const (
	lowSeven  = 0x7F7F7F7F7F7F7F7F // the lower seven bits of each of eight bytes
	highOne   = 0x8080808080808080 // the highest bit of each
	eachEight = 0x0808080808080808 // the bit by which '+' and '#' differ
	eachPlus  = 0x2B2B2B2B2B2B2B2B // '+' in each
)

// ValidTopicName tells whether t is a topic name that may be published to: 1 to 65,535 bytes of well-formed UTF-8
// without U+0000 and without wildcards.
func ValidTopicName[T string | []byte](t T) bool {
	return len(t) <= maxField && checkTopic([]byte(t)) == nil
}

// ValidFilter tells whether f is a topic filter: 1 to 65,535 bytes of well-formed UTF-8 without U+0000, '+' only as a
// whole level, '#' only as the whole last level. A shared subscription's prefix is not looked at.
func ValidFilter(f string) bool {
	if f == "" || len(f) > maxField || checkText([]byte(f)) != nil {
		return false
	}
	for rest, more := f, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if level == "+" || level == "#" && !more {
			continue
		}
		if strings.ContainsAny(level, "+#") {
			return false
		}
	}
	return true
}

// checkText says why b is not a UTF-8 encoded string. MQTT 3.1 forbids U+0000 in topics only; here it is
// refused everywhere in every version, because strings go on into systems that end at it.
func checkText(b []byte) *rule {
	rest := b
	for len(rest) >= 8 {
		x := binary.LittleEndian.Uint64(rest)
		// Without a high bit, adding 0x7F sets a byte's high bit unless the byte is 0.
		if x&highOne != 0 || (x+lowSeven)&highOne != highOne {
			return checkRunes(rest)
		}
		rest = rest[8:]
	}
	for _, x := range rest {
		if x == 0 || x >= utf8.RuneSelf {
			return checkRunes(rest)
		}
	}
	return nil
}

// checkRunes is checkText without the short cut for ASCII. It loops by hand: the compiler sees then that b is only
// read and spares the copy where b was made of a string.
func checkRunes(b []byte) *rule {
	if !utf8.Valid(b) {
		return errUTF8
	}
	for _, x := range b {
		if x == 0 {
			return errNull
		}
	}
	return nil
}

// checkTopic says why b is not a topic name.
func checkTopic(b []byte) *rule {
	if len(b) == 0 {
		return errTopicEmpty
	}
	rest := b
	for len(rest) >= 8 {
		x := binary.LittleEndian.Uint64(rest)
		wild := x&^eachEight ^ eachPlus&^eachEight // 0 in each byte that is '+' or '#'
		if x&highOne != 0 || (x+lowSeven)&(wild+lowSeven)&highOne != highOne {
			return checkTopicRunes(rest)
		}
		rest = rest[8:]
	}
	for _, x := range rest {
		if x == 0 || x >= utf8.RuneSelf || x == '+' || x == '#' {
			return checkTopicRunes(rest)
		}
	}
	return nil
}

// checkTopicRunes is checkTopic without the short cut for ASCII.
func checkTopicRunes(b []byte) *rule {
	if bad := checkRunes(b); bad != nil {
		return bad
	}
	for _, x := range b {
		if x == '+' || x == '#' {
			return errTopicWildcard
		}
	}
	return nil
}
