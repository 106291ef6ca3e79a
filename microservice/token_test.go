package microservice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// What a client of Notifications 2.0 does, with the fields that it sends.
func TestRoundTrip(t *testing.T) {
	r := newDesk(t, nil)
	before := time.Now().Unix()
	token := r.token(`{"subscriber":"averages","subscription":"sensors/+/temp","type":"mqtt","signed":true,
		"expiresInMinutes":1440,"shared":false,"nonPersistent":false}`)
	have := r.do(r.request(http.MethodGet, "token?token="+token, nil))
	want := map[string]any{"sub": "averages", "topic": "acme/mqtt/sensors%2F%2B%2Ftemp", "usr": "acme/mapper"}
	unsure := cmpopts.IgnoreMapEntries(func(name string, _ any) bool { return name == "jti" || name == "iat" || name == "exp" })
	if diff := cmp.Diff(want, have.body, unsure); have.status != http.StatusOK || diff != "" {
		t.Errorf("%d: %s", have.status, diff)
	}
	issued, _ := have.body["iat"].(float64)
	expires, _ := have.body["exp"].(float64)
	if id, _ := have.body["jti"].(string); len(id) < 16 || int64(issued) < before || expires-issued != 24*60*60 {
		t.Errorf("%v", have.body)
	}
	if store := have.header.Get("Cache-Control"); store != "no-store" {
		t.Errorf("Cache-Control %q", store)
	}
	request := r.request(http.MethodPost, "unsubscribe?token="+token, strings.NewReader(""))
	if a := r.do(request); a.status != http.StatusOK || a.body["result"] != "DONE" {
		t.Errorf("unsubscribe: %d %v", a.status, a.body)
	}
	if diff := cmp.Diff([]string{"acme averages sensors/+/temp"}, r.left); diff != "" {
		t.Error(diff)
	}
	for _, endpoint := range []string{"token", "verify", "unsubscribe"} {
		if n := r.counted(endpoint, "ok"); n != 1 {
			t.Errorf("%s is counted %v times", endpoint, n)
		}
	}
	for _, e := range r.log.All() {
		if line := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(line, token[:20]) {
			t.Errorf("the log shows the token: %s", line)
		}
	}
}

func TestRequestsForTokens(t *testing.T) {
	r := newDesk(t, nil)
	for body, minutes := range map[string]int64{
		`{"subscriber":"a","subscription":"x"}`:                                                    1440,
		`{"subscriber":"a","subscription":"x","type":null,"expiresInMinutes":null}`:                1440,
		`{"subscriber":"a","subscription":"x","expiresInMinutes":1}`:                               1,
		`{"subscriber":"a","subscription":"x","expiresInMinutes":525600}`:                          525600,
		`{"subscriber":"a","subscription":"$debug/$error/#"}`:                                      1440,
		`{"subscriber":"a","subscription":"#","shared":true,"nonPersistent":true}`:                 1440,
		`{"subscriber":"` + strings.Repeat("é", 64) + `","subscription":"x","context":{"mo":[7]}}`: 1440,
	} {
		c, err := r.server.Tokens.Verify(r.token(body))
		if err != nil || c.Expires.Sub(c.Issued) != time.Duration(minutes)*time.Minute {
			t.Errorf("%s: %+v, %v", body, c, err)
		}
		if flags := strings.Contains(body, "true"); c.Shared != flags || c.NonPersistent != flags {
			t.Errorf("%s: %+v", body, c)
		}
	}
	for body, code := range map[string]string{
		"":                                     "bad_request",
		"null":                                 "bad_request",
		"[]":                                   "bad_request",
		`{"subscriber":"a","subscription":"x"`: "bad_request",
		`{"subscriber":"a","subscription":"x"} {}`:                                                 "bad_request",
		`{"subscription":"x"}`:                                                                     "bad_request",
		`{"subscriber":"","subscription":"x"}`:                                                     "bad_request",
		`{"subscriber":7,"subscription":"x"}`:                                                      "bad_request",
		`{"subscriber":"a\u0000","subscription":"x"}`:                                              "bad_request",
		`{"subscriber":"a\u0085","subscription":"x"}`:                                              "bad_request",
		"{\"subscriber\":\"a\xff\",\"subscription\":\"x\"}":                                        "bad_request",
		`{"subscriber":"` + strings.Repeat("a", 129) + `","subscription":"x"}`:                     "bad_request",
		`{"subscriber":"a"}`:                                                                       "bad_request",
		`{"subscriber":"a","subscription":"x","type":"tenant"}`:                                    "bad_request",
		`{"subscriber":"a","subscription":"x","type":""}`:                                          "bad_request",
		`{"subscriber":"a","subscription":"x","expiresInMinutes":0}`:                               "bad_request",
		`{"subscriber":"a","subscription":"x","expiresInMinutes":-1}`:                              "bad_request",
		`{"subscriber":"a","subscription":"x","expiresInMinutes":525601}`:                          "bad_request",
		`{"subscriber":"a","subscription":"x","expiresInMinutes":1.5}`:                             "bad_request",
		`{"subscriber":"a","subscription":"x","expiresInMinutes":1e99}`:                            "bad_request",
		`{"subscriber":"a","subscription":"x","shared":"true"}`:                                    "bad_request",
		`{"subscriber":"a","subscription":"x","more":"` + strings.Repeat("x", maxBodyBytes) + `"}`: "bad_request",
		`{"subscriber":"a","subscription":"x/#/y"}`:                                                "topic_invalid",
		`{"subscriber":"a","subscription":"x\u0000"}`:                                              "topic_invalid",
		`{"subscriber":"a","subscription":"` + strings.Repeat("x", 257) + `"}`:                     "topic_invalid",
		`{"subscriber":"a","subscription":"$SYS/x"}`:                                               "topic_reserved",
		`{"subscriber":"a","subscription":"$debug/$error"}`:                                        "topic_reserved",
		`{"subscriber":"a","subscription":"$share/g/x"}`:                                           "shared_subscription_not_supported",
	} {
		before := r.counted("token", code)
		a := r.ask("acme/mapper", "secret", body)
		a.expect(t, fmt.Sprintf("%.80s", body), http.StatusBadRequest, code)
		if r.counted("token", code) != before+1 {
			t.Errorf("%.80s is not counted as %s", body, code)
		}
	}
}

func TestWhoGetsATokenAndWhoDoesNot(t *testing.T) {
	const body = `{"subscriber":"a","subscription":"x"}`
	r := newDesk(t, nil)
	for _, x := range [][2]string{{"acme/mapper", "wrong"}, {"acme/nobody", "secret"}, {"other/mapper", "secret"}, {"mapper", "secret"}, {"", ""}} {
		a := r.ask(x[0], x[1], body)
		a.expect(t, x[0], http.StatusUnauthorized, "bad_credentials")
		if challenge := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%s: WWW-Authenticate is %q", x[0], challenge)
		}
	}
	r.do(r.request(http.MethodPost, "token", strings.NewReader(body))).expect(t, "no credentials", http.StatusUnauthorized, "bad_credentials")
	// The role comes before the body: a device learns nothing from it.
	r.ask("acme/device", "secret", `{`).expect(t, "device", http.StatusForbidden, "role_not_permitted")
}

func TestTokensThatAreOfNoUse(t *testing.T) {
	r := newDesk(t, nil)
	const body = `{"subscriber":"a","subscription":"x"}`
	good := r.token(body)
	stranger, _, err := tokens(t, "other").Issue(authn.Claims{Tenant: "acme", User: "mapper", Subscriber: "a", Subscription: "x"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	expired, _, err := r.server.Tokens.Issue(authn.Claims{Tenant: "acme", User: "mapper", Subscriber: "a", Subscription: "x"}, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	device, _, err := r.server.Tokens.Issue(authn.Claims{Tenant: "acme", User: "device", Subscriber: "a", Subscription: "x"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what, query string, status int, code string) {
		t.Helper()
		for _, request := range []*http.Request{r.request(http.MethodGet, "token"+query, nil), r.request(http.MethodPost, "unsubscribe"+query, nil)} {
			a := r.do(request)
			a.expect(t, what+" at "+request.URL.Path, status, code)
			if challenge := a.header.Get("WWW-Authenticate"); (status == http.StatusUnauthorized) != strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("%s: WWW-Authenticate is %q", what, challenge)
			}
		}
	}
	check("none", "", http.StatusUnauthorized, "token_invalid")
	check("garbage", "?token=x", http.StatusUnauthorized, "token_invalid")
	check("another key", "?token="+stranger, http.StatusUnauthorized, "token_invalid")
	check("expired", "?token="+expired, http.StatusUnauthorized, "token_expired")
	check("device", "?token="+device, http.StatusForbidden, "role_not_permitted")
	r.server.Auth.SetTenant(tenant.Tenant{Name: "acme", Origin: tenant.OriginFile})
	check("user removed", "?token="+good, http.StatusUnauthorized, "user_changed")
	r.server.Auth.SetTenant(tenant.Tenant{Name: "acme", Users: deskUsers, Disabled: true, Origin: tenant.OriginFile})
	check("tenant disabled", "?token="+good, http.StatusUnauthorized, "tenant_disabled")
	r.ask("acme/mapper", "secret", body).expect(t, "login", http.StatusUnauthorized, "bad_credentials")
	if len(r.left) > 0 {
		t.Errorf("unsubscribed: %v", r.left)
	}
}

func TestWithoutNATS(t *testing.T) {
	const body = `{"subscriber":"a","subscription":"x"}`
	away := newDesk(t, func(s *Server) { s.Ready = func() error { return errors.New("not connected") } })
	away.ask("acme/mapper", "secret", body).expect(t, "NATS away", http.StatusServiceUnavailable, "nats_unavailable")
	empty := newDesk(t, func(s *Server) { s.Tokens = new(authn.Tokens) })
	empty.ask("acme/mapper", "secret", body).expect(t, "no keys", http.StatusServiceUnavailable, "nats_unavailable")
	empty.do(empty.request(http.MethodGet, "token?token=x", nil)).expect(t, "no keys", http.StatusServiceUnavailable, "nats_unavailable")
	starting := newDesk(t, func(s *Server) { s.Auth = authn.New() })
	starting.ask("acme/mapper", "secret", body).expect(t, "no tenants", http.StatusServiceUnavailable, "nats_unavailable")
}

func TestUnsubscribeFails(t *testing.T) {
	for _, x := range []struct {
		err    error
		status int
		code   string
	}{
		{reason.New(reason.NATSUnavailable, "JetStream does not answer"), http.StatusServiceUnavailable, "nats_unavailable"},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "nats_unavailable"},
		{errors.New("secret detail"), http.StatusInternalServerError, "internal_error"},
	} {
		r := newDesk(t, nil)
		r.fails = x.err
		token := r.token(`{"subscriber":"a","subscription":"x"}`)
		a := r.do(r.request(http.MethodPost, "unsubscribe?token="+token, nil))
		a.expect(t, x.err.Error(), x.status, x.code)
		if strings.Contains(fmt.Sprint(a.body), "secret detail") {
			t.Errorf("the client is shown %v", a.body)
		}
	}
}
