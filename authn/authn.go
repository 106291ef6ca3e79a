// Package authn turns credentials into principals.
//
// # No difference
//
// Unknown tenant, disabled tenant, unknown user, wrong password and malformed user name have one answer, and
// cost the same. The cost of a failure does not depend on the user: it is one run of argon2id for every
// different set of parameters among the hashes of all enabled tenants, in one order. For a user that exists, the run with
// the parameters of its hash is the real check; all others check against nothing. With the parameters of
// HashPassword alone, the rule, that is exactly one run. (Picking one set of dummy parameters for an unknown
// name would be cheaper, but the pick would have to be the same for ever and on every bridge, or asking
// twice would tell a name that exists from one that does not.) The number of sets is small: the tenants file
// may use only a few.
//
// # No argon2id for those who come back
//
// A verified password is remembered in the process, as a keyed hash with a random key over tenant, user,
// stored hash and password. Whoever reconnects is recognised by it. Because the stored hash is part of it, a
// changed password makes what was remembered worthless at once. Failures are never remembered.
//
// # Bounded work
//
// As many argon2id runs as GOMAXPROCS take place at once, so at most GOMAXPROCS times the memory of the
// largest hash is in use. Logins with the same credentials share one check. A bounded number of logins wait;
// beyond it they are refused with reason.ConnectionLimit: the process is busy, and the client is to come
// back later. That says nothing about the credentials.
//
// # Changes
//
// A principal carries a fingerprint of its user's record. The caller that holds connections registers a
// connection first and then calls Check, and closes it when that is not nil; and whenever a change of the
// directory reports a tenant, it calls Check for every registered connection of that tenant. The directory is
// swapped before the change is reported, so a connection that authenticated before the change is either
// registered in time to be found, or finds out by its own Check.
//
// # Tokens
//
// Tokens are signed claims for microservices: which subscriber, which topics, and who asked. They carry no rights of their own:
// Holder looks the user up again at every use.
package authn

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// Principal is who a connection turned out to be. Only an Authenticator makes principals that its Check
// accepts.
type Principal struct {
	Tenant string
	User   string
	Role   tenant.Role

	fingerprint mac // of the user's record
}

const (
	// maxRemembered bounds the remembered passwords of a process.
	maxRemembered = 1 << 17
	// waitingPerSlot bounds the logins in progress that were not recognised, per concurrent argon2id run: what can be
	// served within the connect timeout of 10 s at 25 ms each, with some room.
	waitingPerSlot = 256
)

// Authenticator checks credentials against a directory of tenants. It begins without one, and until there is one it
// can tell nothing about anybody. It is safe for concurrent use and has no goroutines of its own.
type Authenticator struct {
	// immutable
	key        []byte
	slots      chan struct{} // one element per argon2id run in progress; never closed
	maxWaiting int64

	dir     atomic.Pointer[directory]
	waiting atomic.Int64
	runs    atomic.Int64 // argon2id runs so far
	work    atomic.Int64 // their memory in KiB times passes

	remembered memory
	flights    flights

	changing sync.Mutex // held by those who replace dir
}

// New returns an Authenticator without a directory.
func New() *Authenticator {
	n := runtime.GOMAXPROCS(0)
	a := &Authenticator{
		key:        make([]byte, sha256.Size),
		slots:      make(chan struct{}, n),
		maxWaiting: int64(n * waitingPerSlot),
		remembered: memory{max: maxRemembered},
	}
	_, _ = rand.Read(a.key) // never fails: it ends the program instead
	a.dir.Store(newDirectory(nil))
	return a
}

var (
	// errBadCredentials is the one answer to credentials that are not right.
	errBadCredentials = reason.New(reason.BadCredentials, "user name or password is wrong")
	// errNoDirectory says nothing about the credentials: the client is to come back.
	errNoDirectory = reason.New(reason.NATSUnavailable, "the tenants are not known yet")
)

// Authenticate checks a user name of the form "<tenant>/<user>" and a password. The error is
// reason.BadCredentials for credentials that are not right in whatever way, reason.ConnectionLimit when too
// many logins wait already, reason.NATSUnavailable while there is no directory, all *reason.Error, or context.Cause(ctx) when ctx ended while waiting. An argon2id
// run that has begun is not interrupted. The password is not kept.
func (a *Authenticator) Authenticate(ctx context.Context, username string, password []byte) (Principal, error) {
	d := a.dir.Load()
	if d.tenants == nil {
		return Principal{}, errNoDirectory
	}
	name, userName, _ := tenant.SplitUsername(username)
	// A user that does not exist goes the same way with an empty record, to which no password belongs.
	user, hash := d.user(name, userName)
	id := a.credential(username, user.PasswordHash, password)
	if !a.remembered.has(id) {
		ok, err := a.check(ctx, id, d, hash, password)
		if err != nil {
			return Principal{}, err
		}
		if !ok {
			return Principal{}, errBadCredentials
		}
	}
	p := Principal{Tenant: name, User: userName, Role: user.Role, fingerprint: a.fingerprint(name, userName, user)}
	// The check may have waited for seconds, and the directory may be another one by now.
	if a.Check(p) != nil {
		return Principal{}, errBadCredentials
	}
	return p, nil
}

// Check returns nil while the principal's user is the one that logged in: it exists, with the same password
// hash and role, in a tenant that is enabled. Otherwise it returns a *reason.Error with reason.UserChanged
// or reason.TenantDisabled.
func (a *Authenticator) Check(p Principal) error {
	d := a.dir.Load()
	e, ok := d.tenants[p.Tenant]
	if !ok || e.tenant.Disabled {
		return reason.New(reason.TenantDisabled, "the tenant was disabled")
	}
	u, ok := e.tenant.Users[p.User]
	if !ok || a.fingerprint(p.Tenant, p.User, u) != p.fingerprint {
		return reason.New(reason.UserChanged, "the user was changed or removed")
	}
	return nil
}

type mac [sha256.Size]byte

// credential is what a verified password is remembered as. The user name is "<tenant>/<user>"; the hash of a
// user that does not exist is empty.
func (a *Authenticator) credential(username, hash string, password []byte) mac {
	return a.mac([]byte("credential"), []byte(username), []byte(hash), password)
}

func (a *Authenticator) fingerprint(name, userName string, u tenant.User) mac {
	return a.mac([]byte("record"), []byte(name), []byte(userName), []byte(u.PasswordHash), []byte(u.Role))
}

// mac is the keyed hash of the fields, each preceded by its length.
func (a *Authenticator) mac(fields ...[]byte) mac {
	h := hmac.New(sha256.New, a.key)
	var n [8]byte
	for _, f := range fields {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write(f)
	}
	var m mac
	h.Sum(m[:0])
	return m
}
