package tenant

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// HashParams are the cost parameters of argon2id. The zero value is not valid.
type HashParams struct {
	// Memory in KiB.
	Memory uint32
	// Time is the number of passes over the memory.
	Time    uint32
	Threads uint8
}

// The bounds of what ParseHash accepts. A login with a hash at the upper bound takes about a second; below
// the lower bound a hash is no protection.
const (
	MinHashMemory  = 4 << 10   // KiB
	MaxHashMemory  = 256 << 10 // KiB
	MaxHashWork    = 1 << 20   // KiB times passes
	MaxHashThreads = 16

	minSaltBytes, maxSaltBytes = 8, 64
	minKeyBytes, maxKeyBytes   = 16, 64
)

// Hash is a parsed argon2id PHC string.
type Hash struct {
	HashParams
	Salt []byte
	Key  []byte
}

// phcEncoding is base64 as PHC strings have it: without padding, and without the spare bits that would let
// one hash be written in several ways.
var phcEncoding = base64.RawStdEncoding.Strict()

// ParseHash reads an argon2id PHC string, "$argon2id$v=19$m=19456,t=2,p=1$<salt>$<key>", in its one
// canonical form. Its errors do not show the hash.
func ParseHash(s string) (Hash, error) {
	// The longest hash within the bounds is shorter than this; it keeps the scan off anything longer.
	const maxBytes = 256
	parts := strings.Split(s[:min(len(s), maxBytes)], "$")
	if len(s) > maxBytes || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return Hash{}, errHashForm
	}
	var h Hash
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.Memory, &h.Time, &h.Threads); err != nil {
		return Hash{}, errHashForm
	}
	var saltErr, keyErr error
	h.Salt, saltErr = phcEncoding.DecodeString(parts[4])
	h.Key, keyErr = phcEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || h.String() != s {
		return Hash{}, errHashForm
	}
	switch {
	case h.Memory < MinHashMemory || h.Memory > MaxHashMemory:
		return Hash{}, fmt.Errorf("m=%d is not between %d and %d KiB", h.Memory, MinHashMemory, MaxHashMemory)
	case h.Time < 1 || uint64(h.Memory)*uint64(h.Time) > MaxHashWork:
		return Hash{}, fmt.Errorf("t=%d is not between 1 and %d, the maximum with m=%d", h.Time, MaxHashWork/h.Memory, h.Memory)
	case h.Threads < 1 || h.Threads > MaxHashThreads:
		return Hash{}, fmt.Errorf("p=%d is not between 1 and %d", h.Threads, MaxHashThreads)
	case len(h.Salt) < minSaltBytes || len(h.Salt) > maxSaltBytes:
		return Hash{}, fmt.Errorf("a salt of %d bytes is not between %d and %d", len(h.Salt), minSaltBytes, maxSaltBytes)
	case len(h.Key) < minKeyBytes || len(h.Key) > maxKeyBytes:
		return Hash{}, fmt.Errorf("a key of %d bytes is not between %d and %d", len(h.Key), minKeyBytes, maxKeyBytes)
	}
	return h, nil
}

var errHashForm = errors.New("must be an argon2id hash of the form $argon2id$v=19$m=…,t=…,p=…$salt$key")

// String is the PHC form of the hash. ParseHash takes it back.
func (h Hash) String() string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.Memory, h.Time, h.Threads,
		phcEncoding.EncodeToString(h.Salt), phcEncoding.EncodeToString(h.Key))
}
