package admin_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/admin"
)

func TestMain(m *testing.M) {
	// After a refused header the standard library keeps the connection half open for half a second.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// serve starts a server on a free port and returns its base URL.
func serve(t *testing.T, c admin.Config) string {
	t.Helper()
	c.Log = zaptest.NewLogger(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := admin.NewServer(c)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, url string) (status int, contentType, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(data)
}

func TestHealthDoesNotDependOnReadiness(t *testing.T) {
	url := serve(t, admin.Config{Registry: admin.NewRegistry(), Checks: []admin.Check{
		{Name: "nats", Ready: func() error { return errors.New("gone") }},
	}})
	status, contentType, body := get(t, url+"/healthz")
	if status != http.StatusOK || contentType != "application/json" || body != `{"status":"ok"}`+"\n" {
		t.Errorf("got %d %s %s", status, contentType, body)
	}
}

func TestReadyNamesWhatIsMissing(t *testing.T) {
	var up atomic.Bool
	url := serve(t, admin.Config{Registry: admin.NewRegistry(), Checks: []admin.Check{
		{Name: "nats", Ready: func() error {
			if up.Load() {
				return nil
			}
			return errors.New("not connected")
		}},
		{Name: "listeners", Ready: func() error { return nil }},
	}})
	status, _, body := get(t, url+"/readyz")
	if status != http.StatusServiceUnavailable || body != `{"ready":false,"reasons":{"nats":"not connected"}}`+"\n" {
		t.Errorf("got %d %s", status, body)
	}
	up.Store(true)
	status, _, body = get(t, url+"/readyz")
	if status != http.StatusOK || body != `{"ready":true}`+"\n" {
		t.Errorf("got %d %s", status, body)
	}
}

func TestMetrics(t *testing.T) {
	registry := admin.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_test_total"})
	registry.MustRegister(counter)
	counter.Add(3)
	url := serve(t, admin.Config{Registry: registry})
	status, _, body := get(t, url+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for _, want := range []string{"weir_test_total 3\n", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestNothingElse(t *testing.T) {
	url := serve(t, admin.Config{Registry: admin.NewRegistry()})
	for _, path := range []string{"/", "/healthz/", "/debug/pprof/"} {
		if status, _, _ := get(t, url+path); status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, status)
		}
	}
	r, err := http.Post(url+"/healthz", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", r.StatusCode)
	}
}

func TestBoundedHeader(t *testing.T) {
	url := serve(t, admin.Config{Registry: admin.NewRegistry()})
	request, err := http.NewRequest(http.MethodGet, url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", r.StatusCode)
	}
}
