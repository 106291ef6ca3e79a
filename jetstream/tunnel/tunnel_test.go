package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func connect(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	closed := make(chan struct{})
	nc, err := nats.Connect(s.ClientURL(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		<-closed
	})
	return nc
}

// pair is a stream, both ends of it, and what ends the listener's.
func pair(t *testing.T) (here, there net.Conn, l *Listener, ours *nats.Conn) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server does not start")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	ours = connect(t, s)
	if l, err = Listen(connect(t, s), "x.", "a"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Shutdown)
	if err := l.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	spawn := func(f func()) bool {
		work.Go(f)
		return true
	}
	if _, err = Dial(ctx, ours, "x.", "b", spawn); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("nobody listens: %v", err)
	}
	if here, err = Dial(ctx, ours, "x.", "a", spawn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	return here, there, l, ours
}

func TestBothWays(t *testing.T) {
	here, there, _, _ := pair(t)
	data := make([]byte, 5<<20) // many windows
	_, _ = rand.Read(data)
	var work sync.WaitGroup
	for _, c := range []struct{ from, to net.Conn }{{here, there}, {there, here}} {
		work.Go(func() {
			if _, err := c.from.Write(data); err != nil {
				t.Error(err)
			}
		})
		work.Go(func() {
			got := make([]byte, len(data))
			if _, err := io.ReadFull(c.to, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("what arrived is not what was sent: %v", err)
			}
		})
	}
	work.Wait()
}

// A receiver that does not read stops the sender after a window.
func TestSlowReceiver(t *testing.T) {
	here, _, _, _ := pair(t)
	if err := here.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := here.Write(make([]byte, 10*window))
	if err == nil || n > window+chunk {
		t.Errorf("wrote %d bytes: %v", n, err)
	}
}

// Whatever ends one end ends the other.
func TestEnds(t *testing.T) {
	for name, stop := range map[string]func(here, there net.Conn, l *Listener, nc *nats.Conn){
		"this end":   func(here, _ net.Conn, _ *Listener, _ *nats.Conn) { here.Close() },
		"that end":   func(_, there net.Conn, _ *Listener, _ *nats.Conn) { there.Close() },
		"listener":   func(_, _ net.Conn, l *Listener, _ *nats.Conn) { l.Shutdown() },
		"connection": func(_, _ net.Conn, _ *Listener, nc *nats.Conn) { nc.Close() },
		"nonsense": func(here, _ net.Conn, l *Listener, nc *nats.Conn) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for e := range l.ends {
				if err := nc.Publish(e.sub.Subject, []byte("d\x00\x00\x00\x00\x00\x00\x00\x07gap")); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			here, there, l, nc := pair(t)
			stop(here, there, l, nc)
			for _, c := range []net.Conn{here, there} {
				if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Fatal(err)
				}
				if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("read %d: %v", n, err)
				}
			}
		})
	}
}

// What was written before the end arrives, although the receiver was not waiting for it.
func TestLastBytes(t *testing.T) {
	here, there, _, _ := pair(t)
	data := make([]byte, window/2)
	_, _ = rand.Read(data)
	if _, err := there.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(here)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes have arrived: %v", len(got), len(data), err)
	}
}
