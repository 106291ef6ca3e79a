package authn

import (
	"encoding/hex"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weirmq/weir/tenant"
)

// wireClaims are Claims as they are in a token. Flags are there only when they are set, as strings.
type wireClaims struct {
	jwt.RegisteredClaims
	Topic    string `json:"topic"` // <tenant>/mqtt/<subscription, URL-encoded>
	User     string `json:"usr"`   // <tenant>/<user>
	Shared   string `json:"shared,omitempty"`
	Volatile string `json:"volatile,omitempty"`
}

const (
	topicKind = "mqtt"
	flagSet   = "true"
)

func (c Claims) wire() wireClaims {
	return wireClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject: c.Subscriber, ID: c.ID, IssuedAt: jwt.NewNumericDate(c.Issued), ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		Topic:    c.Tenant + "/" + topicKind + "/" + escape(c.Subscription),
		User:     c.Tenant + "/" + c.User,
		Shared:   flag(c.Shared),
		Volatile: flag(c.NonPersistent),
	}
}

// claims is the way back. Without ok something is missing or does not fit together.
func (w wireClaims) claims() (c Claims, ok bool) {
	if w.Subject == "" || w.ID == "" || w.IssuedAt == nil || w.ExpiresAt == nil {
		return Claims{}, false
	}
	topic := strings.Split(w.Topic, "/")
	if len(topic) != 3 || topic[1] != topicKind {
		return Claims{}, false
	}
	subscription, ok := unescape(topic[2])
	if !ok || subscription == "" {
		return Claims{}, false
	}
	name, user, ok := tenant.SplitUsername(w.User)
	if !ok || name != topic[0] {
		return Claims{}, false
	}
	shared, okShared := parseFlag(w.Shared)
	volatile, okVolatile := parseFlag(w.Volatile)
	return Claims{
		Tenant: name, User: user, Subscriber: w.Subject, Subscription: subscription, Shared: shared, NonPersistent: volatile,
		ID: w.ID, Issued: w.IssuedAt.Time, Expires: w.ExpiresAt.Time,
	}, okShared && okVolatile
}

func flag(set bool) string {
	if set {
		return flagSet
	}
	return ""
}

func parseFlag(s string) (set, ok bool) { return s == flagSet, s == "" || s == flagSet }

// escape is URL encoding, for whoever decodes it, plus signs as spaces or not: all but [A-Za-z0-9._~-] is written %XX. (The
// standard library's is in package net.)
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&0xF]})
		}
	}
	return b.String()
}

func unreserved(c byte) bool { return c == '~' || !foreign(rune(c)) }

// unescape takes nothing but what escape returns.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if len(s) < i+3 {
			return "", false
		}
		c, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	return b.String(), escape(b.String()) == s
}
