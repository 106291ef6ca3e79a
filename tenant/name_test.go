package tenant_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weirmq/weir/tenant"
)

func TestSplitUsername(t *testing.T) {
	tests := []struct {
		in, name, user string
		ok             bool
	}{
		{"acme/bob", "acme", "bob", true},
		{"0-/x", "0-", "x", true},
		{"acme/a b.c*>$%é", "acme", "a b.c*>$%é", true},
		{strings.Repeat("a", 32) + "/" + strings.Repeat("ü", 64), strings.Repeat("a", 32), strings.Repeat("ü", 64), true},
		{"", "", "", false},
		{"/", "", "", false},
		{"acme", "", "", false},
		{"acme/", "", "", false},
		{"/bob", "", "", false},
		{"acme/bob/x", "", "", false},
		{"-acme/bob", "", "", false},
		{"Acme/bob", "", "", false},
		{"ac.me/bob", "", "", false},
		{"acme/b+b", "", "", false},
		{"acme/b#b", "", "", false},
		{"acme/b\x1fb", "", "", false},
		{"acme/b\xffb", "", "", false},
		{strings.Repeat("a", 33) + "/bob", "", "", false},
		{"acme/" + strings.Repeat("x", 65), "", "", false},
		{"acme/" + strings.Repeat("x", 60000), "", "", false},
	}
	for _, test := range tests {
		name, user, ok := tenant.SplitUsername(test.in)
		if name != test.name || user != test.user || ok != test.ok {
			t.Errorf("SplitUsername(%.80q) = %q, %q, %v; want %q, %q, %v", test.in, name, user, ok, test.name, test.user, test.ok)
		}
	}
}

// FuzzSplitUsername compares with the pattern of the contract.
func FuzzSplitUsername(f *testing.F) {
	pattern := regexp.MustCompile(`\A([a-z0-9][a-z0-9-]{0,31})/([^/+#\x00-\x1f]{1,64})\z`)
	f.Add("acme/bob")
	f.Add("acme/b\x7fb")
	f.Add("-/ü/")
	f.Fuzz(func(t *testing.T, s string) {
		name, user, ok := tenant.SplitUsername(s)
		m := pattern.FindStringSubmatch(s)
		if want := m != nil && utf8.ValidString(s); ok != want {
			t.Fatalf("SplitUsername(%q): ok is %v, want %v", s, ok, want)
		}
		if ok && (name != m[1] || user != m[2]) {
			t.Fatalf("SplitUsername(%q) = %q, %q", s, name, user)
		}
	})
}
