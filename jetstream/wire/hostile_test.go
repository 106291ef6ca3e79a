package wire

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stalling is a dialer whose connections read nothing any more once it is stalled.
type stalling struct{ stalled atomic.Bool }

type stallingConn struct {
	net.Conn
	dialer *stalling
	closed chan struct{}
	once   atomic.Bool
}

func (s *stalling) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &stallingConn{Conn: conn, dialer: s, closed: make(chan struct{})}, nil
}

func (c *stallingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.dialer.stalled.Load() {
		<-c.closed
		return 0, io.ErrClosedPipe
	}
	return n, err
}

func (c *stallingConn) Close() error {
	if c.once.CompareAndSwap(false, true) {
		close(c.closed)
	}
	return c.Conn.Close()
}

// A connection over which nothing comes any more is ended, and made again.
func TestKeepAlive(t *testing.T) {
	o := optionsFor(serve(t, nil))
	o.PingInterval, o.MaxPingsOut = 100*time.Millisecond, 2
	var dialer stalling
	o.CustomDialer = &dialer
	log, lines := observe()
	c := dialLogged(t, o, log)
	epoch := up(t, c, 0)
	dialer.stalled.Store(true)
	if line := next(t, lines); !strings.Contains(line, errStale.Error()) {
		t.Error(line)
	}
	dialer.stalled.Store(false)
	up(t, c, epoch)
}

// A server that answers keeps its connection.
func TestAnsweredPings(t *testing.T) {
	p, o := newPeers(t)
	o.PingInterval, o.MaxPingsOut = 5*time.Millisecond, 1000
	c := dial(t, o)
	server := p.accept(t)
	up(t, c, 0)
	for range 20 {
		server.expect(t, "PING\r\n")
		server.say(t, "PONG\r\n")
	}
	server.say(t, "PONG\r\n+OK\r\nPING\r\n") // unasked
	server.expect(t, "PONG\r\n")
	if epoch, up := c.State(); epoch != 1 || !up {
		t.Errorf("epoch %d, up %v", epoch, up)
	}
}

// What waits to be written is bounded: a server that takes nothing loses its connection.
func TestStalledServer(t *testing.T) {
	p, o := newPeers(t)
	log, lines := observe()
	c := dialLogged(t, o, log)
	p.accept(t) // and reads nothing
	epoch := up(t, c, 0)
	c.mu.Lock()
	c.maxOut = 1 << 20
	c.mu.Unlock()
	var err error
	n := 0
	for payload := make([]byte, 1000); err == nil; n++ {
		err = c.Publish(epoch, "a", "", nil, payload)
	}
	if !errors.Is(err, ErrLost) || n > 2200 {
		t.Errorf("%v after %d messages", err, n)
	}
	if line := next(t, lines); !strings.Contains(line, errStalled.Error()) {
		t.Error(line)
	}
	p.accept(t)
	epoch = up(t, c, epoch)
	for range 200_000 { // nor does anything else gather without end
		if _, err = c.Subscribe(epoch, "a", func(*Msg) {}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrLost) {
		t.Errorf("subscriptions: %v", err)
	}
}

// Neither a server that closes at once nor one that refuses is asked again without a pause.
func TestPace(t *testing.T) {
	for name, treat := range map[string]func(p peer){
		"closed at once": func(p peer) { _ = p.Close() },
		"closed after the login": func(p peer) {
			p.say(t, peerInfo)
			p.expect(t, "PING\r\nPING\r\n")
			p.say(t, "PONG\r\nPONG\r\n")
			_ = p.Close()
		},
		"refused": func(p peer) {
			p.say(t, peerInfo)
			p.expect(t, "PING\r\nPING\r\n")
			p.say(t, "-ERR 'Authorization Violation'\r\n")
			_ = p.Close()
		},
		"no NATS": func(p peer) {
			p.say(t, "HTTP/1.1 400 Bad Request\r\n")
			_ = p.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, o := newPeers(t)
			o.ReconnectWait = 30 * time.Millisecond
			begun := time.Now()
			dialLogged(t, o, zapNop)
			for range 4 {
				treat(next(t, p))
			}
			if took := time.Since(begun); took < 3*o.ReconnectWait {
				t.Errorf("four times in %v", took)
			}
		})
	}
}

// A server that says nothing is left after the timeout, and logged once.
func TestSilentServer(t *testing.T) {
	p, o := newPeers(t)
	o.Timeout, o.ReconnectWait = 20*time.Millisecond, time.Millisecond
	log, lines := observe()
	dialLogged(t, o, log)
	for range 3 {
		defer next(t, p).Close()
	}
	if line := next(t, lines); !strings.Contains(line, errTimeout.Error()) {
		t.Error(line)
	}
	select {
	case line := <-lines:
		t.Errorf("and again %s", line)
	default:
	}
}

// What ends a connection is logged, with what the server said.
func TestEndOfAConnection(t *testing.T) {
	for _, c := range []struct{ say, want string }{
		{"-ERR 'Stale Connection'\r\n", "Stale Connection"},
		{"NONSENSE\r\n", "NONSENSE"},
		{"\r\n", errProtocol.Error()},
		{"PINGS\r\n", "PINGS"},
		{"INFO {\r\n", errProtocol.Error()},
		{"MSG a 1 1\r\nxyz", errProtocol.Error()},
		{"MSG a 1\r\n", errProtocol.Error()},
		{"MSG a 1 99999999999999999999\r\n", errProtocol.Error()},
		{"HMSG a 1 5 4\r\n", errProtocol.Error()},
		{"MSGS a 1 0\r\n\r\n", errProtocol.Error()},
	} {
		p, o := newPeers(t)
		log, lines := observe()
		conn := dialLogged(t, o, log)
		server := p.accept(t)
		server.say(t, c.say)
		if line := next(t, lines); !strings.Contains(line, c.want) {
			t.Errorf("%q: %s", c.say, line)
		}
		p.accept(t)
		up(t, conn, 1)
		conn.Close()
	}
}

// A server may tell of another max_payload, and of others of its cluster, at any time.
func TestLaterInfo(t *testing.T) {
	p, o := newPeers(t)
	o.NoRandomize = true
	c := dial(t, o)
	server := p.accept(t)
	epoch := up(t, c, 0)
	server.say(t, `INFO {"headers":true,"max_payload":10,"ldm":true,"connect_urls":["second:4222","[::1]:4223","nonsense"]}`+"\r\nPING\r\n")
	server.expect(t, "PONG\r\n")
	if err := c.Publish(epoch, "a", "", nil, make([]byte, 11)); !errors.Is(err, ErrMaxPayload) {
		t.Error(err)
	}
	_ = server.Close()
	for _, want := range []string{"second:4222", "[::1]:4223", "first:4222"} {
		next := next(t, p)
		if next.address != want {
			t.Errorf("dials %s instead of %s", next.address, want)
		}
		_ = next.Close()
	}
}

func TestLoginOddities(t *testing.T) {
	p, o := newPeers(t)
	o.Name = "the name"
	c := dial(t, o)
	first := next(t, p)
	first.say(t, `INFO {"max_payload":100}`+"\r\n") // no headers
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("logs in to a server without headers: %v", err)
	}
	second := next(t, p)
	defer second.Close()
	second.say(t, `INFO {"headers":true}`+"\r\n")
	// A server that speaks before it has taken everything does not stop the login.
	second.expect(t, "CONNECT")
	second.say(t, "+OK\r\nPING\r\n")
	if hello := second.expect(t, "PING\r\nPING\r\n"); !strings.Contains(hello, `"name":"the name"`) || !strings.Contains(hello, `"no_responders":true`) {
		t.Error(hello)
	}
	second.say(t, "+OK\r\nPONG\r\nINFO {\"headers\":true,\"max_payload\":-1}\r\nPONG\r\nMSG a 1 1\r\nx\r\nPING\r\n")
	second.expect(t, "PONG\r\n")
	epoch := up(t, c, 0)
	if err := c.Publish(epoch, "a", "", nil, make([]byte, 1<<20)); err != nil {
		t.Errorf("no limit: %v", err)
	}
}
