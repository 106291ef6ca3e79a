package microservices

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/tests/weirtest"
)

// each runs a test with an embedded server and as a sidecar.
func each(t *testing.T, env []string, test func(t *testing.T, weir *weirtest.Weir)) {
	t.Run("embedded", func(t *testing.T) { test(t, weirtest.Start(t, weirtest.Options{Tenants: tenants, Env: env})) })
	t.Run("sidecar", func(t *testing.T) {
		test(t, weirtest.Start(t, weirtest.Options{Tenants: tenants, Env: env, External: weirtest.StartNATS(t)}))
	})
}

// From the password to the token, what is in it, and back; and nothing of it in the log, however much that says.
func TestTokens(t *testing.T) {
	each(t, []string{"WEIR_LOG_LEVEL=debug"}, func(t *testing.T, weir *weirtest.Weir) {
		issued := token(t, weir)
		a := verify(t, weir, issued)
		if a.status != http.StatusOK || a.fields["sub"] != "averages" || a.fields["topic"] != "acme/mqtt/sensors%2F%2B%2Ftemp" || lifetime(a) != 24*time.Hour {
			t.Errorf("verified: %d %v", a.status, a.fields)
		}
		for range 2 { // the second time there is nobody any more, if there ever was
			if a := unsubscribe(t, weir, issued); a.status != http.StatusOK || a.fields["result"] != "DONE" {
				t.Errorf("unsubscribed: %d %v", a.status, a.fields)
			}
		}
		expect(t, "wrong password", ask(t, weir, "acme/mapper", "two", body), http.StatusUnauthorized, "bad_credentials")
		expect(t, "unknown tenant", ask(t, weir, "other/mapper", "one", body), http.StatusUnauthorized, "bad_credentials")
		expect(t, "device", ask(t, weir, "acme/device", "one", body), http.StatusForbidden, "role_not_permitted")
		expect(t, "no JSON", ask(t, weir, "acme/mapper", "one", `{"subscriber"`), http.StatusBadRequest, "bad_request")
		expect(t, "no topic", ask(t, weir, "acme/mapper", "one", `{"subscriber":"averages"}`), http.StatusBadRequest, "bad_request")
		expect(t, "reserved topic", ask(t, weir, "acme/mapper", "one", `{"subscriber":"averages","subscription":"$SYS/#"}`), http.StatusBadRequest, "topic_reserved")
		expect(t, "no token", verify(t, weir, ""), http.StatusUnauthorized, "token_invalid")
		head, signature := issued[:strings.LastIndex(issued, ".")+1], issued[strings.LastIndex(issued, ".")+1:]
		forged := head + strings.Repeat("A", len(signature))
		expect(t, "forged token", verify(t, weir, forged), http.StatusUnauthorized, "token_invalid")
		expect(t, "forged token", unsubscribe(t, weir, forged), http.StatusUnauthorized, "token_invalid")

		weir.SetTenants(strings.ReplaceAll(tenants, "mapper: {password: one, role: application}", "mapper: {password: one, role: device}"))
		weirtest.Until(t, "the changed role is in force", func() bool { return verify(t, weir, issued).status != http.StatusOK })
		expect(t, "role changed", verify(t, weir, issued), http.StatusForbidden, "role_not_permitted")
		weir.SetTenants("tenants: {}\n")
		weirtest.Until(t, "the tenant is disabled", func() bool { return verify(t, weir, issued).status != http.StatusForbidden })
		expect(t, "tenant disabled", verify(t, weir, issued), http.StatusUnauthorized, "tenant_disabled")

		said := weir.Said()
		if !strings.Contains(said, `"path":"/notification2/token"`) {
			t.Error("no access log")
		}
		for _, secret := range []string{signature, forged[:40], "token="} {
			if strings.Contains(said, secret) {
				t.Errorf("the log has %s", secret)
			}
		}
	})
}

// storedKeys are the keys that both Weirs have in NATS.
func storedKeys(t *testing.T, js natsjs.JetStream) (keys []authn.Key) {
	t.Helper()
	stream, err := js.Stream(weirtest.Context(t), "weir-keys")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(weirtest.Context(t), "weir.keys")
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Keys []struct {
			ID     string `json:"id"`
			Secret []byte `json:"secret"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(m.Data, &record); err != nil {
		t.Fatal(err)
	}
	for _, k := range record.Keys {
		keys = append(keys, authn.Key{ID: k.ID, Secret: k.Secret})
	}
	return keys
}

// A token that has expired, signed with the key that all others are signed with.
func TestExpiredToken(t *testing.T) {
	pair := weirtest.StartPair(t, tenants)
	var tokens authn.Tokens
	if err := tokens.SetKeys(storedKeys(t, pair.JS)); err != nil {
		t.Fatal(err)
	}
	claims := authn.Claims{Tenant: "acme", User: "mapper", Subscriber: "averages", Subscription: "x"}
	good, _, err := tokens.Issue(claims, time.Hour)
	expired, _, err2 := tokens.Issue(claims, -time.Second)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, weir := range []*weirtest.Weir{pair.A, pair.B} {
		expect(t, "not expired", verify(t, weir, good), http.StatusOK, "")
		expect(t, "expired", verify(t, weir, expired), http.StatusUnauthorized, "token_expired")
		expect(t, "expired", unsubscribe(t, weir, expired), http.StatusUnauthorized, "token_expired")
	}
}

// keyOf is the key that a token was signed with.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	data, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		Key string `json:"kid"`
	}
	if err := json.Unmarshal(data, &header); err != nil {
		t.Fatal(err)
	}
	return header.Key
}

// rotate makes a new key, and returns what it is called.
func rotate(t *testing.T, weir *weirtest.Weir, older int) string {
	t.Helper()
	a := weir.Tool(nil, "keys", "rotate", "--json")
	var made struct {
		ID        string    `json:"id"`
		Created   time.Time `json:"created"`
		SignsFrom time.Time `json:"signs_from"`
		Older     int       `json:"older"`
	}
	if err := json.Unmarshal([]byte(a.Stdout), &made); a.Code != 0 || err != nil || made.ID == "" || made.Older != older {
		t.Fatalf("%+v: %v", a, err)
	}
	if time.Since(made.Created) > time.Minute || !made.SignsFrom.After(made.Created) {
		t.Errorf("%+v", made)
	}
	return made.ID
}

// Two Weirs have the same keys. After a rotation what one signs, with whichever key, the other takes at once, and what was
// signed before stays valid, over a restart too.
func TestKeysAreRotated(t *testing.T) {
	pair := weirtest.StartPair(t, tenants)
	both := []*weirtest.Weir{pair.A, pair.B}
	first := token(t, pair.A)
	id := rotate(t, pair.B, 1)
	if keyOf(t, first) == id {
		t.Fatalf("there is no new key: %s", id)
	}
	signed := map[string]bool{}
	weirtest.Until(t, "both sign with the new key", func() bool {
		fresh := 0
		for i, weir := range both {
			one := token(t, weir)
			expect(t, "the other's token", verify(t, both[1-i], one), http.StatusOK, "")
			signed[keyOf(t, one)] = true
			if keyOf(t, one) == id {
				fresh++
			}
		}
		return fresh == 2
	})
	if len(signed) != 2 {
		t.Errorf("signed with %v: the new key was in use at once", signed)
	}
	pair.A.Stop()
	pair.A.Restart()
	for _, weir := range both {
		expect(t, "signed with the key before", verify(t, weir, first), http.StatusOK, "")
	}
	// Without --json a person reads it.
	if a := pair.A.Tool(nil, "keys", "rotate"); a.Code != 0 || !strings.Contains(a.Stdout, "2 older keys stay valid") {
		t.Errorf("%+v", a)
	}
}

func TestKeysAreRotatedWhereTheServerIsEmbedded(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: tenants})
	first := token(t, weir)
	rotate(t, weir, 1)
	weir.Kill()
	weir.Restart()
	expect(t, "signed before", verify(t, weir, first), http.StatusOK, "")
}

// Without NATS there are no new tokens; what was issued is known all the same.
func TestTokensWithoutNATS(t *testing.T) {
	server := weirtest.StartNATS(t)
	weir := weirtest.Start(t, weirtest.Options{Tenants: tenants, External: server})
	issued := token(t, weir)
	server.Kill()
	weirtest.Until(t, "it is known that NATS is away", func() bool { return !weir.IsReady() })
	expect(t, "asked without NATS", ask(t, weir, "acme/mapper", "one", body), http.StatusServiceUnavailable, "nats_unavailable")
	expect(t, "verified without NATS", verify(t, weir, issued), http.StatusOK, "")
	server.Restart()
	weir.Ready()
	token(t, weir)
}
