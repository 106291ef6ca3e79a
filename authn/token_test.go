package authn

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

func testKey(id string, secret byte) Key {
	return Key{ID: id, Secret: bytes.Repeat([]byte{secret}, MinSecretBytes)}
}

func tokensWith(t testing.TB, keys ...Key) *Tokens {
	t.Helper()
	tokens := new(Tokens)
	if err := tokens.SetKeys(keys); err != nil {
		t.Fatal(err)
	}
	return tokens
}

var averages = Claims{Tenant: "acme", User: "mapper", Subscriber: "averages", Subscription: "sensors/room 1/+"}

func mustIssue(t testing.TB, tokens *Tokens, c Claims) (string, Claims) {
	t.Helper()
	token, c, err := tokens.Issue(c, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token, c
}

// part decodes one part of a token.
func part(t testing.TB, token string, n int) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// The form of a token is a contract: the claims are those that clients of Notifications 2.0 know.
func TestTokenForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock begins at a whole second
		tokens := tokensWith(t, testKey("one", 1))
		token, issued := mustIssue(t, tokens, averages)
		now := float64(time.Now().Unix())
		if diff := cmp.Diff(map[string]any{"alg": "HS256", "typ": "JWT", "kid": "one"}, part(t, token, 0)); diff != "" {
			t.Error(diff)
		}
		want := map[string]any{
			"sub": "averages", "topic": "acme/mqtt/sensors%2Froom%201%2F%2B", "usr": "acme/mapper",
			"jti": issued.ID, "iat": now, "exp": now + 3600,
		}
		if diff := cmp.Diff(want, part(t, token, 1)); diff != "" {
			t.Error(diff)
		}
		if strings.ContainsFunc(token, foreign) {
			t.Errorf("%s cannot stand in a URL", token)
		}
		c := averages
		c.Shared, c.NonPersistent = true, true
		token, issued = mustIssue(t, tokens, c)
		if have := part(t, token, 1); have["shared"] != "true" || have["volatile"] != "true" {
			t.Errorf("%v", have)
		}
		data, err := json.Marshal(issued)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(part(t, token, 1), fields); diff != "" {
			t.Errorf("the claims as JSON are not those of the token: %s", diff)
		}
	})
}

// What Issue has made, Verify reads, whatever is in it; even the largest token is one.
func TestVerify(t *testing.T) {
	tokens := tokensWith(t, testKey("one", 1))
	for _, c := range []Claims{
		averages,
		{Tenant: "acme", User: "mapper", Subscriber: "ä \"<>", Subscription: "$debug/$error/#", Shared: true},
		{Tenant: "a", User: "b", Subscriber: "s", Subscription: "~%2F%/\u00fc/#", NonPersistent: true},
		{
			Tenant: strings.Repeat("a", 32), User: strings.Repeat("<", 64), Subscriber: strings.Repeat("<", 128),
			Subscription: strings.Repeat("/", 1024), Shared: true, NonPersistent: true,
		},
	} {
		token, issued := mustIssue(t, tokens, c)
		c.ID, c.Issued, c.Expires = issued.ID, issued.Issued, issued.Expires
		have, err := tokens.Verify(token)
		if err != nil || !cmp.Equal(have, c) {
			t.Errorf("%+v: got %+v, %v", c, have, err)
		}
	}
}

func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := tokensWith(t, testKey("one", 1))
		token, _ := mustIssue(t, tokens, averages)
		<-time.After(time.Hour - time.Second)
		if _, err := tokens.Verify(token); err != nil {
			t.Errorf("a second before: %v", err)
		}
		<-time.After(time.Second)
		if _, err := tokens.Verify(token); reasonOf(err) != reason.TokenExpired {
			t.Errorf("got %v", err)
		}
	})
}

// forge signs whatever a test likes.
func forge(t testing.TB, method jwt.SigningMethod, key any, change func(header, claims map[string]any)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"sub": "averages", "topic": "acme/mqtt/sensors", "usr": "acme/mapper", "jti": "1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = "one"
	change(token.Header, claims)
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func claim(name string, value any) func(header, claims map[string]any) {
	return func(_, claims map[string]any) {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
}

func header(name string, value any) func(header, claims map[string]any) {
	return func(header, _ map[string]any) {
		if header[name] = value; value == nil {
			delete(header, name)
		}
	}
}

func TestForgedTokens(t *testing.T) {
	one := testKey("one", 1)
	tokens := tokensWith(t, one, testKey("two", 2))
	good := func(_, _ map[string]any) {}
	hs256 := jwt.SigningMethodHS256
	if _, err := tokens.Verify(forge(t, hs256, one.Secret, good)); err != nil {
		t.Fatalf("not even the token that the others begin with: %v", err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := mustIssue(t, tokens, averages)
	head, _, _ := strings.Cut(whole, ".")
	signature := whole[strings.LastIndex(whole, ".")+1:]
	for name, token := range map[string]string{
		"empty":                         "",
		"no parts":                      "x",
		"four parts":                    whole + ".x",
		"no signature":                  whole[:strings.LastIndex(whole, ".")+1],
		"other claims":                  head + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + "." + signature,
		"shortened signature":           whole[:len(whole)-1],
		"line break":                    whole + "\n",
		"padding":                       whole + "=",
		"too long":                      whole + strings.Repeat("A", maxTokenBytes),
		"other key of that name":        forge(t, hs256, testKey("one", 9).Secret, good),
		"key of another name":           forge(t, hs256, one.Secret, header("kid", "two")),
		"unknown key":                   forge(t, hs256, one.Secret, header("kid", "three")),
		"no key named":                  forge(t, hs256, one.Secret, header("kid", nil)),
		"key named by a number":         forge(t, hs256, one.Secret, header("kid", 1)),
		"alg none":                      forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good),
		"alg none, by name only":        forge(t, hs256, one.Secret, header("alg", "none")),
		"alg HS512 with our secret":     forge(t, jwt.SigningMethodHS512, one.Secret, good),
		"alg HS384 with our secret":     forge(t, jwt.SigningMethodHS384, one.Secret, good),
		"alg RS256":                     forge(t, jwt.SigningMethodRS256, rsaKey, good),
		"alg RS256, signed with HS256":  forge(t, hs256, one.Secret, header("alg", "RS256")),
		"no alg":                        forge(t, hs256, one.Secret, header("alg", nil)),
		"critical header":               forge(t, hs256, one.Secret, header("crit", []string{"b64"})),
		"other type":                    forge(t, hs256, one.Secret, header("typ", "at+jwt")),
		"no sub":                        forge(t, hs256, one.Secret, claim("sub", nil)),
		"no topic":                      forge(t, hs256, one.Secret, claim("topic", nil)),
		"no usr":                        forge(t, hs256, one.Secret, claim("usr", nil)),
		"no jti":                        forge(t, hs256, one.Secret, claim("jti", nil)),
		"no iat":                        forge(t, hs256, one.Secret, claim("iat", nil)),
		"no exp":                        forge(t, hs256, one.Secret, claim("exp", nil)),
		"exp of another type":           forge(t, hs256, one.Secret, claim("exp", "tomorrow")),
		"not yet":                       forge(t, hs256, one.Secret, claim("nbf", time.Now().Add(time.Hour).Unix())),
		"another tenant's topic":        forge(t, hs256, one.Secret, claim("topic", "other/mqtt/sensors")),
		"another tenant's user":         forge(t, hs256, one.Secret, claim("usr", "other/mapper")),
		"user without tenant":           forge(t, hs256, one.Secret, claim("usr", "mapper")),
		"topic of another kind":         forge(t, hs256, one.Secret, claim("topic", "acme/relnotif/sensors")),
		"topic that is not encoded":     forge(t, hs256, one.Secret, claim("topic", "acme/mqtt/sensors/1")),
		"topic encoded in another way":  forge(t, hs256, one.Secret, claim("topic", "acme/mqtt/sensors%2f1")),
		"topic with half an escape":     forge(t, hs256, one.Secret, claim("topic", "acme/mqtt/sensors%2")),
		"topic with a bad escape":       forge(t, hs256, one.Secret, claim("topic", "acme/mqtt/sensors%GG")),
		"topic without topic":           forge(t, hs256, one.Secret, claim("topic", "acme/mqtt/")),
		"flag that is neither":          forge(t, hs256, one.Secret, claim("shared", "false")),
		"flag of another type":          forge(t, hs256, one.Secret, claim("volatile", true)),
		"claims that are none":          rawToken(one.Secret, `{"alg":"HS256","typ":"JWT","kid":"one"}`, `null`),
		"claims that are no JSON":       rawToken(one.Secret, `{"alg":"HS256","typ":"JWT","kid":"one"}`, `{`),
		"header that is none":           rawToken(one.Secret, `null`, `{}`),
		"header that is no JSON object": rawToken(one.Secret, `[]`, `{}`),
	} {
		c, err := tokens.Verify(token)
		if reasonOf(err) != reason.TokenInvalid || c != (Claims{}) {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
		if e, ok := err.(*reason.Error); ok && len(token) > 10 && strings.Contains(e.Error(), token[:10]) {
			t.Errorf("%s: %v shows the token", name, err)
		}
	}
}

// rawToken signs any text.
func rawToken(secret []byte, header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// A key signs only once everybody can be expected to know it, and verifies from the moment on that it is known.
func TestKeysChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		old, next := testKey("old", 1), testKey("new", 2)
		old.SignsFrom, next.SignsFrom = now.Add(time.Minute), now.Add(2*time.Minute)
		signs := func(tokens *Tokens, want string) string {
			t.Helper()
			token, _ := mustIssue(t, tokens, averages)
			if have := part(t, token, 0)["kid"]; have != want {
				t.Errorf("signed with %v, want %s", have, want)
			}
			return token
		}
		tokens, other := tokensWith(t, old), tokensWith(t, old, next)
		first := signs(tokens, "old") // too young, but the only one
		signs(other, "old")           // both too young: the older one
		if err := tokens.SetKeys([]Key{old, next}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		signs(tokens, "old")
		<-time.After(time.Minute)
		second := signs(tokens, "new")
		for _, token := range []string{first, second} {
			if _, err := other.Verify(token); err != nil {
				t.Error(err)
			}
		}
		if err := tokens.SetKeys([]Key{next}); err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Verify(first); reasonOf(err) != reason.TokenInvalid {
			t.Errorf("signed with a key that is gone: %v", err)
		}
	})
}

func TestBadKeysAreRefused(t *testing.T) {
	tokens := tokensWith(t, testKey("one", 1))
	token, _ := mustIssue(t, tokens, averages)
	short := testKey("short", 1)
	short.Secret = short.Secret[1:]
	for _, keys := range [][]Key{
		{short},
		{{ID: "none"}},
		{testKey("", 1)},
		{testKey(strings.Repeat("x", 65), 1)},
		{testKey("twice", 1), testKey("twice", 2)},
	} {
		if err := tokens.SetKeys(keys); err == nil {
			t.Errorf("%d keys, the first called %q: no error", len(keys), keys[0].ID)
		}
	}
	if _, err := tokens.Verify(token); err != nil {
		t.Errorf("the keys before are gone: %v", err)
	}
}

func TestWithoutKeys(t *testing.T) {
	token, _ := mustIssue(t, tokensWith(t, testKey("one", 1)), averages)
	for _, tokens := range []*Tokens{new(Tokens), tokensWith(t)} {
		_, _, issueErr := tokens.Issue(averages, time.Hour)
		_, verifyErr := tokens.Verify(token)
		for _, err := range []error{issueErr, verifyErr} {
			if reasonOf(err) != reason.NATSUnavailable {
				t.Errorf("got %v", err)
			}
		}
		if tokens.Ready() == nil {
			t.Error("ready without keys")
		}
	}
}

// A token is worth something only as long as its user is: there, in an enabled tenant, and an application.
func TestHolder(t *testing.T) {
	mapper := tenant.User{PasswordHash: hashWith(cheap, "one"), Role: tenant.RoleApplication}
	users := map[string]tenant.User{"mapper": mapper, "bob": device("two")}
	a := started(acme(users))
	p, err := a.Holder(averages)
	if err != nil || p != mustLogin(t, a, "acme/mapper", "one") {
		t.Fatalf("got %+v, %v", p, err)
	}
	if err := a.Check(p); err != nil {
		t.Errorf("the principal is not valid: %v", err)
	}
	changed := mapper
	changed.PasswordHash = hashWith(cheap, "three")
	demoted := mapper
	demoted.Role = tenant.RoleDevice
	disabled := acme(users)
	disabled.Disabled = true
	for _, x := range []struct {
		name   string
		tenant tenant.Tenant
		want   reason.Reason
	}{
		{"password", acme(map[string]tenant.User{"mapper": changed}), ""},
		{"role", acme(map[string]tenant.User{"mapper": demoted}), reason.RoleNotPermitted},
		{"removed", acme(map[string]tenant.User{"bob": device("two")}), reason.UserChanged},
		{"disabled", disabled, reason.TenantDisabled},
	} {
		a.SetTenant(x.tenant)
		if a.Check(p) == nil {
			t.Errorf("%s: the principal of before is still valid", x.name)
		}
		if now, err := a.Holder(averages); reasonOf(err) != x.want || (x.want == "") != (a.Check(now) == nil) {
			t.Errorf("%s: got %+v, %v", x.name, now, err)
		}
	}
	a.RemoveTenant("acme")
	if _, err := a.Holder(averages); reasonOf(err) != reason.TenantDisabled {
		t.Errorf("tenant removed: %v", err)
	}
	if _, err := New().Holder(averages); reasonOf(err) != reason.NATSUnavailable {
		t.Errorf("no directory: %v", err)
	}
}

// Verify takes nothing that its keys have not signed, and the claims of what it takes are those that were signed.
func FuzzVerify(f *testing.F) {
	tokens := tokensWith(f, testKey("one", 1))
	// The same in every process of the fuzzer.
	genuine := rawToken(testKey("one", 1).Secret, `{"alg":"HS256","typ":"JWT","kid":"one"}`,
		`{"sub":"s","topic":"acme/mqtt/a","usr":"acme/u","jti":"1","iat":1,"exp":99999999999}`)
	if _, err := tokens.Verify(genuine); err != nil {
		f.Fatal(err)
	}
	f.Add(genuine, `{}`)
	f.Add(genuine[:len(genuine)-1], `{"sub":"s","topic":"acme/mqtt/a","usr":"acme/u","jti":"1","iat":1,"exp":99999999999}`)
	f.Add("a.b.c", `{"sub":"s","exp":1e300,"iat":-1e300}`)
	f.Fuzz(func(t *testing.T, token, claims string) {
		if _, err := tokens.Verify(token); err == nil && token != genuine {
			t.Errorf("%q is taken", token)
		}
		signed := rawToken(testKey("one", 1).Secret, `{"alg":"HS256","typ":"JWT","kid":"one"}`, claims)
		c, err := tokens.Verify(signed)
		if err != nil {
			return
		}
		if again, ok := c.wire().claims(); !ok || !cmp.Equal(again, c) {
			t.Errorf("%q is read as %+v, which is written as %+v", claims, c, again)
		}
	})
}
