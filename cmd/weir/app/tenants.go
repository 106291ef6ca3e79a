package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/embedded"
	"github.com/weirmq/weir/microservice"
	"github.com/weirmq/weir/tenant"
)

// directory brings the tenants of the store into force on this bridge.
type directory struct {
	// immutable
	store    *jetstream.Store
	auth     *authn.Authenticator
	server   *bridge.Server
	services *microservice.Server
	embedded *embedded.Server // nil with an external NATS system
	opening  *opening
	log      *zap.Logger

	// owned by whoever calls enforce: first the start, then the goroutine that follows the store
	inForce map[string]tenant.Tenant

	known chan struct{} // closed when the tenants are in force and their logs open
}

// ready returns nil when the tenants are in force.
func (d *directory) ready() error {
	select {
	case <-d.known:
		return nil
	default:
		return errors.New("the tenants are not known yet")
	}
}

// enforce brings all tenants into force: accounts and limits first, because whoever may log in needs them, then users; then
// everyone is looked at who is connected already. A tenant that fails is left out, and is part of the error.
func (d *directory) enforce(all map[string]jetstream.StoredTenant) error {
	var errs []error
	next := d.decode(all)
	changed := changes(d.inForce, next)
	for _, name := range changed {
		t, ok := next[name]
		if !ok {
			continue
		}
		if d.embedded != nil {
			if err := d.embedded.AddTenant(name); err != nil {
				errs = append(errs, err)
				delete(next, name)
				continue
			}
		}
		d.store.SetLimits(name, all[name].Revision, t.Quotas.Resolve(), t.Rules.Resolve(t.Quotas))
	}
	d.auth.SetTenants(next)
	for _, name := range changed {
		d.server.Recheck(name)
		d.services.Recheck(name)
		if d.embedded == nil {
			continue
		}
		for _, user := range revoked(d.inForce[name], next[name]) {
			if err := d.embedded.Disconnect(name, user); err != nil {
				errs = append(errs, err)
			}
		}
	}
	d.opening.add(enabled(next, changed))
	if len(changed) > 0 {
		d.log.Info("tenants in force", zap.Int("tenants", len(next)), zap.Strings("changed", changed))
	}
	d.inForce = next
	return errors.Join(errs...)
}

// enabled divides names into those of tenants that are enabled and others.
func enabled(tenants map[string]tenant.Tenant, names []string) (yes, no []string) {
	for _, name := range names {
		if t, ok := tenants[name]; ok && !t.Disabled {
			yes = append(yes, name)
		} else {
			no = append(no, name)
		}
	}
	return yes, no
}

// changes returns the names of the tenants that are not the same in both, sorted.
func changes(before, after map[string]tenant.Tenant) []string {
	var names []string
	for name, t := range after {
		if b, ok := before[name]; !ok || !b.Equal(t) {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// revoked returns the users of a tenant whose logins are not valid any more, sorted. A tenant that is not there is the zero Tenant.
func revoked(before, after tenant.Tenant) []string {
	if before.Disabled {
		return nil
	}
	var users []string
	for name, u := range before.Users {
		if after.Disabled || after.Users[name] != u {
			users = append(users, name)
		}
	}
	slices.Sort(users)
	return users
}

// decode returns the tenants that can be read. Of a record that cannot, the version that is in force stays.
func (d *directory) decode(all map[string]jetstream.StoredTenant) map[string]tenant.Tenant {
	tenants := make(map[string]tenant.Tenant, len(all))
	for name, stored := range all {
		t, err := tenant.Decode(stored.Value)
		if err == nil && t.Name != name {
			err = fmt.Errorf("the record is of tenant %q", t.Name)
		}
		if err == nil {
			tenants[name] = t
			continue
		}
		d.log.Error("tenant record refused", zap.String("tenant", name), zap.Error(err))
		if before, ok := d.inForce[name]; ok {
			tenants[name] = before
		}
	}
	return tenants
}

// follow enforces every change of the store until ctx ends or the store is closed.
func (d *directory) follow(ctx context.Context) error {
	return d.store.WatchTenants(ctx, func(all map[string]jetstream.StoredTenant) {
		if err := d.enforce(all); err != nil {
			d.log.Error("tenants not in force", zap.Error(err))
		}
	})
}
