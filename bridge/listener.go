package bridge

import (
	"errors"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/reason"
)

// The wait after a failed accept, doubled each time.
const (
	minAcceptWait = 5 * time.Millisecond
	maxAcceptWait = time.Second
)

// Serve accepts connections until the listener fails for good or the server is closed, and then closes the listener. For
// TLS the listener is one of crypto/tls; the handshake counts towards the connect timeout.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	if !s.listen(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.unlisten(l)
	var wait time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case s.stopped():
			if err == nil {
				_ = nc.Close()
			}
			return ErrServerClosed
		case err == nil:
			wait = 0
			s.open(nc)
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of file descriptors, as a rule: it passes when connections end.
			wait = min(max(2*wait, minAcceptWait), maxAcceptWait)
			s.Logger.Warn("accept failed", zap.Error(err), zap.Duration("retry", wait))
			s.pause(wait)
		}
	}
}

// open starts a connection.
func (s *Server) open(nc net.Conn) {
	c := newConn(s, nc)
	evicted, ok := s.admit(c)
	if evicted != nil {
		evicted.end(ending{Error: reason.New(reason.ConnectionLimit, "too many connections have sent no CONNECT"), silent: true})
	}
	if !ok {
		s.Metrics.refused(reason.ConnectionLimit)
		c.cancel()
		_ = nc.Close()
		return
	}
	go func() {
		defer s.leave(c)
		c.serve()
	}()
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

// unlisten closes the listener, which stop may have done already.
func (s *Server) unlisten(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	_ = l.Close()
}

func (s *Server) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// pause waits, or until the server is closed.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.base.Done():
	}
}
