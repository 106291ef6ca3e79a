package wire

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Nothing of a connection lives on in the next.
func TestRestart(t *testing.T) {
	s := serve(t, nil)
	port := s.Addr().(*net.TCPAddr).Port
	c := dial(t, optionsFor(s))
	first := up(t, c, 0)
	if first != 1 {
		t.Errorf("the first epoch is %d", first)
	}
	old := subscribe(t, c, first, "a")
	shut(s)
	await(t, c, func(_ uint64, up bool) bool { return !up })
	lost := func(when string) {
		t.Helper()
		_, err := c.Subscribe(first, "a", func(*Msg) {})
		for what, err := range map[string]error{
			"publish": c.Publish(first, "a", "", nil, nil), "flush": c.Flush(ctxOf(t), first), "subscribe": err,
		} {
			if !errors.Is(err, ErrLost) {
				t.Errorf("%s %s: %v", what, when, err)
			}
		}
	}
	lost("while there is no connection")
	serve(t, func(o *natsserver.Options) { o.Port = port })
	second := up(t, c, first)
	if second != 2 {
		t.Errorf("the second epoch is %d", second)
	}
	lost("on the next connection")
	in := subscribe(t, c, second, "a")
	old.Unsubscribe() // touches nothing of the new one
	c.subs.mu.Lock()
	if n := len(c.subs.all); n != 1 {
		t.Errorf("%d subscriptions are kept", n)
	}
	c.subs.mu.Unlock()
	publish(t, c, second, "a", "x")
	in.next(t)
	select {
	case m := <-old.got:
		t.Errorf("the old subscription got %q", m)
	default:
	}
}

// The token that tells of the end comes after the last handler has returned.
func TestWatch(t *testing.T) {
	s := serve(t, nil)
	c := dial(t, optionsFor(s))
	epoch := up(t, c, 0)
	changed, stop := c.Watch()
	defer stop()
	stopped, stopIt := c.Watch()
	stopIt()
	handling, release := make(chan bool), make(chan bool)
	var returned atomic.Bool
	if _, err := c.Subscribe(epoch, "a", func(*Msg) {
		close(handling)
		<-release
		returned.Store(true)
	}); err != nil {
		t.Fatal(err)
	}
	publish(t, c, epoch, "a", "x")
	next(t, handling)
	shut(s)
	// The end is noticed by what writes first.
	ctx := ctxOf(t)
	for c.Publish(epoch, "b", "", nil, make([]byte, 1<<16)) == nil {
		if ctx.Err() != nil {
			t.Fatal("the end is not noticed")
		}
	}
	if _, up := c.State(); up {
		t.Error("up after ErrLost")
	}
	select {
	case <-changed:
		t.Error("a token while a handler runs")
	default:
	}
	close(release)
	next(t, changed)
	if !returned.Load() {
		t.Error("a token before the handler has returned")
	}
	select {
	case <-stopped:
		t.Error("a token after stop")
	default:
	}
}

func TestCloseBeforeAConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := optionsFor(nil)
	o.Servers = []string{"nats://" + l.Addr().String()}
	c := dial(t, o)
	conn, err := l.Accept() // and no INFO
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	_ = conn.Close()
	_ = l.Close()
	log, lines := observe()
	c = dialLogged(t, o, log)
	next(t, lines) // refused
	c.Close()
	c.Close()
	if epoch, up := c.State(); epoch != 0 || up {
		t.Errorf("epoch %d, up %v", epoch, up)
	}
	if _, err := c.Subscribe(0, "a", func(*Msg) {}); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
}

// Close returns after the last handler.
func TestCloseWaitsForTheHandler(t *testing.T) {
	ways(t, func(t *testing.T, o nats.Options) {
		c := dial(t, o)
		epoch := up(t, c, 0)
		handling, release, closed := make(chan bool, 1), make(chan bool), make(chan bool)
		var returned atomic.Bool
		if _, err := c.Subscribe(epoch, "a", func(*Msg) {
			handling <- true
			<-release
			returned.Store(true)
		}); err != nil {
			t.Fatal(err)
		}
		publish(t, c, epoch, "a", "x")
		next(t, handling)
		go func() {
			defer close(closed)
			c.Close()
			if !returned.Load() {
				t.Error("Close has returned before the handler")
			}
		}()
		<-c.ctx.Done() // Close has begun
		select {
		case <-closed:
			t.Error("Close does not wait")
		default:
		}
		close(release)
		next(t, closed)
		if err := c.Publish(epoch, "a", "", nil, nil); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	})
}

// A Flush whose connection ends is told so.
func TestFlushOfALostConnection(t *testing.T) {
	p, o := newPeers(t)
	c := dial(t, o)
	first := p.accept(t)
	epoch := up(t, c, 0)
	flushed := make(chan error, 1)
	go func() { flushed <- c.Flush(ctxOf(t), epoch) }()
	first.expect(t, "PING\r\n")
	_ = first.Close()
	if err := next(t, flushed); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	p.accept(t)
	if n := up(t, c, epoch); n != 2 {
		t.Errorf("epoch %d", n)
	}
}
