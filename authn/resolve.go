package authn

import (
	"context"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/tenant"
)

// Resolve turns a tenant of the tenants file, or the demo tenant, into one for the store: it hashes the plain
// passwords. prev is the record that the store has now, the zero Tenant where there is none. A stored hash
// that the plain password still verifies against is kept, whatever its parameters, so that applying the same
// file again, here or on another bridge, gives an equal record.
//
// What Resolve verified or hashed it remembers as Authenticate does: applied again in the same process, a
// file costs no argon2id, and the file's users cost none when they log in. The error is context.Cause(ctx).
func (a *Authenticator) Resolve(ctx context.Context, prev tenant.Tenant, entry tenant.FileTenant) (tenant.Tenant, error) {
	t := entry.Tenant
	t.Users = maps.Clone(t.Users)
	var mu sync.Mutex // guards t.Users
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(a.slots))
	for userName, password := range entry.Passwords {
		g.Go(func() error {
			hash, err := a.resolvePassword(ctx, t.Name, userName, prev.Users[userName].PasswordHash, password)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			u := t.Users[userName]
			u.PasswordHash = hash
			t.Users[userName] = u
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return tenant.Tenant{}, err
	}
	return t, nil
}

// resolvePassword returns prev where the password verifies against it, else a new hash.
func (a *Authenticator) resolvePassword(ctx context.Context, name, userName, prev, password string) (string, error) {
	username := name + "/" + userName
	id := a.credential(username, prev, []byte(password))
	if prev != "" && a.remembered.has(id) {
		return prev, nil
	}
	if err := a.acquire(ctx); err != nil {
		return "", err
	}
	defer a.release()
	if h, err := tenant.ParseHash(prev); err == nil {
		a.count(h.HashParams)
		if matches(h, []byte(password)) {
			a.remembered.add(id)
			return prev, nil
		}
	}
	a.count(ownParams)
	hash := HashPassword([]byte(password))
	a.remembered.add(a.credential(username, hash, []byte(password)))
	return hash, nil
}
