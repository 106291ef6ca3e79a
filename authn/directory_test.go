package authn

import (
	"slices"
	"testing"
	"time"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

func TestSetTenantsReportsWhoIsAffected(t *testing.T) {
	named := func(name string, disabled bool, users map[string]tenant.User) tenant.Tenant {
		return tenant.Tenant{Name: name, Users: users, Disabled: disabled, Origin: tenant.OriginFile}
	}
	bob, alice, other := map[string]tenant.User{"bob": device("x")}, map[string]tenant.User{"alice": device("x")}, map[string]tenant.User{"bob": device("y")}
	both := map[string]tenant.User{"bob": bob["bob"], "alice": alice["alice"]}
	quotas := named("quotas", false, bob)
	quotas.Quotas.Topics = 7
	a := New()
	set := func(tenants ...tenant.Tenant) []string {
		m := map[string]tenant.Tenant{}
		for _, t := range tenants {
			m[t.Name] = t
		}
		return a.SetTenants(m)
	}
	if got := set(
		named("same", false, bob), named("added", false, bob), named("removed", false, both), named("changed", false, bob),
		named("disabled", false, bob), named("enabled", true, bob), named("gone", false, bob), named("gone-disabled", true, bob),
		named("nobody", false, nil), named("quotas", false, bob),
	); got != nil {
		t.Errorf("from nothing: %q", got)
	}
	got := set(
		named("same", false, bob), named("added", false, both), named("removed", false, alice), named("changed", false, other),
		named("disabled", true, bob), named("enabled", false, other), named("nobody", true, nil), quotas, named("new", false, bob),
	)
	if want := []string{"changed", "disabled", "gone", "removed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOneTenantChanges(t *testing.T) {
	bob := acme(map[string]tenant.User{"bob": device("x")})
	a := New()
	for range 2 {
		if a.SetTenant(bob) {
			t.Error("a new tenant, or the same once more, affects somebody")
		}
	}
	p := mustLogin(t, a, "acme/bob", "x")
	if a.RemoveTenant("nobody") || a.Check(p) != nil {
		t.Error("removing a tenant that does not exist affects somebody")
	}
	if !a.RemoveTenant("acme") || reasonOf(a.Check(p)) != reason.TenantDisabled {
		t.Errorf("after the tenant was removed: %v", a.Check(p))
	}
	if a.RemoveTenant("acme") {
		t.Error("removing it again affects somebody")
	}
}

func TestLimits(t *testing.T) {
	off := acme(nil)
	off.Name, off.Disabled, off.Quotas = "off", true, tenant.Quotas{TTL: time.Hour}
	a := started(acme(nil), off)
	if l, ok := a.Limits("acme"); !ok || l != (tenant.Quotas{}).Resolve() {
		t.Errorf("got %+v, %v", l, ok)
	}
	if l, ok := a.Limits("off"); !ok || l.TTL != time.Hour {
		t.Errorf("disabled: %+v, %v", l, ok)
	}
	if l, ok := a.Limits("nobody"); ok || l != (tenant.Limits{}) {
		t.Errorf("unknown: %+v, %v", l, ok)
	}
}
