package tenant

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxNameBytes = 32
	maxUserChars = 64

	nameRule     = "a tenant name is [a-z0-9][a-z0-9-]{0,31}"
	ruleNameRule = "the name of a rule is [a-z][a-z0-9-]{0,31}"
	userRule     = `a user name is [^/+#\x00-\x1f]{1,64}`
	roleRule     = "must be device or application"
)

// ValidName reports whether s is a tenant name: [a-z0-9][a-z0-9-]{0,31}.
func ValidName(s string) bool {
	if s == "" || len(s) > maxNameBytes || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// validRuleName reports whether s may name the stream of a shared rule: [a-z][a-z0-9-]{0,31}.
func validRuleName(s string) bool { return ValidName(s) && (s[0] < '0' || s[0] > '9') }

// ValidUser reports whether s is a user name: 1 to 64 characters of UTF-8 other than / + # and the control
// characters below 0x20.
func ValidUser(s string) bool {
	// The length in bytes first: it bounds the work on a name that comes from the wire.
	if s == "" || len(s) > maxUserChars*utf8.UTFMax || !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxUserChars {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '/' || c == '+' || c == '#' {
			return false
		}
	}
	return true
}

// SplitUsername splits the user name of MQTT or HTTP Basic, "<tenant>/<user>", at the first slash. Without
// ok one of the two is not a valid name, and both results are empty.
func SplitUsername(s string) (name, user string, ok bool) {
	name, user, ok = strings.Cut(s, "/")
	if !ok || !ValidName(name) || !ValidUser(user) {
		return "", "", false
	}
	return name, user, true
}

// quoteName makes a name fit for an error of one line: as it is when it is plain, else quoted, cut when it
// is long.
func quoteName(s string) string {
	plain := s != ""
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			plain = false
			break
		}
	}
	if plain && len(s) <= maxShown {
		return s
	}
	return quote(s)
}

// maxShown is how many bytes of a text errors show.
const maxShown = 80

// quote puts a text in quotes, cut when it is long.
func quote(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "…"
	}
	return strconv.Quote(s)
}
