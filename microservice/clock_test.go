package microservice

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// pipes is a listener whose connections are in memory, so that their deadlines go by the clock of a bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// recorder is a role that notes what it takes.
type recorder struct {
	*socket
	taken   chan string
	refused chan reason.Reason
	fills   chan string // texts to send
	panics  bool
}

func (r *recorder) open(context.Context) error         { return nil }
func (r *recorder) ready() bool                        { return true }
func (r *recorder) limit() int                         { return 100 }
func (r *recorder) refuse(_ []byte, err *reason.Error) { r.refused <- err.Reason }
func (r *recorder) drain()                             {}
func (r *recorder) close()                             {}

func (r *recorder) take(text []byte) {
	if r.panics {
		panic("a fault")
	}
	r.taken <- string(text)
}

func (r *recorder) fill() (bool, error) {
	select {
	case text := <-r.fills:
		return true, r.send([]byte(text))
	default:
		return false, nil
	}
}

// bubble runs a test of one socket by a clock that goes on when all goroutines wait. The client has not begun to read.
func bubble(t *testing.T, f func(t *testing.T, r *recorder, client *websocket.Conn)) {
	auth := authn.New()
	auth.SetTenants(map[string]tenant.Tenant{"acme": {Name: "acme", Users: users, Origin: tenant.OriginStore}})
	p, err := auth.Authenticate(t.Context(), "acme/service", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &sockets{
			Auth: auth, Logger: zap.NewNop(), Metrics: NewMetrics(prometheus.NewRegistry()),
			Verify: func(context.Context, string) (Grant, error) { return Grant{Principal: p, Subscription: "a"}, nil },
		}
		s.begin()
		roles := make(chan *recorder, 1)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			s.serve(w, req, consumerKind, func(c *socket) role {
				r := &recorder{socket: c, taken: make(chan string, 100), refused: make(chan reason.Reason, 100), fills: make(chan string, 100)}
				roles <- r
				return r
			})
		})}
		l := &pipes{conns: make(chan net.Conn, 1), done: make(chan struct{})}
		served := make(chan error)
		go func() { served <- server.Serve(l) }()
		d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) {
			client, server := net.Pipe()
			l.conns <- server
			return client, nil
		}}
		ws, resp, err := d.Dial("ws://weir/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		f(t, <-roles, ws)
		_ = ws.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// closed is the close frame that comes next.
func closed(t *testing.T, ws *websocket.Conn) (int, string) {
	t.Helper()
	_, text, err := ws.ReadMessage()
	e, ok := err.(*websocket.CloseError)
	if !ok {
		t.Fatalf("got %q %v", text, err)
	}
	return e.Code, e.Text
}

// TestIdle: a socket on which nothing comes and nothing goes is closed after 5 minutes; frames, pings and what is sent begin the time anew.
func TestIdle(t *testing.T) {
	for name, act := range map[string]func(r *recorder, ws *websocket.Conn) error{
		"frame": func(_ *recorder, ws *websocket.Conn) error {
			return ws.WriteMessage(websocket.TextMessage, []byte("x"))
		},
		"ping": func(_ *recorder, ws *websocket.Conn) error {
			return ws.WriteControl(websocket.PingMessage, nil, time.Time{})
		},
		"pong": func(_ *recorder, ws *websocket.Conn) error {
			return ws.WriteControl(websocket.PongMessage, nil, time.Time{})
		},
		"sent": func(r *recorder, _ *websocket.Conn) error {
			r.fills <- "x"
			r.signal()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *recorder, ws *websocket.Conn) {
				start := time.Now()
				var ended time.Duration
				var code int
				var text string
				done := make(chan struct{})
				go func() {
					defer close(done)
					for {
						_, _, err := ws.ReadMessage()
						if e, ok := err.(*websocket.CloseError); ok {
							code, text, ended = e.Code, e.Text, time.Since(start)
							return
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				}()
				const times = 3
				for range times {
					<-time.After(4 * time.Minute)
					if err := act(r, ws); err != nil {
						t.Fatal(err)
					}
				}
				<-done
				if want := times*4*time.Minute + idleTimeout; code != 1001 || text != string(reason.IdleTimeout) || ended != want {
					t.Errorf("%d %s after %s, want %s", code, text, ended, want)
				}
			})
		})
	}
}

// TestPing: pings are answered, the last of several at least.
func TestPing(t *testing.T) {
	bubble(t, func(t *testing.T, _ *recorder, ws *websocket.Conn) {
		pongs := make(chan string, 10)
		ws.SetPongHandler(func(payload string) error { pongs <- payload; return nil })
		go func() { _, _, _ = ws.ReadMessage() }()
		if err := ws.WriteControl(websocket.PingMessage, []byte("here"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got := <-pongs; got != "here" {
			t.Error(got)
		}
	})
}

// TestResponds: a peer that answers a ping is there, at once; one that does not is not, after 2 seconds.
func TestResponds(t *testing.T) {
	bubble(t, func(t *testing.T, r *recorder, ws *websocket.Conn) {
		start := time.Now()
		if r.responds(t.Context()) || time.Since(start) != probeTimeout {
			t.Errorf("a peer that does not read is there after %s", time.Since(start))
		}
		go func() { _, _, _ = ws.ReadMessage() }()
		start = time.Now()
		if !r.responds(t.Context()) || time.Since(start) != 0 {
			t.Errorf("a peer that answers is not there after %s", time.Since(start))
		}
		r.end(endFor(reason.TakenOver, ""))
		if r.responds(t.Context()) || time.Since(start) != 0 {
			t.Error("a socket that has ended is there")
		}
	})
}

// TestWriteTimeout: a peer that takes nothing for a minute is cut off.
func TestWriteTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, r *recorder, _ *websocket.Conn) {
		start := time.Now()
		r.fills <- "x"
		r.signal()
		<-r.ctx.Done()
		if e := r.whyEnded(); e.Reason != reason.WriteTimeout || time.Since(start) != writeTimeout {
			t.Errorf("%s after %s", e.Reason, time.Since(start))
		}
	})
}

// TestGoodbyeToNobody: a peer that takes nothing does not hold up the end.
func TestGoodbyeToNobody(t *testing.T) {
	bubble(t, func(t *testing.T, r *recorder, _ *websocket.Conn) {
		start := time.Now()
		r.fills <- "x"
		r.signal()
		synctest.Wait() // it is being written
		if err := r.owner.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > flushTimeout+lingerTimeout {
			t.Errorf("it took %s", took)
		}
	})
}

// TestFrames: a frame that is too large is refused, in one piece or in many, and the next one is taken.
func TestFrames(t *testing.T) {
	bubble(t, func(t *testing.T, r *recorder, ws *websocket.Conn) {
		send := func(kind, pieces, size int) {
			w, err := ws.NextWriter(kind)
			if err != nil {
				t.Fatal(err)
			}
			for range pieces {
				if _, err := w.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for _, one := range []struct {
			kind, pieces, size int
			refused            reason.Reason
		}{
			{websocket.TextMessage, 1, 100, ""},
			{websocket.TextMessage, 1, 101, reason.PacketTooLarge},
			{websocket.TextMessage, 1, 0, ""},
			{websocket.TextMessage, 1000, 10_000, reason.PacketTooLarge},
			{websocket.BinaryMessage, 1, 0, reason.ProtocolError},
			{websocket.BinaryMessage, 1000, 10_000, reason.ProtocolError},
			{websocket.TextMessage, 50, 2, ""},
		} {
			send(one.kind, one.pieces, one.size)
			if one.refused != "" {
				if got := <-r.refused; got != one.refused {
					t.Errorf("%+v: %s", one, got)
				}
			} else if got := <-r.taken; len(got) != one.pieces*one.size {
				t.Errorf("%+v: %d bytes", one, len(got))
			}
		}
	})
}

// TestProtocolErrors: what is no WebSocket frame ends the socket.
func TestProtocolErrors(t *testing.T) {
	bubble(t, func(t *testing.T, r *recorder, ws *websocket.Conn) {
		if _, err := ws.NetConn().Write([]byte{0xF1, 0x00}); err != nil {
			t.Fatal(err)
		}
		if code, _ := closed(t, ws); code != websocket.CloseProtocolError {
			t.Errorf("close %d", code)
		}
		<-r.ctx.Done()
	})
}

// TestPanic: a fault ends one socket, and says so.
func TestPanic(t *testing.T) {
	bubble(t, func(t *testing.T, r *recorder, ws *websocket.Conn) {
		r.panics = true
		if err := ws.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if code, text := closed(t, ws); code != 1011 || text != string(reason.InternalError) {
			t.Errorf("close %d %s", code, text)
		}
	})
}

// TestPeerCloses: the close frame of the peer is answered.
func TestPeerCloses(t *testing.T) {
	bubble(t, func(t *testing.T, r *recorder, ws *websocket.Conn) {
		if err := ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if code, text := closed(t, ws); code != 1000 || text != string(reason.ClientDisconnect) {
			t.Errorf("close %d %s", code, text)
		}
		<-r.ctx.Done()
	})
}

// TestReadFrame: of a frame that is too large no more is kept than it may have, and a little.
func TestReadFrame(t *testing.T) {
	const limit = 10_000
	for size, want := range map[int]bool{0: true, 1: true, limit: true, limit + 1: false, 50 << 20: false} {
		text := new([]byte)
		whole, err := readFrame(strings.NewReader(strings.Repeat("x", size)), text, limit)
		if err != nil || whole != want || len(*text) != min(size, limit) || cap(*text) > 2*limit {
			t.Errorf("%d bytes: %v %v, %d of %d", size, whole, err, len(*text), cap(*text))
		}
	}
}
