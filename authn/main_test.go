package authn

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap are the parameters of hashes in tests that do not care for them.
var cheap = tenant.HashParams{Memory: tenant.MinHashMemory, Time: 1, Threads: 1}

func hashWith(p tenant.HashParams, password string) string {
	h := tenant.Hash{HashParams: p, Salt: []byte("salt of the test")}
	h.Key = run(p, []byte(password), h.Salt, keyBytes)
	return h.String()
}

func device(password string) tenant.User {
	return tenant.User{PasswordHash: hashWith(cheap, password), Role: tenant.RoleDevice}
}

// acme is a tenant with these users.
func acme(users map[string]tenant.User) tenant.Tenant {
	return tenant.Tenant{Name: "acme", Users: users, Origin: tenant.OriginFile}
}

// started returns an Authenticator with the tenants.
func started(tenants ...tenant.Tenant) *Authenticator {
	a := New()
	for _, t := range tenants {
		a.SetTenant(t)
	}
	return a
}

func mustLogin(t *testing.T, a *Authenticator, username, password string) Principal {
	t.Helper()
	p, err := a.Authenticate(context.Background(), username, []byte(password))
	if err != nil {
		t.Fatalf("%s: %v", username, err)
	}
	return p
}

func reasonOf(err error) reason.Reason {
	if e, ok := errors.AsType[*reason.Error](err); ok {
		return e.Reason
	}
	return ""
}
