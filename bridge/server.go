package bridge

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("bridge: server closed")

// Defaults of a Server.
const (
	DefaultMaxConnections = 100_000
	DefaultMaxPending     = 16_384
	DefaultConnectTimeout = 10 * time.Second
)

// Server serves MQTT on any number of listeners. Its exported fields are set before the first call and not
// changed afterwards; all but the numbers are required.
type Server struct {
	Auth *authn.Authenticator
	// Log returns the message log of a tenant. Its errors are *reason.Error.
	Log     func(ctx context.Context, tenant string) (*jetstream.Log, error)
	Hub     *fanout.Hub
	Logger  *zap.Logger
	Metrics *Metrics

	// MaxConnections bounds the connections of all listeners together; beyond it a new one is closed at once.
	// 0: DefaultMaxConnections.
	MaxConnections int
	// MaxPending bounds the connections that have not sent a CONNECT; beyond it the oldest of them is closed.
	// Each may hold as much as the largest CONNECT, 128 KiB. 0: DefaultMaxPending.
	MaxPending int
	// ConnectTimeout is how long a connection has from being accepted to its CONNACK. 0: DefaultConnectTimeout.
	ConnectTimeout time.Duration

	errorLogs errorLogs

	start sync.Once
	base  context.Context // of everything that connections do; ends with Close
	abort context.CancelFunc

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]*list.Element       // with its place in pending, nil behind CONNECT
	pending   list.List                     // of *conn, the oldest first
	tenants   map[string]map[*conn]struct{} // of those that are authenticated
	gone      chan struct{}                 // closed when closed is set and conns is empty
}

// init makes the zero Server ready.
func (s *Server) init() {
	s.start.Do(func() {
		s.base, s.abort = context.WithCancel(context.Background())
		s.listeners = map[net.Listener]struct{}{}
		s.conns = map[*conn]*list.Element{}
		s.tenants = map[string]map[*conn]struct{}{}
		s.gone = make(chan struct{})
	})
}

func (s *Server) connectTimeout() time.Duration {
	if s.ConnectTimeout > 0 {
		return s.ConnectTimeout
	}
	return DefaultConnectTimeout
}

// Shutdown ends all connections in order: nothing is read any more, what was read is stored and acknowledged,
// clients are told, wills are published. It returns when the last connection has gone, or with the error of ctx;
// then Close is what remains.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop(ending{Error: reason.New(reason.ServerShutdown, "the server is stopping; connect again"), drain: true})
	select {
	case <-s.gone:
		s.abort()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close cuts all connections off and returns when the last one has gone. Wills are not published.
func (s *Server) Close() error {
	s.init()
	s.abort()
	for _, c := range s.stop(ending{Error: reason.New(reason.ServerShutdown, "")}) {
		_ = c.net.Close()
	}
	<-s.gone
	return nil
}

// stop closes the listeners and ends the connections, which it returns.
func (s *Server) stop(e ending) []*conn {
	s.init()
	s.mu.Lock()
	for l := range s.listeners {
		_ = l.Close()
	}
	if !s.closed && len(s.conns) == 0 {
		close(s.gone)
	}
	s.closed = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.end(e)
	}
	return conns
}

// Recheck puts a changed tenant in force for its connections: those of a user who was changed or removed, or of a tenant
// that is disabled, are closed, the others get the new limits. The largest packet and the longest keep alive are the
// ones that CONNACK announced.
func (s *Server) Recheck(name string) {
	limits, ok := s.Auth.Limits(name)
	for _, c := range s.of(name) {
		if err := s.Auth.Check(c.principal); err != nil {
			c.end(ending{Error: refused(err)})
		} else if ok {
			c.relimit(limits)
		}
	}
}

// of returns the connections of a tenant.
func (s *Server) of(name string) []*conn {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*conn, 0, len(s.tenants[name]))
	for c := range s.tenants[name] {
		conns = append(conns, c)
	}
	return conns
}

// admit registers a new connection. Without ok there is no room for it. evicted is the one that goes for it, or nil.
func (s *Server) admit(c *conn) (evicted *conn, ok bool) {
	maxConns, maxPending := s.MaxConnections, s.MaxPending
	if maxConns <= 0 {
		maxConns = DefaultMaxConnections
	}
	if maxPending <= 0 {
		maxPending = DefaultMaxPending
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConns {
		return nil, false
	}
	if s.pending.Len() >= maxPending {
		evicted, _ = s.pending.Remove(s.pending.Front()).(*conn)
		s.conns[evicted] = nil
	}
	s.conns[c] = s.pending.PushBack(c)
	s.Metrics.connections.Set(float64(len(s.conns)))
	return evicted, true
}

// heard notes that a connection has sent its first packet.
func (s *Server) heard(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.conns[c]; e != nil {
		s.pending.Remove(e)
		s.conns[c] = nil
	}
}

// identified notes who a connection is, so that Recheck finds it.
func (s *Server) identified(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.tenants[c.principal.Tenant]
	if of == nil {
		of = map[*conn]struct{}{}
		s.tenants[c.principal.Tenant] = of
	}
	of[c] = struct{}{}
}

// leave removes a connection that has ended.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.conns[c]; e != nil {
		s.pending.Remove(e)
	}
	delete(s.conns, c)
	if of := s.tenants[c.principal.Tenant]; of != nil {
		if delete(of, c); len(of) == 0 {
			delete(s.tenants, c.principal.Tenant)
		}
	}
	s.Metrics.connections.Set(float64(len(s.conns)))
	if s.closed && len(s.conns) == 0 {
		close(s.gone)
	}
}

// relimit puts changed limits in force.
func (c *conn) relimit(l tenant.Limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.subs.filters != nil { // not before the session exists
		c.session.setLimits(l)
	}
}
