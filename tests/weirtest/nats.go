package weirtest

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// NATS is a nats-server process with JetStream, one account, no passwords.
type NATS struct {
	t       testing.TB
	p       *process
	address string
}

// StartNATS runs a nats-server that ends with the test, and waits until JetStream answers. Arguments are further flags.
func StartNATS(t testing.TB, args ...string) *NATS {
	t.Helper()
	address := freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-a", host, "-p", port, "-js", "-sd", filepath.Join(t.TempDir(), "store")}, args...)
	n := &NATS{t: t, address: address, p: newProcess(t, "nats-server", natsBinary.link(t), args, nil)}
	n.p.start()
	n.Ready()
	return n
}

// URL is where clients connect.
func (n *NATS) URL() string { return "nats://" + n.address }

// Ready waits until JetStream answers.
func (n *NATS) Ready() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if !poll(ctx, func() bool { return n.answers(ctx) || !n.p.running() }) || !n.p.running() {
		n.t.Fatalf("nats-server is not ready: %v", n.p.cmd.ProcessState)
	}
}

func (n *NATS) answers(ctx context.Context) bool {
	conn, err := nats.Connect(n.URL(), nats.Timeout(time.Second), nats.NoReconnect())
	if err != nil {
		return false
	}
	defer conn.Close()
	js, err := natsjs.New(conn, natsjs.WithDefaultTimeout(time.Second))
	if err != nil {
		return false
	}
	_, err = js.AccountInfo(ctx)
	return err == nil
}

// Kill ends the server with SIGKILL.
func (n *NATS) Kill() { n.p.kill() }

// Restart starts the server again, after Kill, on the same port and store, and waits until JetStream answers.
func (n *NATS) Restart() {
	n.t.Helper()
	if n.p.running() {
		n.t.Fatal("nats-server is still running")
	}
	n.p.start()
	n.Ready()
}

// Connect returns a connection of a native client that is closed with the test. Against an embedded server it needs
// nats.UserInfo("<tenant>/<user>", password).
func Connect(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// JetStream is Connect with nats.go's JetStream over it.
func JetStream(t testing.TB, url string, opts ...nats.Option) natsjs.JetStream {
	t.Helper()
	js, err := natsjs.New(Connect(t, url, opts...), natsjs.WithDefaultTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return js
}
