package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/tenant"
)

// tenantsFileOf writes a tenants file with the tenants given in YAML, one string each.
func tenantsFileOf(t *testing.T, tenants ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	rewrite(t, path, tenants...)
	return path
}

func rewrite(t *testing.T, path string, tenants ...string) {
	t.Helper()
	text := "tenants:\n"
	if len(tenants) == 0 {
		text = "tenants: {}\n"
	}
	for _, x := range tenants {
		text += "  " + x + "\n"
	}
	write(t, path, text)
}

// revisions returns the revision of every tenant in the store.
func revisions(t *testing.T, a *App) map[string]uint64 {
	t.Helper()
	all, err := a.store.Tenants(t.Context())
	must(t, err)
	m := map[string]uint64{}
	for name, stored := range all {
		m[name] = stored.Revision
	}
	return m
}

func TestTenantsFileIsFollowed(t *testing.T) {
	const acme = `acme: {users: {bob: {password: one, role: device}, eve: {password: e, role: device}}}`
	const zoo = `zoo: {users: {bob: {password: z, role: device}}}`
	const zooWithKim = `zoo: {users: {bob: {password: z, role: device}, kim: {password: k, role: device}}}`
	c := free(t)
	c.TenantsFile = tenantsFileOf(t, acme, zooWithKim)
	r := start(t, c)
	bob := r.accepted(t, "acme/bob", "one")

	// A changed password closes the user's connections, and no one else's.
	zooBob := r.accepted(t, "zoo/bob", "z")
	rewrite(t, c.TenantsFile, `acme: {users: {bob: {password: two, role: device}, eve: {password: e, role: device}}}`, zooWithKim)
	bob.expectClosed(t)
	r.refused(t, "acme/bob", "one", 5)
	bob = r.accepted(t, "acme/bob", "two")

	// A bad file changes nothing.
	write(t, c.TenantsFile, "tenants:\n  acme: {users: {bob: {password: three, role: king}}}\n")
	expect(t, r.logged, "tenants file refused, the tenants in force stay")
	r.refused(t, "acme/bob", "three", 5)

	// A tenant that is not in the file any more is disabled; when it comes back it is as before.
	rewrite(t, c.TenantsFile, zooWithKim)
	bob.expectClosed(t)
	r.refused(t, "acme/bob", "two", 5)
	kim := r.accepted(t, "zoo/kim", "k")
	rewrite(t, c.TenantsFile, acme, zoo)
	kim.expectClosed(t) // zoo comes after acme
	r.accepted(t, "acme/bob", "one")

	// zoo/bob has been there throughout.
	ping(t, zooBob)
}

// ping checks that the connection is served.
func ping(t *testing.T, c *client) {
	t.Helper()
	if _, err := c.Write([]byte{0xC0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.packets.Next(); err != nil {
		t.Fatalf("no PINGRESP: %v", err)
	}
}

// Plain passwords are hashed with a random salt, but a file that says the same as the store does not write to it.
func TestUnchangedTenantsFileWritesNothing(t *testing.T) {
	c := free(t)
	c.TenantsFile = tenantsFileOf(t, `acme: {users: {bob: {password: one, role: device}}}`)
	r := start(t, c)
	before := revisions(t, r.App)
	r.stop(t)
	r = start(t, c)
	if got := revisions(t, r.App); got["acme"] != before["acme"] || len(got) != 1 {
		t.Errorf("revisions %v, before %v", got, before)
	}
}

// The file changes only what came from a file.
func TestTenantsFileLeavesOthersAlone(t *testing.T) {
	c := free(t)
	r := start(t, c)
	all, err := r.store.Tenants(t.Context())
	must(t, err)
	demo, err := tenant.Decode(all["demo"].Value)
	must(t, err)
	must(t, putTenant(t.Context(), r.store, tenant.Tenant{
		Name: "other", Origin: tenant.OriginStore, Users: map[string]tenant.User{"bob": demo.Users["device"]},
	}, 0))
	before := revisions(t, r.App)
	r.stop(t)

	c.TenantsFile = tenantsFileOf(t, `other: {users: {bob: {password: mine, role: device}}}`, `acme: {}`)
	r = start(t, c)
	r.accepted(t, "other/bob", "demo")
	r.refused(t, "other/bob", "mine", 5)
	rewrite(t, c.TenantsFile)
	expect(t, r.logged, "tenant disabled: it is not in the tenants file any more")
	r.accepted(t, "other/bob", "demo")
	if got := revisions(t, r.App); got["other"] != before["other"] {
		t.Errorf("the record was written: revisions %v, before %v", got, before)
	}
}

// Applications log in to the embedded server with the same users, devices do not, and a change puts them out.
func TestNativeClients(t *testing.T) {
	c := free(t)
	c.TenantsFile = tenantsFileOf(t, `acme: {users: {app: {password: a, role: application}, dev: {password: d, role: device}}}`)
	r := start(t, c)
	expect(t, r.logged, "ready")
	url := "nats://" + r.Addresses().NATS
	for _, x := range [][2]string{{"acme/dev", "d"}, {"acme/app", "d"}, {"acme/none", "a"}, {"", ""}} {
		if nc, err := nats.Connect(url, nats.UserInfo(x[0], x[1])); err == nil {
			nc.Close()
			t.Errorf("%s was let in", x[0])
		}
	}
	gone := make(chan struct{})
	nc, err := nats.Connect(url, nats.UserInfo("acme/app", "a"), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	must(t, err)
	defer nc.Close()
	rewrite(t, c.TenantsFile, `acme: {users: {app: {password: b, role: application}}}`)
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Fatal("still connected with the old password")
	}
	nc, err = nats.Connect(url, nats.UserInfo("acme/app", "b"))
	must(t, err)
	defer nc.Close()

	// Nobody has connected over MQTT, and yet topics can be asked for.
	reply, err := nc.Request("weir.topic.ensure.acme", []byte("sensors/room1"), 20*time.Second)
	must(t, err)
	if string(reply.Data) != "{}" {
		t.Errorf("asked for a topic, got %s", reply.Data)
	}
}

// runNATS starts a nats-server on the port, 0: a free one.
func runNATS(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	})
	must(t, err)
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("nats-server is not ready")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// A sidecar that is started before its NATS waits for it, and says so; clients are to come back.
func TestSidecarWaitsForNATS(t *testing.T) {
	placeholder, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := placeholder.Addr().(*net.TCPAddr).Port
	must(t, placeholder.Close())

	c := free(t)
	c.NATSURL = fmt.Sprintf("nats://127.0.0.1:%d", port)
	c.TenantsFile = tenantsFileOf(t, `acme: {users: {bob: {password: one, role: device}}}`)
	r := start(t, c)
	if status, body := r.ready(t); status != http.StatusServiceUnavailable ||
		body != `{"ready":false,"reasons":{"keys":"the keys that sign tokens are not known yet","nats":"not connected to NATS",`+
			`"tenants":"the tenants are not known yet"}}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
	r.refused(t, "acme/bob", "one", 3)

	runNATS(t, t.TempDir(), port)
	expect(t, r.logged, "ready")
	r.accepted(t, "acme/bob", "one")
}

// A stop does not wait for a NATS that is not there.
func TestSidecarStopsWithoutNATS(t *testing.T) {
	c := free(t)
	c.NATSURL = "nats://127.0.0.1:1"
	ctx, cancel := context.WithCancel(t.Context())
	a := New(c, zaptest.NewLogger(t), io.Discard)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	cancel()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(40 * time.Second):
		t.Fatal("still running")
	}
}

// What one bridge reads from its file is in force on the other.
func TestTwoBridgesOneStore(t *testing.T) {
	s := runNATS(t, t.TempDir(), 0)
	c := free(t)
	c.NATSURL = s.ClientURL()
	second := c
	c.TenantsFile = tenantsFileOf(t, `acme: {users: {bob: {password: one, role: device}}}`)
	first := start(t, c)
	expect(t, first.logged, "tenants in force")
	other := start(t, second)
	expect(t, other.logged, "tenants in force")
	bob := other.accepted(t, "acme/bob", "one")
	rewrite(t, c.TenantsFile, `acme: {users: {bob: {password: two, role: device}}}`)
	bob.expectClosed(t)
	other.accepted(t, "acme/bob", "two")
}
