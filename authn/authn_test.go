package authn

import (
	"context"
	"testing"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

func TestAuthenticate(t *testing.T) {
	a := started(acme(map[string]tenant.User{
		"bob":    {PasswordHash: HashPassword([]byte("s3cret")), Role: tenant.RoleDevice},
		"mapper": {PasswordHash: hashWith(tenant.HashParams{Memory: 8192, Time: 2, Threads: 4}, "ü"), Role: tenant.RoleApplication},
	}))
	for username, want := range map[string]struct {
		password string
		role     tenant.Role
	}{"bob": {"s3cret", tenant.RoleDevice}, "mapper": {"ü", tenant.RoleApplication}} {
		p := mustLogin(t, a, "acme/"+username, want.password)
		if p.Tenant != "acme" || p.User != username || p.Role != want.role {
			t.Errorf("got %+v", p)
		}
		if err := a.Check(p); err != nil {
			t.Errorf("%s: %v", username, err)
		}
	}
}

// Every failure has the same answer and costs the same: one run for each set of parameters in force.
func TestFailuresAreAlike(t *testing.T) {
	other := tenant.HashParams{Memory: 8192, Time: 3, Threads: 2}
	off := acme(map[string]tenant.User{"bob": {
		PasswordHash: hashWith(tenant.HashParams{Memory: 16384, Time: 1, Threads: 1}, "s3cret"), Role: tenant.RoleDevice,
	}})
	off.Name, off.Disabled = "off", true
	// What no store would give away: a record that is not valid.
	broken := acme(map[string]tenant.User{"bob": {PasswordHash: "s3cret", Role: tenant.RoleDevice}})
	broken.Name = "broken"
	a := started(acme(map[string]tenant.User{
		"bob":    device("s3cret"),
		"mapper": {PasswordHash: hashWith(other, "s3cret"), Role: tenant.RoleApplication},
	}), off, broken)

	const runs, work = 2, tenant.MinHashMemory*1 + 8192*3
	for _, test := range []struct{ name, username, password string }{
		{"wrong password", "acme/bob", "wrong"},
		{"wrong password of a user with other parameters", "acme/mapper", "wrong"},
		{"no password", "acme/bob", ""},
		{"unknown user", "acme/alice", "s3cret"},
		{"unknown tenant", "nobody/bob", "s3cret"},
		{"disabled tenant", "off/bob", "s3cret"},
		{"broken record", "broken/bob", "s3cret"},
		{"no user name", "", "s3cret"},
		{"no tenant", "bob", "s3cret"},
		{"no user", "acme/", "s3cret"},
		{"malformed", "acme/bob/#", "s3cret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 2 { // the second time costs as much: a failure is not remembered
				runsBefore, workBefore := a.runs.Load(), a.work.Load()
				p, err := a.Authenticate(context.Background(), test.username, []byte(test.password))
				if err == nil || err.Error() != "bad_credentials: user name or password is wrong" || p != (Principal{}) {
					t.Errorf("got %+v, %v", p, err)
				}
				if r, w := a.runs.Load()-runsBefore, a.work.Load()-workBefore; r != runs || w != work {
					t.Errorf("%d runs, work %d; want %d and %d", r, w, runs, work)
				}
			}
		})
	}
}

// Before the tenants are known nobody's credentials are wrong.
func TestWithoutDirectory(t *testing.T) {
	a := New()
	_, err := a.Authenticate(context.Background(), "demo/device", []byte("demo"))
	if reasonOf(err) != reason.NATSUnavailable || a.runs.Load() != 0 {
		t.Errorf("got %v, %d runs", err, a.runs.Load())
	}
}

func TestEmptyDirectoryRefusesAtTheUsualCost(t *testing.T) {
	a := New()
	a.SetTenants(nil)
	_, err := a.Authenticate(context.Background(), "demo/device", []byte("demo"))
	if reasonOf(err) != reason.BadCredentials || a.runs.Load() != 1 || a.work.Load() != 19456*2 {
		t.Errorf("got %v, %d runs, work %d", err, a.runs.Load(), a.work.Load())
	}
}

func TestReconnectStorm(t *testing.T) {
	a := started(acme(map[string]tenant.User{"bob": device("s3cret")}))
	first := mustLogin(t, a, "acme/bob", "s3cret")
	for range 10_000 {
		if p := mustLogin(t, a, "acme/bob", "s3cret"); p != first {
			t.Fatalf("got %+v, want %+v", p, first)
		}
	}
	if n := a.runs.Load(); n != 1 {
		t.Errorf("%d argon2id runs for 10,001 logins", n)
	}
}

func TestChangedUserIsOutAtOnce(t *testing.T) {
	alice := device("other")
	old := acme(map[string]tenant.User{"bob": device("s3cret"), "alice": alice})
	disabled := old
	disabled.Disabled = true
	for _, test := range []struct {
		name string
		next tenant.Tenant
		want reason.Reason // of Check
		in   bool          // the same credentials are still good
	}{
		{"password", acme(map[string]tenant.User{"bob": device("new"), "alice": alice}), reason.UserChanged, false},
		{"role", acme(map[string]tenant.User{"bob": {PasswordHash: device("s3cret").PasswordHash, Role: tenant.RoleApplication}, "alice": alice}), reason.UserChanged, true},
		{"removed", acme(map[string]tenant.User{"alice": alice}), reason.UserChanged, false},
		{"tenant disabled", disabled, reason.TenantDisabled, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := started(old)
			p, bystander := mustLogin(t, a, "acme/bob", "s3cret"), mustLogin(t, a, "acme/alice", "other")
			if !a.SetTenant(test.next) {
				t.Error("the change is not reported")
			}
			if got := reasonOf(a.Check(p)); got != test.want {
				t.Errorf("Check gives %q, want %q", got, test.want)
			}
			if err := a.Check(bystander); err != nil && test.want != reason.TenantDisabled {
				t.Errorf("a user that was not changed is out: %v", err)
			}
			now, err := a.Authenticate(context.Background(), "acme/bob", []byte("s3cret"))
			if test.in != (err == nil) || test.in && a.Check(now) != nil {
				t.Errorf("logging in again gives %+v, %v", now, err)
			}
			// As it was: what was remembered is worth something again, and the principal is the same.
			a.SetTenant(old)
			runs := a.runs.Load()
			if again := mustLogin(t, a, "acme/bob", "s3cret"); again != p || a.Check(p) != nil || a.runs.Load() != runs {
				t.Errorf("after the change was taken back: %+v, %v", again, a.Check(p))
			}
		})
	}
}

func TestPrincipalsFromElsewhereAreNotValid(t *testing.T) {
	a, b := started(acme(map[string]tenant.User{"bob": device("x")})), started(acme(map[string]tenant.User{"bob": device("x")}))
	if err := a.Check(Principal{Tenant: "acme", User: "bob", Role: tenant.RoleDevice}); reasonOf(err) != reason.UserChanged {
		t.Errorf("a principal that nobody authenticated: %v", err)
	}
	if err := a.Check(mustLogin(t, b, "acme/bob", "x")); reasonOf(err) != reason.UserChanged {
		t.Errorf("a principal of another Authenticator: %v", err)
	}
}

func TestMacKeepsFieldsApart(t *testing.T) {
	a := New()
	if a.mac([]byte("ab"), []byte("c")) == a.mac([]byte("a"), []byte("bc")) {
		t.Error("fields run into each other")
	}
	if a.mac([]byte("ab")) == New().mac([]byte("ab")) {
		t.Error("two processes have the same key")
	}
}

func TestHashPassword(t *testing.T) {
	one, two := HashPassword([]byte("s3cret")), HashPassword([]byte("s3cret"))
	if one == two {
		t.Error("two hashes with the same salt")
	}
	h, err := tenant.ParseHash(one)
	if err != nil || h.HashParams != (tenant.HashParams{Memory: 19456, Time: 2, Threads: 1}) || len(h.Salt) != 16 || len(h.Key) != 32 {
		t.Errorf("got %s, %v", one, err)
	}
	for _, hash := range []string{one, two} {
		if !Verify(hash, []byte("s3cret")) || Verify(hash, []byte("S3cret")) {
			t.Errorf("%s does not tell passwords apart", hash)
		}
	}
	if Verify("s3cret", []byte("s3cret")) {
		t.Error("a plain password verifies")
	}
	// Made with OpenSSL, not with the library that Weir uses.
	for _, foreign := range []string{
		"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$k8RGCVgK+7qGSNAd0kjisJ/jWx/aj+AR5aR8IJzkIeo",
		"$argon2id$v=19$m=8192,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$3sBGbmX8ItoEPz2BhOO8gpUwsYo48uo3SQNl9AiS18k",
	} {
		if !Verify(foreign, []byte("s3cret")) {
			t.Errorf("%s does not verify", foreign)
		}
	}
}
