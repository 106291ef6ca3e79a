package authn

import (
	"context"
	"errors"
	"testing"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

func TestResolve(t *testing.T) {
	hashed := hashWith(cheap, "hashed")
	file, err := tenant.ParseFile([]byte(`
tenants:
  acme:
    users:
      bob: {password: s3cret, role: device}
      alice: {password: other, role: application}
      mapper: {password_hash: "` + hashed + `", role: application}
`))
	if err != nil {
		t.Fatal(err)
	}
	entry := file.Tenants["acme"]
	resolve := func(a *Authenticator, prev tenant.Tenant) tenant.Tenant {
		t.Helper()
		got, err := a.Resolve(context.Background(), prev, entry)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	a := New()
	first := resolve(a, tenant.Tenant{})
	if !Verify(first.Users["bob"].PasswordHash, []byte("s3cret")) || first.Users["mapper"].PasswordHash != hashed || a.runs.Load() != 2 {
		t.Fatalf("got %+v after %d runs", first, a.runs.Load())
	}
	if entry.Tenant.Users["bob"].PasswordHash != "" {
		t.Error("the entry of the file was modified")
	}

	// Applied again, it gives the same record and costs nothing; nor does the users' login.
	if again := resolve(a, first); !again.Equal(first) || a.runs.Load() != 2 {
		t.Errorf("applied again: %+v after %d runs", again, a.runs.Load())
	}
	a.SetTenant(first)
	mustLogin(t, a, "acme/bob", "s3cret")
	if n := a.runs.Load(); n != 2 {
		t.Errorf("%d runs after a login, want 2", n)
	}

	// Another bridge gives the same record at a run for each plain password.
	b := New()
	if there := resolve(b, first); !there.Equal(first) || b.runs.Load() != 2 {
		t.Errorf("on another bridge: %+v after %d runs", there, b.runs.Load())
	}

	// A stored hash that fits is kept whatever its parameters; one that does not fit is replaced.
	prev := first
	prev.Users = map[string]tenant.User{
		"bob":   {PasswordHash: hashWith(cheap, "s3cret"), Role: tenant.RoleApplication},
		"alice": {PasswordHash: hashWith(cheap, "the old one"), Role: tenant.RoleApplication},
		"gone":  {PasswordHash: hashWith(cheap, "x"), Role: tenant.RoleApplication},
	}
	got := resolve(New(), prev)
	if u := got.Users["bob"]; u != (tenant.User{PasswordHash: prev.Users["bob"].PasswordHash, Role: tenant.RoleDevice}) {
		t.Errorf("bob is %+v", u)
	}
	if u := got.Users["alice"]; u.PasswordHash == prev.Users["alice"].PasswordHash || !Verify(u.PasswordHash, []byte("other")) {
		t.Errorf("alice is %+v", u)
	}
	if len(got.Users) != 3 {
		t.Errorf("got %d users", len(got.Users))
	}
}

func TestResolveDemo(t *testing.T) {
	a := New()
	demo, err := a.Resolve(context.Background(), tenant.Tenant{}, tenant.Demo())
	if err != nil {
		t.Fatal(err)
	}
	a.SetTenant(demo)
	if p := mustLogin(t, a, "demo/device", "demo"); p.Role != tenant.RoleDevice {
		t.Errorf("got %+v", p)
	}
	if p := mustLogin(t, a, "demo/service", "demo"); p.Role != tenant.RoleApplication {
		t.Errorf("got %+v", p)
	}
}

func TestResolveGivesUp(t *testing.T) {
	a := New()
	defer occupy(a)()
	stopped := reason.New(reason.ServerShutdown, "")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(stopped)
	got, err := a.Resolve(ctx, tenant.Tenant{}, tenant.Demo())
	if !errors.Is(err, stopped) || got.Name != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}
