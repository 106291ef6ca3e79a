// Package microservices is a microservice that talks to a running Weir over HTTP.
package microservices

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tenants = `
tenants:
  acme:
    users:
      device: {password: one, role: device}
      mapper: {password: one, role: application}
`

// body is what the MQTT Service client for Java sends.
const body = `{"subscriber":"averages","subscription":"sensors/+/temp","type":"mqtt","signed":true,"expiresInMinutes":1440,` +
	`"shared":false,"nonPersistent":false}`

// answer is what Weir has said.
type answer struct {
	status int
	fields map[string]any
}

// code is that of a refusal; empty for other answers.
func (a answer) code() string {
	e, _ := a.fields["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: weirtest.Patience}

func send(t *testing.T, method, address, path, body string, change func(*http.Request)) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(weirtest.Context(t), method, "http://"+address+"/notification2/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	change(request)
	response, err := web.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode}
	if err := json.Unmarshal(data, &a.fields); err != nil {
		t.Fatalf("%s %s: %s: %v", method, path, data, err)
	}
	return a
}

// ask asks for a token.
func ask(t *testing.T, weir *weirtest.Weir, username, password, body string) answer {
	t.Helper()
	return send(t, http.MethodPost, weir.HTTP(), "token", body, func(r *http.Request) { r.SetBasicAuth(username, password) })
}

// token is one of acme/mapper.
func token(t *testing.T, weir *weirtest.Weir) string {
	t.Helper()
	a := ask(t, weir, "acme/mapper", "one", body)
	token, _ := a.fields["token"].(string)
	if a.status != http.StatusOK || token == "" {
		t.Fatalf("%d %v instead of a token", a.status, a.fields)
	}
	return token
}

func verify(t *testing.T, weir *weirtest.Weir, token string) answer {
	t.Helper()
	return send(t, http.MethodGet, weir.HTTP(), "token?token="+url.QueryEscape(token), "", func(*http.Request) {})
}

func unsubscribe(t *testing.T, weir *weirtest.Weir, token string) answer {
	t.Helper()
	return send(t, http.MethodPost, weir.HTTP(), "unsubscribe?token="+url.QueryEscape(token), "", func(*http.Request) {})
}

func expect(t *testing.T, what string, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("%s: %d %v, want %d %s", what, a.status, a.fields, status, code)
	}
}

// lifetime is how long a token lives that was verified.
func lifetime(a answer) time.Duration {
	issued, _ := a.fields["iat"].(float64)
	expires, _ := a.fields["exp"].(float64)
	return time.Duration(expires-issued) * time.Second
}
