package load

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// publishedHook tells of every message the server has taken.
type publishedHook struct {
	mqtt.HookBase
	published chan struct{} // has room for one
}

func (h *publishedHook) Provides(b byte) bool { return b == mqtt.OnPublished }

func (h *publishedHook) OnPublished(*mqtt.Client, packets.Packet) {
	select {
	case h.published <- struct{}{}:
	default:
	}
}

// startServer starts a real server. It tells where it is, what it takes, and how to close it early.
func startServer(t *testing.T) (addr string, published <-chan struct{}, stop func()) {
	t.Helper()
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	hook := &publishedHook{published: make(chan struct{}, 1)}
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	for _, err := range []error{
		server.AddHook(new(auth.AllowHook), nil), server.AddHook(hook, nil), server.AddListener(listener), server.Serve(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stop = sync.OnceFunc(func() { server.Close() })
	t.Cleanup(stop)
	return listener.Address(), hook.published, stop
}

func TestRun(t *testing.T) {
	for name, cfg := range map[string]Config{
		"flood":  {Publishers: 3, Topics: 1},
		"topics": {Publishers: 4, Topics: 2},
		"paced":  {Publishers: 1, Topics: 1, Interval: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			addr, published, _ := startServer(t)
			cfg.MQTTAddr = addr
			if err := Probe(t.Context(), addr); err != nil {
				t.Fatal(err)
			}
			run, err := Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range 10 {
				select {
				case <-published:
				case <-run.Failed().Done():
					t.Error("the run ended early")
				}
			}
			outcome, err := run.Stop()
			if err != nil {
				t.Fatal(err)
			}
			if outcome.Sent < 10 || outcome.Delivered != outcome.Sent {
				t.Errorf("%d delivered of %d", outcome.Delivered, outcome.Sent)
			}
			if outcome.Missing+outcome.Late+outcome.Duplicates != 0 {
				t.Errorf("got %d missing, %d late, %d duplicate", outcome.Missing, outcome.Late, outcome.Duplicates)
			}
			if want := outcome.Delivered; cfg.Interval > 0 && int64(len(outcome.Samples)) != want {
				t.Errorf("%d samples of %d messages", len(outcome.Samples), want)
			}
			for _, s := range outcome.Samples {
				if s.Latency <= 0 {
					t.Errorf("a latency of %v", s.Latency)
				}
			}
		})
	}
}

func TestRunEndsWithTheServer(t *testing.T) {
	addr, published, stop := startServer(t)
	run, err := Start(t.Context(), Config{MQTTAddr: addr, Publishers: 1, Topics: 1})
	if err != nil {
		t.Fatal(err)
	}
	<-published
	stop()
	<-run.Failed().Done()
	if _, err := run.Stop(); err == nil {
		t.Error("no error")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	addr, published, _ := startServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	run, err := Start(ctx, Config{MQTTAddr: addr, Publishers: 1, Topics: 1})
	if err != nil {
		t.Fatal(err)
	}
	<-published
	cancel()
	if _, err := run.Stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
