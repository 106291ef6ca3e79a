package authn

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weirmq/weir/reason"
)

const (
	// MaxLifetime is how long a token can live.
	MaxLifetime = 365 * 24 * time.Hour
	// MinSecretBytes is the shortest secret of a Key: as long as the hash that it keys.
	MinSecretBytes = 32

	// maxTokenBytes is more than the largest token that Issue makes.
	maxTokenBytes = 8 << 10
	maxKeyIDBytes = 64
)

// Key is what tokens are signed and verified with.
type Key struct {
	// ID tells which key a token was signed with. It is no secret.
	ID string
	// Secret has at least MinSecretBytes. It is not modified.
	Secret  []byte
	Created time.Time
	// SignsFrom is when every bridge can be expected to know the key. Until then an older one signs, if there is one.
	SignsFrom time.Time
}

// Tokens issues tokens for microservices, and verifies them. It begins without keys, and until it has some it can tell nothing
// about any token. It is safe for concurrent use.
type Tokens struct {
	keys atomic.Pointer[[]Key] // the oldest first; immutable
}

// Claims are what a token says. Their JSON is that of the token itself.
type Claims struct {
	Tenant string
	User   string // who asked for the token
	// Subscriber is the name under which messages are kept for whoever holds the token.
	Subscriber string
	// Subscription is the topic, or the topic filter, that the token is for.
	Subscription  string
	Shared        bool // several connections may use it at the same time, and share the messages
	NonPersistent bool // messages are not kept while nobody is connected

	// Set by Issue.
	ID              string
	Issued, Expires time.Time // whole seconds
}

// SetKeys replaces the keys; the oldest comes first. With an error those before stay.
func (t *Tokens) SetKeys(keys []Key) error {
	ids := make(map[string]bool, len(keys))
	for _, k := range keys {
		switch {
		case k.ID == "" || len(k.ID) > maxKeyIDBytes:
			return fmt.Errorf("a signing key has an identifier of %d bytes", len(k.ID))
		case ids[k.ID]:
			return fmt.Errorf("two signing keys are called %q", k.ID)
		case len(k.Secret) < MinSecretBytes:
			return fmt.Errorf("signing key %q has a secret of %d bytes; it needs %d", k.ID, len(k.Secret), MinSecretBytes)
		}
		ids[k.ID] = true
	}
	keys = slices.Clone(keys)
	t.keys.Store(&keys)
	return nil
}

// errNoKeys says nothing about a token: the client is to come back.
var errNoKeys = reason.New(reason.NATSUnavailable, "the keys that sign tokens are not known yet")

// Ready returns nil when there are keys.
func (t *Tokens) Ready() error {
	if keys := t.keys.Load(); keys == nil || len(*keys) == 0 {
		return errors.New(errNoKeys.Message)
	}
	return nil
}

// signing is the newest key that may sign now, or else the oldest.
func (t *Tokens) signing(now time.Time) (Key, error) {
	if t.Ready() != nil {
		return Key{}, errNoKeys
	}
	keys := *t.keys.Load()
	for _, k := range slices.Backward(keys) {
		if !k.SignsFrom.After(now) {
			return k, nil
		}
	}
	return keys[0], nil
}

// Issue makes a token that lives from now on for a lifetime of whole seconds up to MaxLifetime. It returns the claims with the
// fields that it has set. Who may have such a token is for the caller to decide. The error is reason.NATSUnavailable
// while there are no keys.
func (t *Tokens) Issue(c Claims, lifetime time.Duration) (string, Claims, error) {
	now := time.Now()
	k, err := t.signing(now)
	if err != nil {
		return "", Claims{}, err
	}
	c.ID, c.Issued = rand.Text(), now.Truncate(time.Second)
	c.Expires = c.Issued.Add(lifetime)
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, c.wire())
	token.Header["kid"] = k.ID
	signed, err := token.SignedString(k.Secret)
	if err == nil && len(signed) > maxTokenBytes {
		err = fmt.Errorf("a token of %d bytes is over the maximum %d", len(signed), maxTokenBytes)
	}
	if err != nil {
		return "", Claims{}, &reason.Error{Reason: reason.InternalError, Message: "the token cannot be made", Err: err}
	}
	return signed, c, nil
}

// verifier takes HS256 and nothing else: the algorithm is never the token's choice.
var verifier = jwt.NewParser(
	jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
	jwt.WithExpirationRequired(),
	jwt.WithStrictDecoding(),
)

// Verify returns what a token says that Issue made, here or on another bridge with the same keys, and that has not expired.
// Errors are *reason.Error: reason.TokenInvalid, reason.TokenExpired, and reason.NATSUnavailable while there are no
// keys.
func (t *Tokens) Verify(token string) (Claims, error) {
	if t.Ready() != nil {
		return Claims{}, errNoKeys
	}
	switch {
	case token == "":
		return Claims{}, reason.New(reason.TokenInvalid, "there is no token")
	case len(token) > maxTokenBytes:
		return Claims{}, reason.New(reason.TokenInvalid, "the token is too long")
	case strings.ContainsFunc(token, foreign):
		return Claims{}, reason.New(reason.TokenInvalid, "the token is malformed")
	}
	var w wireClaims
	_, err := verifier.ParseWithClaims(token, &w, t.keyOf)
	switch {
	case errors.Is(err, errUnknownKey):
		return Claims{}, reason.New(reason.TokenInvalid, "the token was not signed here")
	case errors.Is(err, jwt.ErrTokenExpired):
		return Claims{}, reason.New(reason.TokenExpired, "the token has expired")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return Claims{}, reason.New(reason.TokenInvalid, "the signature of the token is wrong")
	case err != nil:
		return Claims{}, &reason.Error{Reason: reason.TokenInvalid, Message: "the token is malformed", Err: err}
	}
	c, ok := w.claims()
	if !ok {
		return Claims{}, reason.New(reason.TokenInvalid, "the token does not say what a token of Weir says")
	}
	return c, nil
}

// foreign reports whether a character is none of a token. The decoder would skip line breaks.
func foreign(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

var errUnknownKey = errors.New("the key is not known")

// keyOf finds the key that a token names. A header with more in it than Issue writes may want something that nobody here
// understands.
func (t *Tokens) keyOf(token *jwt.Token) (any, error) {
	id, _ := token.Header["kid"].(string)
	for _, k := range *t.keys.Load() {
		if k.ID == id && len(token.Header) == 3 && token.Header["typ"] == "JWT" {
			return k.Secret, nil
		}
	}
	return nil, errUnknownKey
}

// MarshalJSON returns the claims as they are in the token.
func (c Claims) MarshalJSON() ([]byte, error) { return json.Marshal(c.wire()) }
