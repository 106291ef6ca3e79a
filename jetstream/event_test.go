package jetstream

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// gate is a dialer whose connections can be made to take nothing.
type gate struct {
	mu   sync.Mutex
	cond *sync.Cond
	shut bool
}

func newGate() *gate {
	g := &gate{}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	g.cond.Broadcast()
}

func (g *gate) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return gated{c, g}, err
}

// through are the options of connections through a gate.
func through(srv *server.Server, g *gate) func(string) (nats.Options, error) {
	return func(tenant string) (nats.Options, error) {
		o, err := External(srv.ClientURL(), "")(tenant)
		o.CustomDialer = g
		return o, err
	}
}

type gated struct {
	net.Conn
	gate *gate
}

func (c gated) Write(p []byte) (int, error) {
	c.gate.mu.Lock()
	for c.gate.shut {
		c.gate.cond.Wait()
	}
	c.gate.mu.Unlock()
	return c.Conn.Write(p)
}

// Events are announced without waiting, even where the connection takes nothing; what is too much is dropped and counted.
func TestEventNeverBlocks(t *testing.T) {
	srv := newServer(t, nil)
	g := newGate()
	s := newStore(t, srv, func(c *Config) {
		c.Options = through(srv, g)
	})
	l := openLog(t, s)
	g.set(true)
	defer g.set(false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 4 * maxEvents {
			l.Event("connected", "a", map[string]string{"reason": "0123456789012345678901234567890123456789"})
		}
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("announcing an event waits for the connection")
	}
	if n := testutil.ToFloat64(s.metrics.eventsDropped); n == 0 {
		t.Error("nothing was dropped, so the connection was not shut")
	}
}
