package load

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startNATS starts a real nats-server with the users of the load.
func startNATS(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{{Username: user, Password: password}, {Username: service, Password: password}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not serve")
	}
	return s
}

func TestNativeRun(t *testing.T) {
	for _, kind := range []Kind{NATS, Like} {
		for name, backlog := range map[string]int64{"flood": 0, "backlog": 40 * Batch} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				s := startNATS(t)
				published := make(chan struct{})
				watcher, err := dialNATS(s.Addr().String(), user)
				if err != nil {
					t.Fatal(err)
				}
				defer watcher.close()
				sub, err := watcher.SubscribeSync(subject("bench/topic/00"))
				if err != nil {
					t.Fatal(err)
				}
				if err := watcher.Flush(); err != nil {
					t.Fatal(err)
				}
				go func() {
					defer close(published)
					if m, err := sub.NextMsg(10 * time.Second); err != nil {
						t.Error(err)
					} else if from := m.Header.Get("Mqtt-User"); (from != "") != (kind == Like) {
						t.Errorf("published by %q", from)
					}
				}()
				run, err := Start(t.Context(), Config{NATSAddr: s.Addr().String(), From: kind, To: kind, Publishers: 1, Topics: 1, Backlog: backlog})
				if err != nil {
					t.Fatal(err)
				}
				<-published
				if backlog > 0 {
					run.WaitDrained()
				}
				o, err := run.Stop()
				if err != nil {
					t.Fatal(err)
				}
				if o.Sent == 0 || backlog > 0 && o.Sent != backlog || o.Missing+o.Late+o.Duplicates != 0 {
					t.Errorf("got %+v", o)
				}
			})
		}
	}
}

func TestNativeRunEndsWithTheServer(t *testing.T) {
	s := startNATS(t)
	run, err := Start(t.Context(), Config{NATSAddr: s.Addr().String(), From: NATS, To: NATS, Publishers: 1, Topics: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	<-run.Failed().Done()
	if _, err := run.Stop(); err == nil || errors.Is(err, t.Context().Err()) {
		t.Errorf("got %v", err)
	}
}
