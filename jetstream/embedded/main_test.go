package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/embedded"
)

const patience = 20 * time.Second

// childDir, set in the environment, makes the test binary a program with an embedded server on that directory.
const childDir = "WEIR_TEST_EMBEDDED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// child serves until it is killed. It prints its address once it is ready.
func child(dir string) {
	s, err := embedded.Start(embedded.Config{DataDir: dir, Addr: "127.0.0.1:0", Sync: embedded.SyncAlways, Log: zap.NewNop()})
	if err == nil {
		err = s.AddTenant("acme")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.Addr())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the parent is gone
	os.Exit(1)
}

// users of the tenants, by what they log in as.
type users map[string]string

func (u users) check(_ context.Context, user, password string) (string, bool) {
	if want, ok := u[user]; !ok || want != password {
		return "", false
	}
	tenant, _, _ := strings.Cut(user, "/")
	return tenant, true
}

func start(t *testing.T, config embedded.Config, tenants ...string) *embedded.Server {
	t.Helper()
	if config.DataDir == "" {
		config.DataDir = t.TempDir()
	}
	if config.Addr == "" {
		config.Addr = "127.0.0.1:0"
	}
	config.Log = zap.NewNop()
	s, err := embedded.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	for _, tenant := range tenants {
		if err := s.AddTenant(tenant); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func shutdown(t *testing.T, s *embedded.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// bridge connects in-process.
func bridge(t *testing.T, s *embedded.Server, tenant string) (*nats.Conn, natsjs.JetStream) {
	t.Helper()
	options, err := s.Options(tenant)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := options.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, jetstream(t, nc)
}

// native connects over TCP.
func native(t *testing.T, s *embedded.Server, user, password string, opts ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	nc, err := nats.Connect("nats://"+s.Addr().String(), append(opts, nats.UserInfo(user, password))...)
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

func jetstream(t *testing.T, nc *nats.Conn) natsjs.JetStream {
	t.Helper()
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, js natsjs.JetStream, name string, subjects ...string) natsjs.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), natsjs.StreamConfig{Name: name, Subjects: subjects, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCredentialFile(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir}, "acme")
	path := filepath.Join(dir, "bridge.secret")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Another process of the operator's gets in with it, to every account.
	for _, tenant := range []string{"", "acme"} {
		login, err := embedded.Login(dir, tenant)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect("nats://"+s.Addr().String(), login)
		if err != nil {
			t.Fatalf("%q: %v", tenant, err)
		}
		if _, err := jetstream(t, nc).AccountInfo(t.Context()); err != nil {
			t.Errorf("%q: %v", tenant, err)
		}
		nc.Close()
	}
	shutdown(t, s)
	again, err := embedded.Start(embedded.Config{DataDir: dir, Addr: "off", Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	shutdown(t, again)
	if now, err := os.ReadFile(path); err != nil || string(now) != string(secret) {
		t.Errorf("another credential after a restart (%v)", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(embedded.Config{DataDir: dir, Addr: "off", Log: zap.NewNop()}); err == nil ||
		!strings.Contains(err.Error(), "0640") || strings.Contains(err.Error(), "\n") {
		t.Errorf("with a credential that others can read: %v", err)
	}
}

func TestStartRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := t.TempDir()
	start(t, embedded.Config{DataDir: used, Addr: "off"})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir, addr string
		want      string
	}{
		"directory in use":   {used, "off", "in use"},
		"address in use":     {t.TempDir(), taken.Addr().String(), taken.Addr().String()},
		"no port":            {t.TempDir(), "127.0.0.1", "127.0.0.1"},
		"not a port":         {t.TempDir(), "127.0.0.1:nats", "nats"},
		"port out of range":  {t.TempDir(), "127.0.0.1:65536", "65536"},
		"not a host of ours": {t.TempDir(), "192.0.2.1:0", "192.0.2.1"},
		"not a directory":    {file, "off", file},
	} {
		s, err := embedded.Start(embedded.Config{DataDir: c.dir, Addr: c.addr, Log: zap.NewNop()})
		if err == nil {
			shutdown(t, s)
			t.Errorf("%s: started", name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q", name, err)
		}
	}
}

func TestShutdownGivesTheDirectoryBack(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s, err := embedded.Start(embedded.Config{DataDir: dir, Addr: "off", Log: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		if s.Addr() != nil {
			t.Errorf("listens on %v", s.Addr())
		}
		shutdown(t, s)
	}
}

// A restarted server has the tenants' streams, with their messages and consumers, once the tenant is added.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir}, "acme", "other")
	limit := s.MaxFile()
	if limit <= 0 {
		t.Errorf("MaxFile = %d", limit)
	}
	_, js := bridge(t, s, "acme")
	for i := range 20 {
		kept := stream(t, js, fmt.Sprintf("MQTT_acme_t_%d", i), fmt.Sprintf("mqtt.acme.%d", i))
		if _, err := kept.CreateConsumer(t.Context(), natsjs.ConsumerConfig{Durable: "c"}); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), fmt.Sprintf("mqtt.acme.%d", i), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	shutdown(t, s)
	s = start(t, embedded.Config{DataDir: dir}, "other")
	if _, err := s.Options("acme"); err == nil {
		t.Error("a tenant that was not added can be connected to")
	}
	for range 2 {
		if err := s.AddTenant("acme"); err != nil {
			t.Fatal(err)
		}
	}
	_, js = bridge(t, s, "acme")
	for i := range 20 {
		kept, err := js.Stream(t.Context(), fmt.Sprintf("MQTT_acme_t_%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if state := kept.CachedInfo().State; state.Msgs != 1 || state.Consumers != 1 {
			t.Errorf("stream %d came back as %+v", i, state)
		}
	}
	_, js = bridge(t, s, "other")
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("the other tenant has the stream %s", name)
	}
}

// What was acknowledged is there after the process was killed, and the directory is free.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	stored := 0
	for range 3 {
		command := run(t, dir)
		login, err := embedded.Login(dir, "acme")
		if err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect("nats://"+command.addr, login, nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		js := jetstream(t, nc)
		kept, err := js.CreateOrUpdateStream(t.Context(), natsjs.StreamConfig{Name: "S", Subjects: []string{"mqtt.acme.>"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := kept.CachedInfo().State.Msgs; got < uint64(stored) {
			t.Errorf("%d messages after %d acknowledgements", got, stored)
		}
		if _, err := embedded.Start(embedded.Config{DataDir: dir, Addr: "off", Log: zap.NewNop()}); err == nil ||
			!strings.Contains(err.Error(), "in use") {
			t.Errorf("a second server on the directory: %v", err)
		}
		for range 200 {
			if _, err := js.Publish(t.Context(), "mqtt.acme.a", []byte("x")); err != nil {
				t.Fatal(err)
			}
			stored++
		}
		command.kill(t)
		nc.Close()
	}
	s := start(t, embedded.Config{DataDir: dir}, "acme")
	_, js := bridge(t, s, "acme")
	kept, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := kept.CachedInfo().State.Msgs; got != uint64(stored) {
		t.Errorf("%d messages after %d acknowledgements", got, stored)
	}
}

func TestManyConsumers(t *testing.T) {
	s := start(t, embedded.Config{Addr: "off"}, "acme")
	_, js := bridge(t, s, "acme")
	kept := stream(t, js, "S", "mqtt.acme.a")
	for i := range 1001 { // nats-server's default is 1,000
		if _, err := kept.CreateConsumer(t.Context(), natsjs.ConsumerConfig{
			Durable: fmt.Sprint(i), MemoryStorage: true,
		}); err != nil {
			t.Fatalf("consumer %d: %v", i, err)
		}
	}
}

func TestNoTenant(t *testing.T) {
	s := start(t, embedded.Config{Addr: "off"})
	for _, name := range []string{"", "WEIR", "$G", "$SYS"} {
		if err := s.AddTenant(name); err == nil {
			t.Errorf("%q is a tenant", name)
		}
	}
	if _, err := s.Options("acme"); err == nil {
		t.Error("options of a tenant that was not added")
	}
}
