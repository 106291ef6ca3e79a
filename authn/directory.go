package authn

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weirmq/weir/tenant"
)

// directory is the tenants in force. It is immutable.
type directory struct {
	tenants map[string]entry
	// params are the parameters of all hashes of enabled tenants, without repetition, in a fixed order; never
	// empty, so that a failure costs something even where nobody can log in.
	params []tenant.HashParams
}

// entry is a tenant with what is computed once from it. It is immutable.
type entry struct {
	tenant tenant.Tenant
	limits tenant.Limits
	// hashes by user name and their parameters; empty where the tenant is disabled. They are parsed here and not at
	// the login, where parsing would take time for users that exist only.
	hashes map[string]tenant.Hash
	params map[tenant.HashParams]bool
}

func newEntry(t tenant.Tenant) entry {
	e := entry{tenant: t, limits: t.Quotas.Resolve(), hashes: map[string]tenant.Hash{}, params: map[tenant.HashParams]bool{}}
	if t.Disabled {
		return e
	}
	for name, u := range t.Users {
		if h, err := tenant.ParseHash(u.PasswordHash); err == nil {
			e.hashes[name] = h
			e.params[h.HashParams] = true
		}
	}
	return e
}

func newDirectory(tenants map[string]entry) *directory {
	all := map[tenant.HashParams]bool{}
	for _, e := range tenants {
		maps.Copy(all, e.params)
	}
	if len(all) == 0 {
		all[ownParams] = true
	}
	params := slices.SortedFunc(maps.Keys(all), func(x, y tenant.HashParams) int {
		return cmp.Or(cmp.Compare(x.Memory, y.Memory), cmp.Compare(x.Time, y.Time), cmp.Compare(x.Threads, y.Threads))
	})
	return &directory{tenants: tenants, params: params}
}

// user returns a user of an enabled tenant and its parsed hash. A user that cannot log in has the zero User
// and the zero Hash.
func (d *directory) user(name, userName string) (tenant.User, tenant.Hash) {
	e := d.tenants[name]
	h, ok := e.hashes[userName]
	if !ok {
		return tenant.User{}, tenant.Hash{}
	}
	return e.tenant.Users[userName], h
}

// Limits returns the limits of a tenant; disabled ones have them too. Without ok there is no such tenant.
func (a *Authenticator) Limits(name string) (l tenant.Limits, ok bool) {
	e, ok := a.dir.Load().tenants[name]
	return e.limits, ok
}

// SetTenants replaces the directory. It returns, sorted, the names of the tenants of which some principal is
// not valid any more: the caller calls Check for their connections. The tenants are valid, keyed by name, and
// not modified afterwards.
func (a *Authenticator) SetTenants(tenants map[string]tenant.Tenant) (affected []string) {
	next := make(map[string]entry, len(tenants))
	for name, t := range tenants {
		next[name] = newEntry(t)
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.replace(next)
}

// SetTenant adds or replaces one tenant, and reports whether some principal of it is not valid any more.
func (a *Authenticator) SetTenant(t tenant.Tenant) (affected bool) {
	e := newEntry(t)
	a.changing.Lock()
	defer a.changing.Unlock()
	next := maps.Clone(a.dir.Load().tenants)
	if next == nil {
		next = map[string]entry{}
	}
	next[t.Name] = e
	return len(a.replace(next)) > 0
}

// RemoveTenant removes one tenant, and reports whether some principal of it is not valid any more.
func (a *Authenticator) RemoveTenant(name string) (affected bool) {
	a.changing.Lock()
	defer a.changing.Unlock()
	next := maps.Clone(a.dir.Load().tenants)
	delete(next, name)
	return len(a.replace(next)) > 0
}

// replace swaps the directory and only then looks for what has changed. The caller holds a.changing.
func (a *Authenticator) replace(next map[string]entry) (affected []string) {
	prev := a.dir.Swap(newDirectory(next))
	for name, e := range prev.tenants {
		if invalidates(e.tenant, next[name].tenant) {
			affected = append(affected, name)
		}
	}
	slices.Sort(affected)
	return affected
}

// invalidates reports whether a user who could log in before is not the same any more. A tenant that is gone
// is the zero Tenant, which has no users.
func invalidates(prev, next tenant.Tenant) bool {
	if prev.Disabled {
		return false
	}
	for name, u := range prev.Users {
		if next.Disabled || next.Users[name] != u {
			return true
		}
	}
	return false
}
