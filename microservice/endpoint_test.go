package microservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/tenant"
)

// The deskUsers of every desk: an application and a device, password "secret".
var deskUsers = func() map[string]tenant.User {
	hash := authn.HashPassword([]byte("secret"))
	return map[string]tenant.User{
		"mapper": {PasswordHash: hash, Role: tenant.RoleApplication},
		"device": {PasswordHash: hash, Role: tenant.RoleDevice},
	}
}()

// desk is a Server with one tenant, acme, on a listener of loopback.
type desk struct {
	t      *testing.T
	server *Server
	url    string
	web    *http.Client
	log    *observer.ObservedLogs
	// left are the subscribers that were removed.
	left  []string
	fails error // of that
}

func newDesk(t *testing.T, change func(*Server)) *desk {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	r := &desk{t: t, log: logs, web: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}}
	r.server = &Server{
		Auth:    authn.New(),
		Tokens:  tokens(t, "one"),
		Ready:   func() error { return nil },
		Logger:  zap.New(core),
		Metrics: NewMetrics(prometheus.NewRegistry()),
	}
	r.server.Auth.SetTenant(tenant.Tenant{Name: "acme", Users: deskUsers, Origin: tenant.OriginFile})
	if change != nil {
		change(r.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + l.Addr().String() + "/notification2/"
	web := &http.Server{Handler: r.server.Handler(), ReadHeaderTimeout: time.Minute}
	r.server.sockets.Unsubscribe = func(_ context.Context, g Grant) error {
		r.left = append(r.left, g.Tenant+" "+g.Subscriber+" "+g.Subscription)
		return r.fails
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	t.Cleanup(func() {
		r.web.CloseIdleConnections()
		if err := web.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return r
}

// tokens are some with one key.
func tokens(t testing.TB, id string) *authn.Tokens {
	t.Helper()
	made := new(authn.Tokens)
	if err := made.SetKeys([]authn.Key{{ID: id, Secret: bytes.Repeat([]byte(id[:1]), authn.MinSecretBytes)}}); err != nil {
		t.Fatal(err)
	}
	return made
}

// answer is what the server has said.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// code is that of a refusal; empty for other answers.
func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (r *desk) do(request *http.Request) answer {
	r.t.Helper()
	response, err := r.web.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if err := json.Unmarshal(data, &a.body); err != nil {
		r.t.Fatalf("%s: %v", data, err)
	}
	if have := a.header.Get("Content-Type"); have != "application/json" {
		r.t.Errorf("content type %q", have)
	}
	return a
}

func (r *desk) request(method, path string, body io.Reader) *http.Request {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return request
}

// ask asks for a token.
func (r *desk) ask(username, password, body string) answer {
	r.t.Helper()
	request := r.request(http.MethodPost, "token", bytes.NewReader([]byte(body)))
	request.SetBasicAuth(username, password)
	return r.do(request)
}

// token is one that must be given.
func (r *desk) token(body string) string {
	r.t.Helper()
	a := r.ask("acme/mapper", "secret", body)
	token, _ := a.body["token"].(string)
	if a.status != http.StatusOK || token == "" {
		r.t.Fatalf("%s: got %d %v", body, a.status, a.body)
	}
	return token
}

// expect checks a refusal.
func (a answer) expect(t *testing.T, what string, status int, code string) {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("%s: got %d %v, want %d %s", what, a.status, a.body, status, code)
	}
}

// counted is how many requests of an endpoint had a result.
func (r *desk) counted(endpoint, result string) float64 {
	return testutil.ToFloat64(r.server.Metrics.requests.WithLabelValues(endpoint, result))
}
