package message

import "strings"

// Classes of bytes that are written as %XX. A byte carries one bit for each alphabet that escapes it.
const (
	inSubject byte = 1 << iota // levels of a topic
	inValue                    // values of headers
	inName                     // names of user properties
)

var escaped = func() (t [256]byte) {
	for c := range 0x21 {
		t[c] = inSubject | inValue | inName
	}
	t[0x7F] = inSubject | inValue | inName
	t['%'] = inSubject | inValue | inName
	t['.'] = inSubject
	t['*'] = inSubject
	t['>'] = inSubject
	t['='] = inName
	return t
}()

const upperHex = "0123456789ABCDEF"

// clean reports whether nothing in s is escaped in the given alphabet.
func clean[T string | []byte](s T, alphabet byte) bool {
	for i := range len(s) {
		if escaped[s[i]]&alphabet != 0 {
			return false
		}
	}
	return true
}

func appendByte(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

func appendEscaped[T string | []byte](dst []byte, s T, alphabet byte) []byte {
	if clean(s, alphabet) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if c := s[i]; escaped[c]&alphabet != 0 {
			dst = appendByte(dst, c)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

func escape(s string, alphabet byte) string {
	if clean(s, alphabet) {
		return s
	}
	return string(appendEscaped(make([]byte, 0, len(s)+16), s, alphabet))
}

// unhex returns the value of one hex digit; strict accepts upper case only.
func unhex(c byte, strict bool) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f' && !strict:
		return c - 'a' + 10, true
	}
	return 0, false
}

// unescapeByte reads the %XX that s starts with.
func unescapeByte(s string, strict bool) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, ok1 := unhex(s[1], strict)
	lo, ok2 := unhex(s[2], strict)
	return hi<<4 | lo, ok1 && ok2
}

// unescapeStrict takes only what appendEscaped writes for the alphabet, so that one string has one spelling. It
// appends to dst.
func unescapeStrict(dst []byte, s string, alphabet byte) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if escaped[c]&alphabet == 0 {
			dst = append(dst, c)
			continue
		}
		b, ok := unescapeByte(s[i:], true)
		if !ok || escaped[b]&alphabet == 0 {
			return dst, false
		}
		dst = append(dst, b)
		i += 2
	}
	return dst, true
}

// unescape takes everything in which each % starts an escape: a native service may leave spaces as they are and
// write hex digits in either case. Without a % it returns s itself.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		c, ok := unescapeByte(s[i:], false)
		if !ok {
			return "", false
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), true
}
