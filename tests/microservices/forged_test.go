package microservices

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

const twoTenants = tenants + `
  other:
    users:
      device: {password: two, role: device}
      mapper: {password: two, role: application}
`

// sign makes a token by hand.
func sign(header, claims string, secret []byte, with func() hash.Hash) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(with, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Neither socket opens for a token that Weir has not made, or that has become worthless, whoever signed it.
func TestSocketsRefuseTokens(t *testing.T) {
	p := weirtest.StartPair(t, twoTenants)
	key := storedKeys(t, p.JS)[0]
	var tokens authn.Tokens
	if err := tokens.SetKeys([]authn.Key{key}); err != nil {
		t.Fatal(err)
	}
	issue := func(user string, lifetime time.Duration) string {
		t.Helper()
		token, _, err := tokens.Issue(authn.Claims{Tenant: "acme", User: user, Subscriber: "averages", Subscription: "x"}, lifetime)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	header := func(algorithm string) string {
		return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, algorithm, key.ID)
	}
	claims := func(tenant, user string) string {
		now := time.Now().Unix()
		return fmt.Sprintf(`{"sub":"averages","jti":"1","iat":%d,"exp":%d,"topic":"%s/mqtt/x","usr":%q}`, now, now+3600, tenant, user)
	}
	good := issue("mapper", time.Hour)
	byHand := sign(header("HS256"), claims("acme", "acme/mapper"), key.Secret, sha256.New)
	parts := strings.Split(good, ".")
	none := sign(header("none"), claims("acme", "acme/mapper"), nil, sha256.New)
	for what, refused := range map[string]struct {
		token  string
		status int
		code   string
	}{
		"none":                       {"", http.StatusUnauthorized, "token_invalid"},
		"expired":                    {issue("mapper", -time.Second), http.StatusUnauthorized, "token_expired"},
		"of a device":                {issue("device", time.Hour), http.StatusForbidden, "role_not_permitted"},
		"of nobody":                  {issue("nobody", time.Hour), http.StatusUnauthorized, "user_changed"},
		"other signature":            {parts[0] + "." + parts[1] + "." + strings.Split(byHand, ".")[2], http.StatusUnauthorized, "token_invalid"},
		"other claims":               {parts[0] + "." + strings.Split(byHand, ".")[1] + "." + parts[2], http.StatusUnauthorized, "token_invalid"},
		"another key":                {sign(header("HS256"), claims("acme", "acme/mapper"), make([]byte, 32), sha256.New), http.StatusUnauthorized, "token_invalid"},
		"algorithm none":             {none, http.StatusUnauthorized, "token_invalid"},
		"algorithm none, unsigned":   {none[:strings.LastIndex(none, ".")+1], http.StatusUnauthorized, "token_invalid"},
		"another algorithm":          {sign(header("HS512"), claims("acme", "acme/mapper"), key.Secret, sha512.New), http.StatusUnauthorized, "token_invalid"},
		"a user of another tenant":   {sign(header("HS256"), claims("acme", "other/mapper"), key.Secret, sha256.New), http.StatusUnauthorized, "token_invalid"},
		"8 KiB":                      {good + strings.Repeat("A", 8<<10), http.StatusUnauthorized, "token_invalid"},
		"a password in its place":    {"acme/mapper:one", http.StatusUnauthorized, "token_invalid"},
		"characters that are no JWT": {"\x00../../\r\nX: y", http.StatusUnauthorized, "token_invalid"},
	} {
		t.Run(what, func(t *testing.T) {
			for _, weir := range []*weirtest.Weir{p.A, p.B} {
				mustRefuse(t, weir, consumers, refused.token, refused.status, refused.code)
				mustRefuse(t, weir, producers, refused.token, refused.status, refused.code)
			}
		})
	}
	for _, token := range []string{good, byHand} { // what is refused above is so for no other reason
		for _, endpoint := range []string{consumers, producers} {
			if err := mustOpen(t, p.B, endpoint, token, asJSON).cut(false); err != nil {
				t.Fatal(err)
			}
		}
		weirtest.Until(t, "the subscriber is free", func() bool { return p.B.Metric("weir_sockets") == 0 })
	}
}

// A token is for its own topics.
func TestProducerKeepsToItsTopics(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: twoTenants})
	user := []string{"acme/mapper", "one"}
	watcher := mustOpen(t, weir, consumers, tokenFor(t, weir, grant{Subscriber: "watcher", Subscription: "#"}, user...), asJSON)
	wild := tokenFor(t, weir, grant{Subscriber: "mapper", Subscription: "a/+"}, user...)
	single := tokenFor(t, weir, grant{Subscriber: "mapper", Subscription: "a/x"}, user...)
	s, refusal, err := open(weirtest.Context(t), weir.HTTP(), producers, wild, asAvro)
	if s != nil || err != nil {
		t.Fatalf("an Avro producer for many topics: %v", err)
	}
	expect(t, "an Avro producer for many topics", refusal, http.StatusBadRequest, "topic_invalid")
	many, one, byAvro := mustOpen(t, weir, producers, wild, asJSON), mustOpen(t, weir, producers, single, asJSON), mustOpen(t, weir, producers, single, asAvro)
	for topic, code := range map[string]string{
		"b": "topic_forbidden", "a": "topic_forbidden", "a/b/c": "topic_forbidden", "a/+": "topic_invalid", "": "topic_invalid",
		"$SYS/x": "topic_reserved", "$debug/$error": "topic_reserved", "../other/a/x": "topic_forbidden",
	} {
		for _, s := range []*socket{many, one} {
			if refused := s.mustPublish(t, 1, topic, "refused"); refused != code {
				t.Errorf("%q is refused for %q instead of %s", topic, refused, code)
			}
		}
	}
	if refused := one.mustPublish(t, 2, "a/y", "refused"); refused != "topic_forbidden" {
		t.Errorf("refused for %q", refused)
	}
	for _, s := range []*socket{many, one, byAvro} {
		if refused := s.mustPublish(t, 3, "a/x", "stored"); refused != "" {
			t.Errorf("refused for %q", refused)
		}
	}
	for range 3 {
		if d := watcher.mustNext(t); d.topic != "a/x" || d.payload != "stored" {
			t.Errorf("received %+v", d)
		}
	}
}

// Two tenants use the same names for everything, and get nothing of one another.
func TestTenantsShareNothing(t *testing.T) {
	const many = 100
	p := weirtest.StartPair(t, twoTenants)
	passwords := map[string]string{"acme": "one", "other": "two"}
	tokens, sockets := map[string]string{}, map[string]*socket{}
	for tenant, password := range passwords {
		tokens[tenant] = tokenFor(t, p.A, grant{Subscriber: "mapper", Subscription: "#"}, tenant+"/mapper", password)
		sockets[tenant] = mustOpen(t, p.B, consumers, tokens[tenant], asJSON)
	}
	publish := func() {
		t.Helper()
		for tenant, password := range passwords {
			device := weirtest.Login(t, p.A.MQTT(), codec.V5, "device", tenant+"/device", password)
			producer := mustOpen(t, p.A, producers, tokens[tenant], asJSON)
			for n := range many {
				if ack := device.Publish("x", tenant); ack.Code >= 0x80 {
					t.Fatalf("%+v", ack)
				}
				if refused := producer.mustPublish(t, n, "y", tenant); refused != "" {
					t.Fatal(refused)
				}
			}
			device.Close()
		}
	}
	expectOwn := func() {
		t.Helper()
		for tenant, s := range sockets {
			for topic, payloads := range take(t, s, 2*many) {
				for _, payload := range payloads {
					if payload != tenant {
						t.Fatalf("%s received a message of %s on %s", tenant, payload, topic)
					}
				}
			}
		}
	}
	publish()
	expectOwn()
	var err error
	for _, s := range sockets {
		err = errors.Join(err, s.cut(false))
	}
	if err != nil {
		t.Fatal(err)
	}
	weirtest.Until(t, "they are away", func() bool { return p.B.Metric("weir_sockets", `kind="consumer"`) == 0 })
	publish()
	expect(t, "one is removed", unsubscribe(t, p.A, tokens["other"]), http.StatusOK, "")
	for tenant := range passwords {
		sockets[tenant] = mustOpen(t, p.A, consumers, tokens[tenant], asJSON)
	}
	sockets["other"].mustBeSilent(t, 100*time.Millisecond)
	delete(sockets, "other")
	expectOwn()
	sockets["acme"].mustBeSilent(t, 100*time.Millisecond)
}
