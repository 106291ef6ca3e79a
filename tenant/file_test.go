package tenant_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/tenant"
)

const goodHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U"

// hashWith is goodHash with another cost.
func hashWith(cost string) string { return strings.Replace(goodHash, "m=19456,t=2,p=1", cost, 1) }

func TestParseFile(t *testing.T) {
	got, err := tenant.ParseFile([]byte(`
tenants:
  acme:
    users:
      thermostat-7: {password: s3cret, role: device}
      mapper:       {password_hash: "` + goodHash + `", role: application}
      4711:         {password: "0815", role: device}
      "Zähler 1":   {password: '  x ', role: device}
    quotas:
      connections: -1
      topics: 5
      message_bytes: 0
      ttl: 90m
      keep_alive_max: 600
      subscriber_idle: 1h
      hold_bytes: -1
    topics:
      - {filter: "telemetry/#", stream: shared, name: telemetry, backlog_messages: 1000, backlog_bytes: 10737418240, ttl: 1h}
      - {filter: "live/#", stream: transient}
      - {filter: "#", stream: dedicated}
  "0": {}
  quiet: {users: {}, quotas: {ttl: -1, keep_alive_max: 0}, topics: []}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &tenant.File{Tenants: map[string]tenant.FileTenant{
		"acme": {
			Tenant: tenant.Tenant{
				Name: "acme",
				Users: map[string]tenant.User{
					"thermostat-7": {Role: tenant.RoleDevice},
					"mapper":       {Role: tenant.RoleApplication, PasswordHash: goodHash},
					"4711":         {Role: tenant.RoleDevice},
					"Zähler 1":     {Role: tenant.RoleDevice},
				},
				Quotas: tenant.Quotas{
					Connections: -1, Topics: 5, TTL: 90 * time.Minute, KeepAliveMax: 10 * time.Minute, HoldBytes: -1, SubscriberIdle: time.Hour,
				},
				Rules: tenant.Rules{
					{Filter: "telemetry/#", Stream: tenant.StreamShared, Name: "telemetry", BacklogMessages: 1000, BacklogBytes: 10737418240, TTL: time.Hour},
					{Filter: "live/#", Stream: tenant.StreamTransient},
					{Filter: "#", Stream: tenant.StreamDedicated},
				},
				Origin: tenant.OriginFile,
			},
			Passwords: map[string]string{"thermostat-7": "s3cret", "4711": "0815", "Zähler 1": "  x "},
		},
		"0": {
			Tenant:    tenant.Tenant{Name: "0", Users: map[string]tenant.User{}, Origin: tenant.OriginFile},
			Passwords: map[string]string{},
		},
		"quiet": {
			Tenant: tenant.Tenant{
				Name: "quiet", Users: map[string]tenant.User{}, Origin: tenant.OriginFile, Quotas: tenant.Quotas{TTL: -1},
			},
			Passwords: map[string]string{},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseFile (-want +got):\n%s", diff)
	}
}

func TestParseFileWithoutTenants(t *testing.T) {
	f, err := tenant.ParseFile([]byte("tenants: {}\n"))
	if err != nil || len(f.Tenants) != 0 {
		t.Errorf("got %v, %v; want no tenants", f, err)
	}
}

// acme puts lines at the place of a tenant's keys; the first one is line 3.
func acme(lines ...string) string {
	return "tenants:\n  acme:\n    " + strings.Join(lines, "\n    ") + "\n"
}

func TestParseFileErrors(t *testing.T) {
	long := strings.Repeat("x", 2000)
	tests := []struct{ name, file, want string }{
		// The document.
		{"empty", "", "line 1: tenants: missing"},
		{"comment only", "# nothing\n", "line 1: tenants: missing"},
		{"empty mapping", "\n{}\n", "line 2: tenants: missing"},
		{"null", "~\n", "line 1: must be a mapping"},
		{"list", "- a\n", "line 1: must be a mapping"},
		{"unknown top key", "tenants: {}\ntenant: {}\n", "line 2: tenant: unknown key"},
		{"tenants twice", "tenants: {}\ntenants: {}\n", "line 2: tenants: is there twice"},
		{"tenants null", "tenants:\n", "line 1: tenants: must be a mapping"},
		{"second document", "tenants: {}\n---\ntenants: {}\n", "line 2: a second document is not allowed"},
		{"bad second document", "tenants: {}\n---\n[\n", "line 4: did not find expected node content"},
		{"syntax in the first line", "tenants: [", "line 1: did not find expected node content"},
		{"syntax", "tenants:\n  a: {\n  b: }}\n", "line 2: did not find expected key"},
		{"unclosed list", "tenants:\n  a: {}\n  b: [a, b\n  c: {}\n", "line 3: did not find expected ',' or ']'"},
		{"tab", "tenants:\n\tacme: {}\n", "line 2: found character that cannot start any token"},
		{"control character", "tenants:\n  acme: {}\x01\n", "line 2: not UTF-8 text, or a control character"},
		{"not UTF-8", "tenants:\n  acme: {}\n\n# \xff\n", "line 4: not UTF-8 text, or a control character"},
		{"too large", "tenants: {} #" + strings.Repeat("x", tenant.MaxFileBytes), "line 1: the file is over the maximum of 16777216 bytes"},
		{"alias", "tenants:\n  a: &a {}\n  b: *a\n", "line 3: tenants.b: YAML aliases are not allowed"},
		{"alias at the top", "tenants: {}\n? *x\n: 1", "line 2: YAML aliases are not allowed"},
		{"merge key", "tenants:\n  a: &a {}\n  b:\n    <<: *a\n", "line 4: tenants.b: a key must be a plain word"},
		{"list as key", "tenants:\n  ? [a]\n  : {}\n", "line 2: tenants: a key must be a plain word"},
		{"tagged mapping", "tenants: !x {}\n", "line 1: tenants: must be a mapping"},

		// Tenants.
		{"tenant name", "tenants:\n  Acme: {}\n", "line 2: tenants.Acme: a tenant name is [a-z0-9][a-z0-9-]{0,31}"},
		{"tenant name with a dot", "tenants:\n  a.b: {}\n", `line 2: tenants."a.b": a tenant name is [a-z0-9][a-z0-9-]{0,31}`},
		{"tenant name long", "tenants:\n  " + long[:33] + ": {}\n", "line 2: tenants." + long[:33] + ": a tenant name is [a-z0-9][a-z0-9-]{0,31}"},
		{"key long", "? " + long + "\n: 1\n", "line 1: \"" + long[:80] + "\"…: unknown key"},
		{"tenant twice", "tenants:\n  acme: {}\n  b: {}\n  \"acme\": {}\n", "line 4: tenants.acme: is there twice"},
		{"tenant null", "tenants:\n  acme:\n", "line 2: tenants.acme: must be a mapping"},
		{"tenant key", acme("user: {}"), "line 3: user: unknown key"},
		{"tenant key twice", acme("users: {}", "users: {}"), "line 4: tenants.acme.users: is there twice"},

		// Users.
		{"users a list", acme("users: []"), "line 3: users: must be a mapping"},
		{"user null", acme("users:", "  bob:"), "line 4: users.bob: must be a mapping"},
		{"user a password", acme("users:", "  bob: s3cret"), "line 4: users.bob: must be a mapping"},
		{"user name slash", acme("users: {a/b: {password: x, role: device}}"), `line 3: users."a/b": a user name is [^/+#\x00-\x1f]{1,64}`},
		{"user name control", acme(`users: {"a\nb": {password: x, role: device}}`), `line 3: users."a\nb": a user name is [^/+#\x00-\x1f]{1,64}`},
		{"user name empty", acme(`users: {"": {password: x, role: device}}`), `line 3: users."": a user name is [^/+#\x00-\x1f]{1,64}`},
		{"user twice", acme("users:", "  7: {password: x, role: device}", `  "7": {password: x, role: device}`), "line 5: users.7: is there twice"},
		{"user key", acme("users: {bob: {password: x, role: device, roles: device}}"), "line 3: users.bob.roles: unknown key"},
		{"no password", acme("users: {bob: {role: device}}"), "line 3: users.bob: needs exactly one of password and password_hash"},
		{"both passwords", acme("users:", "  bob: {password: s3cret, role: device, password_hash: '"+goodHash+"'}"), "line 4: users.bob: needs exactly one of password and password_hash"},
		{"no role", acme("users: {bob: {password: s3cret}}"), "line 3: users.bob.role: missing"},
		{"role", acme("users:", "  bob:", "    password: s3cret", "    role: admin"), "line 6: users.bob.role: must be device or application"},
		{"role a list", acme("users: {bob: {password: s3cret, role: [device]}}"), "line 3: users.bob.role: must be a string, in quotes if need be"},
		{"password a number", acme("users: {bob: {password: 0123, role: device}}"), "line 3: users.bob.password: must be a string, in quotes if need be"},
		{"password empty", acme("users: {bob: {password: '', role: device}}"), "line 3: users.bob.password: must be 1 to 65535 bytes"},
		{"password long", acme("users: {bob: {password: " + strings.Repeat("x", 65536) + ", role: device}}"), "line 3: users.bob.password: must be 1 to 65535 bytes"},
		{"password alias", acme("users: {bob: {role: &r device, password: *r}}"), "line 3: users.bob.password: YAML aliases are not allowed"},
		{"hash empty", acme("users: {bob: {password_hash: '', role: device}}"), "line 3: users.bob.password_hash: must be an argon2id hash of the form $argon2id$v=19$m=…,t=…,p=…$salt$key"},
		{"hash a number", acme("users: {bob: {password_hash: 1, role: device}}"), "line 3: users.bob.password_hash: must be a string, in quotes if need be"},
		{"hash bounds", acme("users:", "  bob:", "    role: device", "    password_hash: "+hashWith("m=1024,t=2,p=1")), "line 6: users.bob.password_hash: m=1024 is not between 4096 and 262144 KiB"},
		{
			"hash parameters", acme("users:",
				"  u1: {role: device, password_hash: '"+hashWith("m=8192,t=1,p=1")+"'}",
				"  u2: {role: device, password_hash: '"+hashWith("m=8192,t=2,p=1")+"'}",
				"  u3: {role: device, password_hash: '"+hashWith("m=8192,t=3,p=1")+"'}",
				"  u4: {role: device, password_hash: '"+hashWith("m=8192,t=4,p=1")+"'}",
				"  u5: {role: device, password_hash: '"+hashWith("m=8192,t=4,p=1")+"'}",
				"  u6: {role: device, password_hash: '"+hashWith("m=8192,t=5,p=1")+"'}"),
			"line 9: users.u6.password_hash: more than 4 different argon2id parameters in the file: every failed login costs them all",
		},

		// Quotas.
		{"quota key", acme("users: {}", "quotas:", "  topics: 1", "  # the mistake", "  backlog_byte: 1"), "line 7: quotas.backlog_byte: unknown key"},
		{"quotas null", acme("quotas:"), "line 3: quotas: must be a mapping"},
		{"quota twice", acme("quotas: {topics: 1, topics: 1}"), "line 3: quotas.topics: is there twice"},
		{"quota negative", acme("quotas: {topics: -2}"), "line 3: quotas.topics: must not be negative, except -1 for unlimited"},
		{"quota float", acme("quotas: {topics: 1.5}"), "line 3: quotas.topics: must be a whole number"},
		{"quota string", acme("quotas: {topics: '1'}"), "line 3: quotas.topics: must be a whole number"},
		{"quota null", acme("quotas: {topics: }"), "line 3: quotas.topics: must be a whole number"},
		{"quota hexadecimal", acme("quotas: {topics: 0x10}"), "line 3: quotas.topics: must be a whole number"},
		{"quota too large for 64 bits", acme("quotas: {topics: 9223372036854775808}"), "line 3: quotas.topics: must be a whole number"},
		{"client_id_bytes", acme("quotas: {client_id_bytes: 257}"), "line 3: quotas.client_id_bytes: 257 is over the maximum 256"},
		{"topic_bytes", acme("quotas: {topic_bytes: 1025}"), "line 3: quotas.topic_bytes: 1025 is over the maximum 1024"},
		{"message_bytes", acme("quotas: {message_bytes: 268435461}"), "line 3: quotas.message_bytes: 268435461 is over the maximum 268435460"},
		{"inflight", acme("quotas: {inflight: 65536}"), "line 3: quotas.inflight: 65536 is over the maximum 65535"},
		{"ttl without unit", acme("quotas: {ttl: 36}"), "line 3: quotas.ttl: must be a duration such as 36h, or 0, or -1"},
		{"ttl word", acme("quotas: {ttl: long}"), "line 3: quotas.ttl: must be a duration such as 36h, or 0, or -1"},
		{"ttl list", acme("quotas: {ttl: [1h]}"), "line 3: quotas.ttl: must be a whole number"},
		{"ttl negative", acme("quotas: {ttl: -1h}"), "line 3: quotas.ttl: must not be negative, except -1 for unlimited"},
		{"ttl minus one nanosecond", acme("quotas: {ttl: -1ns}"), "line 3: quotas.ttl: must not be negative, except -1 for unlimited"},
		{"ttl short", acme("quotas: {ttl: 1500ms}"), "line 3: quotas.ttl: 1.5s is not a whole number of seconds"},
		{"keep_alive_max", acme("quotas: {keep_alive_max: 24h}"), "line 3: quotas.keep_alive_max: 24h0m0s is over the maximum 18h12m15s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := tenant.ParseFile([]byte(test.file))
			if err == nil {
				t.Fatalf("got %v, want %q", f, test.want)
			}
			if f != nil {
				t.Errorf("a file comes with the error: %v", f)
			}
			if err.Error() != test.want {
				t.Errorf("\n got %s\nwant %s", err, test.want)
			}
		})
	}
}

func TestParseFileRecordTooLarge(t *testing.T) {
	users := func(n int, entry string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "\n      user-%06d: {%s, role: device}", i, entry)
		}
		return b.String()
	}
	for _, entry := range []string{"password: x", "password_hash: '" + goodHash + "'"} {
		if _, err := tenant.ParseFile([]byte(acme("users:" + users(5000, entry)))); err != nil {
			t.Errorf("5,000 users with %.13s: %v", entry, err)
		}
		const want = "line 2: tenants.acme: the record of its 9000 users is over the maximum of 1044480 bytes"
		if _, err := tenant.ParseFile([]byte(acme("users:" + users(9000, entry)))); err == nil || err.Error() != want {
			t.Errorf("9,000 users with %.13s: got %v, want %s", entry, err, want)
		}
	}
}

// FuzzParseFile checks that any input gives either tenants that are valid once they are hashed, or an error
// of one line that begins with a line number.
func FuzzParseFile(f *testing.F) {
	f.Add([]byte(acme("users: {bob: {password: s3cret, role: device}}", "quotas: {ttl: 36h}", "topics: [{filter: '#', stream: dedicated}]")))
	f.Add([]byte(acme("users: {bob: {password_hash: '"+goodHash+"', role: application}}", "quotas: {topics: -1}")))
	f.Add([]byte(acme("topics:", "  - {filter: a/#, stream: shared, name: a, topics: 9, when_full: discard_oldest, keep: until_expired, ttl: 1h}",
		"  - {filter: +/b, stream: transient}", "  - {filter: '#', stream: dedicated, hold_when_full: discard_oldest, hold_messages: 1}")))
	f.Add([]byte("tenants:\n  a: &a {}\n  b: *a\n"))
	f.Add([]byte("tenants:\n  ? [a]\n  : {}\n---\n"))
	f.Add([]byte("%YAML 1.1\n--- !!map\ntenants: !x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := tenant.ParseFile(data)
		if err != nil {
			var line int
			if n, _ := fmt.Sscanf(err.Error(), "line %d: ", &line); n != 1 || line < 1 || line > strings.Count(string(data), "\n")+1 {
				t.Fatalf("bad line: %q", err)
			}
			if strings.ContainsAny(err.Error(), "\r\n") || !utf8.ValidString(err.Error()) || len(err.Error()) > 1000 {
				t.Fatalf("bad error: %q", err)
			}
			return
		}
		for name, entry := range file.Tenants {
			for user, password := range entry.Passwords {
				u := entry.Tenant.Users[user]
				if password == "" || u.PasswordHash != "" {
					t.Fatalf("user %q: %v", user, u)
				}
				u.PasswordHash = goodHash
				entry.Tenant.Users[user] = u
			}
			if err := entry.Tenant.Validate(); err != nil || entry.Tenant.Name != name {
				t.Fatalf("tenant %q: %v", name, err)
			}
		}
	})
}
