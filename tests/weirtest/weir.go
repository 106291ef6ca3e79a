package weirtest

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Options of a Weir. The zero value is an embedded one with the demo tenant.
type Options struct {
	// Name tells several Weirs apart in the output of a test; empty: weir.
	Name string
	// Tenants is the text of the tenants file. Empty: no file, and so the demo tenant where the server is embedded.
	Tenants string
	// TenantsFile is a file to share with other Weirs, in place of Tenants.
	TenantsFile string
	// External is the NATS that Weir is a sidecar of; nil: an embedded server.
	External *NATS
	// Env are further variables, as NAME=value.
	Env []string
	// Unchecked is a Weir without the race detector even where the test has it, for figures.
	Unchecked bool
	// Cold does not wait until it is ready: for a sidecar without its NATS.
	Cold bool
}

// Weir is a process. Its methods are for one goroutine, but for those that return addresses.
type Weir struct {
	t           testing.TB
	p           *process
	mqtt        string
	http        string
	nats        string
	admin       string
	tenantsFile string
	web         *http.Client
}

// Start runs a Weir that ends with the test, and waits until it is ready.
func Start(t testing.TB, o Options) *Weir {
	t.Helper()
	w := &Weir{t: t, mqtt: freeAddress(t), http: freeAddress(t), admin: freeAddress(t), tenantsFile: o.TenantsFile}
	w.web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	env := []string{
		"WEIR_MQTT_ADDR=" + w.mqtt,
		"WEIR_ADMIN_ADDR=" + w.admin,
		"WEIR_HTTP_ADDR=" + w.http,
		"WEIR_LOG_FORMAT=json",
		"GORACE=halt_on_error=0",
	}
	if o.External != nil {
		w.nats = o.External.URL()
		env = append(env, "WEIR_NATS_URL="+w.nats)
	} else {
		address := freeAddress(t)
		w.nats = "nats://" + address
		env = append(env, "WEIR_NATS_ADDR="+address, "WEIR_DATA_DIR="+filepath.Join(t.TempDir(), "data"))
	}
	if o.Tenants != "" {
		w.tenantsFile = TenantsFile(t, o.Tenants)
	}
	if w.tenantsFile != "" {
		env = append(env, "WEIR_TENANTS_FILE="+w.tenantsFile)
	}
	b := weirBinary
	if raceEnabled && !o.Unchecked {
		b = weirRaceBinary
	}
	name := o.Name
	if name == "" {
		name = "weir"
	}
	w.p = newProcess(t, name, b.link(t), nil, append(env, o.Env...))
	w.p.start()
	if !o.Cold {
		w.Ready()
	}
	return w
}

// MQTT is the address of the MQTT listener, host:port.
func (w *Weir) MQTT() string { return w.mqtt }

// HTTP is the address of the HTTP listener, host:port.
func (w *Weir) HTTP() string { return w.http }

// NATS is the URL of the embedded or external server.
func (w *Weir) NATS() string { return w.nats }

// Admin is the URL of the admin listener, without a slash at its end.
func (w *Weir) Admin() string { return "http://" + w.admin }

// PID is the process identifier of the running process.
func (w *Weir) PID() int { return w.p.cmd.Process.Pid }

// Said is all that the process has written, standard output and log, over all its starts.
func (w *Weir) Said() string { return string(w.p.said()) }

// Ready waits until /readyz says so.
func (w *Weir) Ready() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if !poll(ctx, func() bool { return w.IsReady() || !w.p.running() }) {
		w.t.Fatalf("%s is not ready after %s", w.p.name, Patience)
	}
	if !w.p.running() {
		w.t.Fatalf("%s has ended instead of becoming ready: %v", w.p.name, w.p.cmd.ProcessState)
	}
}

// IsReady tells whether /readyz answers 200.
func (w *Weir) IsReady() bool {
	response, err := w.web.Get(w.Admin() + "/readyz")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Kill ends the process with SIGKILL.
func (w *Weir) Kill() { w.p.kill() }

// Stop ends the process with SIGTERM and expects exit code 0.
func (w *Weir) Stop() {
	w.t.Helper()
	if err := w.p.signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	if code := w.p.cmd.ProcessState.ExitCode(); code != 0 {
		w.t.Fatalf("%s: %v after SIGTERM", w.p.name, w.p.cmd.ProcessState)
	}
}

// Dump ends the process with SIGQUIT, which makes it write what each of its goroutines does, and returns that.
func (w *Weir) Dump() string {
	w.t.Helper()
	before := len(w.p.said())
	if err := w.p.signal(syscall.SIGQUIT); err != nil {
		w.t.Error(err)
	}
	return string(w.p.said()[before:])
}

// Restart starts the process again, after Kill or Stop, on the same ports and data, and waits until it is ready.
func (w *Weir) Restart() {
	w.t.Helper()
	if w.p.running() {
		w.t.Fatalf("%s is still running", w.p.name)
	}
	w.p.start()
	w.Ready()
}

// SetTenants replaces the tenants file.
func (w *Weir) SetTenants(yaml string) {
	w.t.Helper()
	WriteTenants(w.t, w.tenantsFile, yaml)
}

// TenantsFile makes a tenants file that several Weirs can share.
func TenantsFile(t testing.TB, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	WriteTenants(t, path, yaml)
	return path
}

// WriteTenants replaces a tenants file, as an editor does that writes another and renames it.
func WriteTenants(t testing.TB, path, yaml string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Fail runs an embedded Weir that cannot start with these variables, and returns its exit code and what it said.
func Fail(t testing.TB, env ...string) (code int, said string) {
	t.Helper()
	env = append([]string{
		"WEIR_MQTT_ADDR=127.0.0.1:0", "WEIR_ADMIN_ADDR=127.0.0.1:0", "WEIR_HTTP_ADDR=off", "WEIR_NATS_ADDR=127.0.0.1:0",
		"WEIR_DATA_DIR=" + filepath.Join(t.TempDir(), "data"),
	}, env...)
	p := newProcess(t, "weir", weirBinary.link(t), nil, env)
	p.start()
	Receive(t, "the end of weir", p.exit())
	return p.cmd.ProcessState.ExitCode(), string(p.said())
}
