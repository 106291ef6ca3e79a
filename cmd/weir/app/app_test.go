package app

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/codec"
)

// free is a configuration with an embedded server in a directory of the test's, on free ports of loopback.
func free(t *testing.T) Config {
	t.Helper()
	c := defaults
	c.DataDir = filepath.Join(t.TempDir(), "data")
	c.NATSAddr, c.MQTTAddr, c.HTTPAddr, c.AdminAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return c
}

// running is an App with what it says.
type running struct {
	*App
	stdout *bytes.Buffer
	logged chan string // messages
}

// start runs an App until stop, or the end of the test.
func start(t *testing.T, c Config) *running {
	t.Helper()
	r := &running{stdout: &bytes.Buffer{}, logged: make(chan string, 1000)}
	log := zaptest.NewLogger(t, zaptest.WrapOptions(zap.Hooks(func(e zapcore.Entry) error {
		select {
		case r.logged <- e.Message:
		default:
		}
		return nil
	})))
	r.App = New(c, log, r.stdout)
	must(t, r.Start(t.Context()))
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	if r.App != nil {
		must(t, r.Close())
		r.App = nil
	}
}

// startError starts an App that does not start.
func startError(t *testing.T, c Config) error {
	t.Helper()
	a := New(c, zaptest.NewLogger(t), io.Discard)
	err := a.Start(t.Context())
	if err == nil {
		must(t, a.Close())
		t.Fatal("it started")
	}
	return err
}

// expectConfigError checks that the error is one line that names the variable.
func expectConfigError(t *testing.T, err error, variable, text string) {
	t.Helper()
	var bad *ConfigError
	if !errors.As(err, &bad) || bad.Variable != variable {
		t.Fatalf("got %v, want an error of %s", err, variable)
	}
	if line := err.Error(); !strings.Contains(line, text) || strings.Contains(line, "\n") {
		t.Errorf("got %q, want one line with %q", line, text)
	}
}

// client is a bare MQTT 3.1.1 connection.
type client struct {
	net.Conn
	packets *codec.Reader
}

// login connects over the connection and returns the return code of the CONNACK.
func login(t *testing.T, conn net.Conn, username, password string) (*client, codec.ReasonCode) {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	connect := &codec.Connect{
		CleanStart: true, ClientID: strings.ReplaceAll(username, "/", "-"), HasUsername: true, Username: username, HasPassword: true, Password: []byte(password),
	}
	data, err := connect.Append(nil, codec.V311)
	must(t, err)
	_, err = conn.Write(data)
	must(t, err)
	c := &client{Conn: conn, packets: codec.NewReader(conn, 1<<20)}
	h, body, err := c.packets.Next()
	must(t, err)
	var ack codec.Connack
	must(t, ack.Decode(h, body, codec.V311))
	return c, ack.Code
}

func (r *running) login(t *testing.T, username, password string) (*client, codec.ReasonCode) {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addresses().MQTT)
	must(t, err)
	return login(t, conn, username, password)
}

// accepted is a login that must succeed.
func (r *running) accepted(t *testing.T, username, password string) *client {
	t.Helper()
	c, code := r.login(t, username, password)
	if code != codec.Success {
		t.Fatalf("%s with %s: CONNACK %d", username, password, code)
	}
	return c
}

func (r *running) refused(t *testing.T, username, password string, want codec.ReasonCode) {
	t.Helper()
	if _, code := r.login(t, username, password); code != want {
		t.Errorf("%s with %s: CONNACK %d, want %d", username, password, code, want)
	}
}

// expectClosed waits until the server has closed the connection.
func (c *client) expectClosed(t *testing.T) {
	t.Helper()
	if _, _, err := c.packets.Next(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("not closed: %v", err)
	}
}

// ready returns the status and the body of /readyz.
func (r *running) ready(t *testing.T) (status int, body string) {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	response, err := http.Get("http://" + r.Addresses().Admin + "/readyz")
	must(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, string(data)
}

func TestNewcomer(t *testing.T) {
	c := free(t)
	r := start(t, c)
	expect(t, r.logged, "ready")
	if status, body := r.ready(t); status != http.StatusOK {
		t.Errorf("not ready: %s", body)
	}
	r.accepted(t, "demo/device", "demo")
	r.refused(t, "demo/device", "other", 5)
	info, err := os.Stat(c.DataDir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory has mode %v", info.Mode())
	}
	said := r.stdout
	address := r.Addresses().MQTT
	r.stop(t)
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	for _, want := range []string{
		"mosquitto_sub -h 127.0.0.1 -p " + port + " -u demo/service -P demo",
		"mosquitto_pub -h 127.0.0.1 -p " + port + " -u demo/device -P demo",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is missing in\n%s", want, said)
		}
	}
	if lines := strings.Count(said.String(), "\n"); lines != 4 {
		t.Errorf("%d lines, want 4", lines)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("still listening after the stop")
	}
}

// The demo tenant outlives a restart.
func TestRestart(t *testing.T) {
	c := free(t)
	start(t, c).stop(t)
	r := start(t, c)
	r.accepted(t, "demo/device", "demo")
}

func TestDemoTenantStaysOnLoopback(t *testing.T) {
	for _, x := range []struct {
		variable string
		change   func(*Config)
	}{
		{"WEIR_MQTT_ADDR", func(c *Config) { c.MQTTAddr = ":0" }},
		{"WEIR_HTTP_ADDR", func(c *Config) { c.HTTPAddr = "0.0.0.0:0" }},
		{"WEIR_HTTPS_ADDR", func(c *Config) {
			secure(t, c, "weir")
			c.HTTPSAddr = ":0"
		}},
		{"WEIR_ADMIN_ADDR", func(c *Config) { c.AdminAddr = "[::]:0" }},
		{"WEIR_NATS_ADDR", func(c *Config) { c.NATSAddr = ":0" }},
	} {
		t.Run(x.variable, func(t *testing.T) {
			c := free(t)
			x.change(&c)
			expectConfigError(t, startError(t, c), x.variable, "WEIR_DEMO=true")
			c.Demo = true
			start(t, c).accepted(t, "demo/device", "demo")
		})
	}
}

func TestDemoTenantGoesWithATenantsFile(t *testing.T) {
	c := free(t)
	start(t, c).stop(t)
	c.MQTTAddr = ":0"
	c.TenantsFile = tenantsFileOf(t, `acme: {users: {bob: {password: secret, role: device}}}`)
	r := start(t, c)
	r.accepted(t, "acme/bob", "secret")
	r.refused(t, "demo/device", "demo", 5)
	if r.stdout.Len() > 0 {
		t.Errorf("said %s", r.stdout)
	}
	r.stop(t)
	// Nor does it come back without the file: the store is not empty.
	c.TenantsFile = ""
	r = start(t, c)
	r.accepted(t, "acme/bob", "secret")
	r.refused(t, "demo/device", "demo", 5)
}

func TestStartErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	write(t, bad, "tenants:\n  acme: {user: {}}\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")

	c := free(t)
	c.TenantsFile = bad
	expectConfigError(t, startError(t, c), "WEIR_TENANTS_FILE", "bad.yaml: line 2: user: unknown key")
	c.TenantsFile = bad + ".missing"
	expectConfigError(t, startError(t, c), "WEIR_TENANTS_FILE", "no such file")

	c = free(t)
	c.DataDir = filepath.Join(file, "data")
	expectConfigError(t, startError(t, c), "WEIR_DATA_DIR", "not a directory")

	for variable, change := range map[string]func(*Config){
		"WEIR_MQTT_ADDR":  func(c *Config) { c.MQTTAddr = taken.Addr().String() },
		"WEIR_HTTP_ADDR":  func(c *Config) { c.HTTPAddr = taken.Addr().String() },
		"WEIR_ADMIN_ADDR": func(c *Config) { c.AdminAddr = taken.Addr().String() },
		"WEIR_NATS_ADDR":  func(c *Config) { c.NATSAddr = taken.Addr().String() },
	} {
		c := free(t)
		change(&c)
		if err := startError(t, c); !strings.HasPrefix(err.Error(), variable+": ") || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: got %v", variable, err)
		}
	}
}

func TestOneProcessPerDataDirectory(t *testing.T) {
	c := free(t)
	start(t, c)
	if err := startError(t, c); !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	c := free(t)
	c.MQTTSAddr, c.HTTPSAddr = "127.0.0.1:0", "127.0.0.1:0"
	replace := secure(t, &c, "first")
	r := start(t, c)
	dial := func(name string) *tls.Conn {
		conn, err := tls.Dial("tcp", r.Addresses().MQTTS, &tls.Config{InsecureSkipVerify: true})
		must(t, err)
		if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != name {
			t.Errorf("shown %s, want %s", got, name)
		}
		if _, code := login(t, conn, "demo/device", "demo"); code != codec.Success {
			t.Errorf("CONNACK %d", code)
		}
		return conn
	}
	browse := func(name string) {
		t.Helper()
		web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		request := tokenRequest(t, "https://"+r.Addresses().HTTPS, "demo/service", "demo")
		response, err := web.Do(request)
		must(t, err)
		defer response.Body.Close()
		if got := response.TLS.PeerCertificates[0].Subject.CommonName; got != name || response.StatusCode != http.StatusOK || response.ProtoMajor != 1 {
			t.Errorf("shown %s, want %s; %s", got, name, response.Status)
		}
	}
	dial("first")
	browse("first")
	replace("second")
	expect(t, r.logged, "TLS certificate loaded")
	dial("second")
	browse("second")
}

// secure gives the configuration a certificate, and returns what replaces it.
func secure(t *testing.T, c *Config, name string) (replace func(name string)) {
	t.Helper()
	dir := t.TempDir()
	c.TLSCert, c.TLSKey = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	certFile, keyFile := c.TLSCert, c.TLSKey
	replace = func(name string) {
		cert, key := newPair(t, name)
		write(t, certFile, cert)
		write(t, keyFile, key)
	}
	replace(name)
	return replace
}

func TestListenersOff(t *testing.T) {
	c := free(t)
	c.MQTTAddr, c.HTTPAddr, c.AdminAddr, c.NATSAddr = Off, Off, Off, Off
	if got := start(t, c).Addresses(); got != (Addresses{}) {
		t.Errorf("listens on %+v", got)
	}
}
