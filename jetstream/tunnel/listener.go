package tunnel

import (
	"net"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// maxWaiting is how many streams may wait for Accept. More are not answered.
const maxWaiting = 64

// Listener accepts the streams that others open to a name.
type Listener struct {
	nc     *nats.Conn
	prefix string
	name   string
	sub    *nats.Subscription
	conns  chan net.Conn // never closed
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	ends map[*end]struct{} // nil once it is closed
	work sync.WaitGroup
}

// Listen accepts streams to name; all subjects begin with prefix, which ends with a dot. Close ends those that are open too.
func Listen(nc *nats.Conn, prefix, name string) (*Listener, error) {
	l := &Listener{
		nc: nc, prefix: prefix, name: name, conns: make(chan net.Conn, maxWaiting), closed: make(chan struct{}), ends: make(map[*end]struct{}),
	}
	var err error
	l.sub, err = nc.Subscribe(prefix+name, l.open)
	return l, err
}

// open answers one request.
func (l *Listener) open(m *nats.Msg) {
	to := string(m.Data)
	if !strings.HasPrefix(to, l.prefix) || strings.ContainsAny(to, " *>") {
		return
	}
	own := l.prefix + nuid.Next()
	e, user, err := start(l.nc, own)
	if err != nil {
		return
	}
	e.to = to
	select {
	case l.conns <- user:
	default:
		e.abandon()
		return
	}
	if !l.run(e) {
		e.abandon()
		return
	}
	if m.Respond([]byte(own)) != nil {
		e.stop()
	}
}

func (l *Listener) run(e *end) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends == nil {
		return false
	}
	l.ends[e] = struct{}{}
	l.work.Go(func() {
		e.run()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.ends, e)
	})
	return true
}

// Accept returns the next stream.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close stops accepting. The streams that are open go on.
func (l *Listener) Close() error {
	l.once.Do(func() {
		_ = l.sub.Unsubscribe() // fails only where the connection is closed
		close(l.closed)
	})
	return nil
}

// Shutdown ends the streams and returns when nothing of them is left.
func (l *Listener) Shutdown() {
	_ = l.Close()
	l.mu.Lock()
	ends := l.ends
	l.ends = nil
	for e := range ends {
		e.stop()
	}
	l.mu.Unlock()
	l.work.Wait()
	for {
		select {
		case c := <-l.conns:
			_ = c.Close()
		default:
			return
		}
	}
}

// Addr is the name.
func (l *Listener) Addr() net.Addr { return address(l.name) }

type address string

func (address) Network() string  { return "tunnel" }
func (a address) String() string { return string(a) }
