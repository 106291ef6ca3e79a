package app

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// tokenRequest asks for a token for the topic x.
func tokenRequest(t *testing.T, url, username, password string) *http.Request {
	t.Helper()
	body := strings.NewReader(`{"subscriber":"averages","subscription":"x"}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/notification2/token", body)
	must(t, err)
	request.SetBasicAuth(username, password)
	return request
}

// do sends a request over a connection of its own.
func do(t *testing.T, request *http.Request) (status int, body string) {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := web.Do(request)
	must(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, string(data)
}

// token returns a token of the demo tenant's service.
func (r *running) token(t *testing.T) string {
	t.Helper()
	status, body := do(t, tokenRequest(t, "http://"+r.Addresses().HTTP, "demo/service", "demo"))
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.Token == "" {
		t.Fatalf("got %d %s", status, body)
	}
	return answer.Token
}

// verify shows the token to the App.
func (r *running) verify(t *testing.T, token string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addresses().HTTP+"/notification2/token?token="+token, nil)
	must(t, err)
	return do(t, request)
}

func TestMicroserviceGetsAToken(t *testing.T) {
	r := start(t, free(t))
	token := r.token(t)
	if status, body := r.verify(t, token); status != http.StatusOK || !strings.Contains(body, `"topic":"demo/mqtt/x"`) {
		t.Errorf("got %d %s", status, body)
	}
	if status, _ := do(t, tokenRequest(t, "http://"+r.Addresses().HTTP, "demo/device", "demo")); status != http.StatusForbidden {
		t.Errorf("a device gets %d", status)
	}
	metrics, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addresses().Admin+"/metrics", nil)
	must(t, err)
	if _, body := do(t, metrics); !strings.Contains(body, `weir_microservice_requests_total{endpoint="token",result="role_not_permitted"} 1`) {
		t.Error("the refusal is not among the metrics")
	}
}

// The key that has signed a token is in the store.
func TestTokenOutlivesARestart(t *testing.T) {
	c := free(t)
	r := start(t, c)
	token := r.token(t)
	r.stop(t)
	r = start(t, c)
	if status, body := r.verify(t, token); status != http.StatusOK {
		t.Errorf("got %d %s", status, body)
	}
}

// A request that is under way does not hold up the stop for longer than its answer takes, and connections without one not at all.
func TestStopWithHTTPConnections(t *testing.T) {
	r := start(t, free(t))
	address := r.Addresses().HTTP
	idle, err := net.Dial("tcp", address)
	must(t, err)
	defer idle.Close()
	// Kept alive after an answer.
	_, err = io.WriteString(idle, "GET /notification2/token HTTP/1.1\r\nHost: weir\r\n\r\n")
	must(t, err)
	answers := bufio.NewReader(idle)
	response, err := http.ReadResponse(answers, nil)
	must(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	must(t, err)
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %s", response.Status)
	}
	begun := time.Now()
	r.stop(t)
	if took := time.Since(begun); took > drainTimeout {
		t.Errorf("the stop took %s", took)
	}
	if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is still open: %v", err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("still listening after the stop")
	}
}

// The access log has no query, because there are tokens in it, and a handler that fails ends its own connection only.
func TestAccessLog(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("fault") })
	mux.HandleFunc("/socket", func(w http.ResponseWriter, _ *http.Request) {
		hijacker, ok := w.(http.Hijacker)
		if !ok {
			t.Error("the connection cannot be handed over")
			return
		}
		conn, _, err := hijacker.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = newWeb(t.Context(), mux, zap.New(core))
	server.Start()
	// A client that had used the connection before would try a second time.
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path+"?token=secret", nil)
		must(t, err)
		return web.Do(request)
	}
	if response, err := get("/ok"); err != nil || response.StatusCode != http.StatusTeapot {
		t.Errorf("got %v", err)
	} else {
		response.Body.Close()
	}
	for _, path := range []string{"/panic", "/socket"} {
		if response, err := get(path); err == nil {
			response.Body.Close()
			t.Errorf("%s answers %s", path, response.Status)
		}
	}
	server.Close() // waits for the handlers
	status := map[string]int64{}
	for _, e := range logs.FilterMessage("request").All() {
		fields := e.ContextMap()
		path, _ := fields["path"].(string)
		status[path], _ = fields["status"].(int64)
	}
	if status["/ok"] != http.StatusTeapot || status["/socket"] != http.StatusSwitchingProtocols || len(status) != 3 {
		t.Errorf("logged %v", status)
	}
	if n := logs.FilterMessage("request failed").FilterField(zap.String("reason", "internal_error")).Len(); n != 1 {
		t.Errorf("%d failures are logged, want 1", n)
	}
	for _, e := range logs.All() {
		data, err := json.Marshal(e.ContextMap())
		must(t, err)
		if strings.Contains(e.Message+string(data), "secret") {
			t.Errorf("the log shows the query: %s %s", e.Message, data)
		}
	}
}
