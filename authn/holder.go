package authn

import (
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// Holder returns the principal of the user who asked for a token, as it is now: whoever holds the token acts for it. A changed
// password does not end the token. Errors are *reason.Error: reason.TenantDisabled and reason.UserChanged where
// the user may not log in any more, reason.RoleNotPermitted where it is no application, reason.NATSUnavailable while there
// is no directory.
func (a *Authenticator) Holder(c Claims) (Principal, error) {
	d := a.dir.Load()
	if d.tenants == nil {
		return Principal{}, errNoDirectory
	}
	e, ok := d.tenants[c.Tenant]
	if !ok || e.tenant.Disabled {
		return Principal{}, reason.New(reason.TenantDisabled, "the tenant was disabled")
	}
	u, ok := e.tenant.Users[c.User]
	if !ok {
		return Principal{}, reason.New(reason.UserChanged, "the user was removed")
	}
	p := Principal{Tenant: c.Tenant, User: c.User, Role: u.Role, fingerprint: a.fingerprint(c.Tenant, c.User, u)}
	if err := p.CheckApplication(); err != nil {
		return Principal{}, err
	}
	return p, nil
}

// CheckApplication returns nil for an application, else a *reason.Error with reason.RoleNotPermitted.
func (p Principal) CheckApplication() error {
	if p.Role != tenant.RoleApplication {
		return reason.New(reason.RoleNotPermitted, "only users of role application may do this")
	}
	return nil
}
