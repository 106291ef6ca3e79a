package tenant_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/tenant"
)

func example() tenant.Tenant {
	return tenant.Tenant{
		Name: "acme",
		Users: map[string]tenant.User{
			"thermostat-7": {PasswordHash: goodHash, Role: tenant.RoleDevice},
			"a<b>&\"ü\"":   {PasswordHash: hashWith("m=65536,t=3,p=4"), Role: tenant.RoleApplication},
		},
		Quotas:   tenant.Quotas{Topics: -1, TTL: 36 * time.Hour, Inflight: 7, KeepAliveMax: -1},
		Rules:    fullRules(),
		Disabled: true,
		Origin:   tenant.OriginStore,
	}
}

func TestEncodeDecode(t *testing.T) {
	for name, want := range map[string]tenant.Tenant{
		"full":  example(),
		"empty": {Name: "a", Origin: tenant.OriginFile},
	} {
		data, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := tenant.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !got.Equal(want) {
			t.Errorf("%s: not equal after a round trip", name)
		}
		if again, err := got.Encode(); err != nil || !bytes.Equal(data, again) {
			t.Errorf("%s: encoded again: %s, %v; want %s", name, again, err, data)
		}
	}
}

// The record is what neighbouring releases read: its form is fixed.
func TestEncodeGolden(t *testing.T) {
	const want = `{"version":1,"name":"acme","users":{"bob":{"password_hash":"` + goodHash + `","role":"device"}},` +
		`"quotas":{"topics":-1,"ttl_ns":3600000000000},"rules":[{"filter":"#","stream":"dedicated"}],"disabled":true,"origin":"file"}`
	got, err := tenant.Tenant{
		Name:     "acme",
		Users:    map[string]tenant.User{"bob": {PasswordHash: goodHash, Role: tenant.RoleDevice}},
		Quotas:   tenant.Quotas{Topics: -1, TTL: time.Hour},
		Rules:    tenant.Rules{{Filter: "#", Stream: tenant.StreamDedicated}},
		Disabled: true,
		Origin:   tenant.OriginFile,
	}.Encode()
	if err != nil || string(got) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

func TestEncodeTooLarge(t *testing.T) {
	big := tenant.Tenant{Name: "acme", Users: map[string]tenant.User{"bob": {PasswordHash: strings.Repeat("x", tenant.MaxRecordBytes)}}}
	if _, err := big.Encode(); err == nil || !strings.HasSuffix(err.Error(), "is over the maximum of 1044480; it has 1 users") {
		t.Errorf("got %v", err)
	}
}

func TestDecodeIgnoresFieldsOfALaterRelease(t *testing.T) {
	got, err := tenant.Decode([]byte(`{"version":1,"name":"a","origin":"file","quotas":{"rate":1},"permissions":[]}`))
	if err != nil || !got.Equal(tenant.Tenant{Name: "a", Origin: tenant.OriginFile}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"empty", "", "tenant record: unexpected end of JSON input"},
		{"no version", `{"name":"a","origin":"file"}`, "tenant record a: version 0 is not 1"},
		{"version", `{"version":2,"name":"a","origin":"file"}`, "tenant record a: version 2 is not 1"},
		{"name", `{"version":1,"name":"A b","origin":"file"}`, `tenant record "A b": name: a tenant name is [a-z0-9][a-z0-9-]{0,31}`},
		{"origin", `{"version":1,"name":"a"}`, "tenant record a: origin: must be file, store or demo"},
		{"user", `{"version":1,"name":"a","origin":"file","users":{"b/c":{}}}`, `tenant record a: users."b/c": a user name is [^/+#\x00-\x1f]{1,64}`},
		{"hash", `{"version":1,"name":"a","origin":"file","users":{"b":{"password":"x","role":"device"}}}`, `tenant record a: users.b.password_hash: must be an argon2id hash of the form $argon2id$v=19$m=…,t=…,p=…$salt$key`},
		{"role", `{"version":1,"name":"a","origin":"file","users":{"b":{"password_hash":"` + goodHash + `"}}}`, `tenant record a: users.b.role: must be device or application`},
		{"quota", `{"version":1,"name":"a","origin":"file","quotas":{"topics":-3}}`, `tenant record a: quotas.topics: must not be negative, except -1 for unlimited`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, err := tenant.Decode([]byte(test.data)); err == nil || err.Error() != test.want {
				t.Errorf("\n got %v, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	if !example().Equal(example()) {
		t.Error("a tenant is not equal to itself")
	}
	if !(tenant.Tenant{Users: map[string]tenant.User{}, Rules: tenant.Rules{}}).Equal(tenant.Tenant{}) {
		t.Error("empty is not equal to absent")
	}
	for name, change := range map[string]func(*tenant.Tenant){
		"name":     func(t *tenant.Tenant) { t.Name = "b" },
		"role":     func(t *tenant.Tenant) { t.Users["thermostat-7"] = tenant.User{PasswordHash: goodHash} },
		"user":     func(t *tenant.Tenant) { delete(t.Users, "thermostat-7") },
		"quota":    func(t *tenant.Tenant) { t.Quotas.Topics = 1 },
		"rules":    func(t *tenant.Tenant) { t.Rules = nil },
		"rule":     func(t *tenant.Tenant) { t.Rules[0].Topics++ },
		"disabled": func(t *tenant.Tenant) { t.Disabled = false },
		"origin":   func(t *tenant.Tenant) { t.Origin = tenant.OriginFile },
	} {
		other := example()
		change(&other)
		if other.Equal(example()) || example().Equal(other) {
			t.Errorf("%s: equal", name)
		}
	}
}

func TestDemo(t *testing.T) {
	d := tenant.Demo()
	for user, role := range map[string]tenant.Role{"device": tenant.RoleDevice, "service": tenant.RoleApplication} {
		if d.Passwords[user] != "demo" || d.Tenant.Users[user] != (tenant.User{Role: role}) {
			t.Errorf("user %s: %q, %v", user, d.Passwords[user], d.Tenant.Users[user])
		}
	}
	if d.Tenant.Name != "demo" || d.Tenant.Origin != tenant.OriginDemo || len(d.Tenant.Users) != 2 || len(d.Passwords) != 2 {
		t.Errorf("got %+v", d)
	}
}
