package authn

import (
	"crypto/rand"
	"crypto/subtle"

	"golang.org/x/crypto/argon2"

	"github.com/weirmq/weir/tenant"
)

// ownParams are the parameters of the hashes that Weir makes: the OWASP recommendation for argon2id with the
// least memory per login that needs no more than two passes.
var ownParams = tenant.HashParams{Memory: 19456, Time: 2, Threads: 1}

const (
	saltBytes = 16
	keyBytes  = 32
)

// dummySalt stands for the salt of users that do not exist.
var dummySalt = make([]byte, saltBytes)

// HashPassword returns the argon2id PHC string of a password with a new salt. It takes 19 MiB and some tens of
// milliseconds.
func HashPassword(password []byte) string {
	h := tenant.Hash{HashParams: ownParams, Salt: make([]byte, saltBytes)}
	_, _ = rand.Read(h.Salt) // never fails: it ends the program instead
	h.Key = run(h.HashParams, password, h.Salt, keyBytes)
	return h.String()
}

// Verify reports whether the password is the one that was hashed. It is false for what tenant.ParseHash
// refuses.
func Verify(hash string, password []byte) bool {
	h, err := tenant.ParseHash(hash)
	return err == nil && matches(h, password)
}

func matches(h tenant.Hash, password []byte) bool {
	key := run(h.HashParams, password, h.Salt, len(h.Key))
	return subtle.ConstantTimeCompare(key, h.Key) == 1
}

func run(p tenant.HashParams, password, salt []byte, keyLen int) []byte {
	return argon2.IDKey(password, salt, p.Time, p.Memory, p.Threads, uint32(keyLen))
}
