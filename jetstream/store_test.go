package jetstream

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/reason"
)

func TestTenantsStore(t *testing.T) {
	srv := newServer(t, nil)
	a, b := newStore(t, srv, nil), newStore(t, srv, nil)
	all, err := b.Tenants(ctxOf(t))
	if err != nil || len(all) != 0 {
		t.Fatalf("%v: %v", all, err)
	}
	seen := make(chan map[string]StoredTenant, 100)
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan error, 1)
	go func() { watched <- b.WatchTenants(ctx, func(all map[string]StoredTenant) { seen <- all }) }()
	one, err := a.PutTenant(ctxOf(t), "one", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.PutTenant(ctxOf(t), "one", []byte("x"), 0); !errors.Is(err, ErrRevision) {
		t.Errorf("second creation: %v", err)
	}
	if _, err := b.PutTenant(ctxOf(t), "one", []byte("x"), one+7); !errors.Is(err, ErrRevision) {
		t.Errorf("update of another revision: %v", err)
	}
	two, err := b.PutTenant(ctxOf(t), "one", []byte("2"), one)
	if err != nil {
		t.Fatal(err)
	}
	awaitTenants(t, seen, map[string]string{"one": "2"})
	if err := a.DeleteTenant(ctxOf(t), "one", one); !errors.Is(err, ErrRevision) {
		t.Errorf("deletion of another revision: %v", err)
	}
	if err := a.DeleteTenant(ctxOf(t), "one", two); err != nil {
		t.Fatal(err)
	}
	awaitTenants(t, seen, map[string]string{})
	if _, err := a.PutTenant(ctxOf(t), "one", []byte("3"), 0); err != nil {
		t.Errorf("creation after deletion: %v", err)
	}
	awaitTenants(t, seen, map[string]string{"one": "3"})
	cancel()
	if err := <-watched; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// awaitTenants fails where a change takes longer than the two seconds of the contract.
func awaitTenants(t *testing.T, seen <-chan map[string]StoredTenant, want map[string]string) {
	t.Helper()
	deadline := time.After(2 * time.Second)
	var last map[string]StoredTenant
	for {
		select {
		case last = <-seen:
		case <-deadline:
			t.Fatalf("last seen %v, want %v", last, want)
		}
		got := make(map[string]string)
		for name, s := range last {
			got[name] = string(s.Value)
		}
		if maps.Equal(got, want) {
			return
		}
	}
}

func portOf(s *server.Server) int { return s.Addr().(*net.TCPAddr).Port }

// A bridge starts without NATS, says so, refuses what needs it, and works as soon as it is there.
func TestStartWithoutNATS(t *testing.T) {
	dir := t.TempDir()
	srv := startServer(t, dir, -1, nil)
	port := portOf(srv)
	srv.Shutdown()
	srv.WaitForShutdown()
	store := newStore(t, srv, nil)
	if err := store.Ready(); err == nil {
		t.Error("ready without NATS")
	}
	_, err := store.Tenant(ctxOf(t), "acme")
	wantReason(t, err, reason.NATSUnavailable)
	startServer(t, dir, port, nil)
	closeInTheEnd(t, store)
	if err := store.lease.wait(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, store)
	awaitShards(t, l)
	mustStore(t, l, "x", "one")
	if err := store.Ready(); err != nil {
		t.Error(err)
	}
}

// awaitShards waits until all connections of a log's data are up. Each comes back by itself.
func awaitShards(t *testing.T, l *Log) {
	t.Helper()
	for i, d := range l.link.shards {
		changed, stop := d.conn.Watch()
		defer stop()
		for {
			if _, up := d.conn.State(); up {
				break
			}
			select {
			case <-changed:
			case <-ctxOf(t).Done():
				t.Fatalf("data %d does not connect", i)
			}
		}
	}
}

// The server is killed and comes back: claims, topics and readers are what they were, and nothing acknowledged is missing.
func TestServerRestart(t *testing.T) {
	dir := t.TempDir()
	srv := startServer(t, dir, -1, nil)
	port := portOf(srv)
	store := newStore(t, srv, nil)
	l := openLog(t, store)
	h := newHolder("id", "u").prompt()
	c := claim(t, l, h)
	s, r := attach(t, l, "x", "")
	mustStore(t, l, "x", "before")
	srv.Shutdown()
	srv.WaitForShutdown()
	startServer(t, dir, port, nil)
	closeInTheEnd(t, store)
	a := make(answers, 1)
	for {
		sendTo(t, l, "x", "after", a)
		if a.next(t).Outcome == publisher.Stored {
			break
		}
	}
	var got []string
	for range 2 {
		d := s.next(t)
		r.Ack(d)
		got = append(got, string(d.Payload))
	}
	if diff := cmp.Diff([]string{"before", "after"}, got); diff != "" {
		t.Error(diff)
	}
	for l.sessions.settle(ctxOf(t)) != nil {
	}
	if e := l.sessions.copy.Get(c.subject); !e.Live || e.Sequence != c.sequence {
		t.Errorf("claim %+v", e)
	}
	select {
	case <-h.revoked:
		t.Error("the claim was revoked")
	default:
	}
	if _, err := l.Topic(ctxOf(t), "y"); err != nil {
		t.Error(err)
	}
}

// Each tenant has its own account, Weir another: the same works as in one.
func TestAccountPerTenant(t *testing.T) {
	accounts := map[string]string{"": "WEIR", "acme": "acme", "other": "other"}
	srv := newServer(t, func(o *server.Options) {
		for _, name := range slices.Sorted(maps.Values(accounts)) {
			account := server.NewAccount(name)
			o.Accounts = append(o.Accounts, account)
			o.Users = append(o.Users, &server.User{Username: name, Password: "p", Account: account})
		}
	})
	for _, name := range accounts {
		account, err := srv.LookupAccount(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := account.EnableJetStream(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	own := func(c *Config) {
		c.Shared = false
		c.leaseTime = time.Second
		c.Options = func(tenant string) (nats.Options, error) {
			o, err := External(srv.ClientURL(), "")(tenant)
			o.User, o.Password = accounts[tenant], "p"
			return o, err
		}
	}
	first, second := newStore(t, srv, own), newStore(t, srv, own)
	a, b := openLog(t, first), openLog(t, second)
	other, err := second.Tenant(ctxOf(t), "other")
	if err != nil {
		t.Fatal(err)
	}
	s, r := attach(t, b, "x", "")
	mustStore(t, a, "x", "one")
	mustStore(t, other, "x", "another tenant's")
	mustStore(t, a, "x", "two")
	for _, want := range []string{"one", "two"} {
		d := s.next(t)
		r.Ack(d)
		if string(d.Payload) != want {
			t.Errorf("got %q, want %q", d.Payload, want)
		}
	}
	old := newHolder("id", "u").prompt()
	claim(t, a, old)
	settleSessions(t, b)
	claim(t, b, newHolder("id", "u").prompt())
	old.awaitRevoked(t, true)
	claim(t, a, newHolder("dead", "u").prompt())
	settleSessions(t, b)
	kill(first)
	awaitClosed(t, second.lease, first.config.Bridge)
	if n := b.sessions.count(); n != 1 {
		t.Errorf("%d claims, want 1", n)
	}
}
