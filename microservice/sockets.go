package microservice

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/reason"
)

// MaxSockets is how many sockets one tenant may have on one bridge. Connections of MQTT clients do not count.
const MaxSockets = 1000

// sockets are the WebSocket connections of one bridge. The exported fields are set before the first call and not changed afterwards; all are required.
type sockets struct {
	Auth *authn.Authenticator
	// Log returns the message log of a tenant. Its errors are *reason.Error.
	Log func(ctx context.Context, tenant string) (*jetstream.Log, error)
	// Hub has the subscribers that are not kept.
	Hub     *fanout.Hub
	Logger  *zap.Logger
	Metrics *Metrics

	// Verify returns what a token grants. Its errors are *reason.Error; the status of the answer goes by the reason.
	Verify func(ctx context.Context, token string) (Grant, error)
	// Claim makes this bridge the only one with connections of a subscriber. The error is subscriber_in_use where another bridge has them. revoked is
	// called, once at most, when this bridge has lost the subscriber, and returns when nothing of it is open any more.
	Claim func(ctx context.Context, g Grant, revoked func()) (release func(), err error)
	// Durable returns where the messages of a subscriber come from that is kept without a connection. Its errors are *reason.Error.
	Durable func(ctx context.Context, g Grant) (*View, error)
	// Unsubscribe removes what is kept for a subscriber, and succeeds where nothing is. No connection uses it meanwhile.
	Unsubscribe func(ctx context.Context, g Grant) error

	base  context.Context // of everything that sockets do; ends with Close
	abort context.CancelFunc

	mu          sync.Mutex
	closed      bool
	all         map[*socket]struct{}
	tenants     map[string]map[*socket]struct{}
	subscribers map[subscriberKey]*subscriber
	gone        chan struct{} // closed when closed is set and all is empty
}

// begin makes it ready for the first call.
func (s *sockets) begin() {
	s.base, s.abort = context.WithCancel(context.Background())
	s.all = map[*socket]struct{}{}
	s.tenants = map[string]map[*socket]struct{}{}
	s.subscribers = map[subscriberKey]*subscriber{}
	s.gone = make(chan struct{})
}

// admit registers a socket that is about to be.
func (s *sockets) admit(c *socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.tenants[c.grant.Tenant]
	switch {
	case s.closed:
		return reason.New(reason.ServerShutdown, "the server is stopping; connect again")
	case len(of) >= MaxSockets:
		return reason.New(reason.SocketLimit, "the tenant has as many sockets here as it may")
	}
	if of == nil {
		of = map[*socket]struct{}{}
		s.tenants[c.grant.Tenant] = of
	}
	of[c], s.all[c] = struct{}{}, struct{}{}
	return nil
}

// leave removes a socket that has ended.
func (s *sockets) leave(c *socket) {
	c.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
	of := s.tenants[c.grant.Tenant]
	if delete(of, c); len(of) == 0 {
		delete(s.tenants, c.grant.Tenant)
	}
	if s.closed && len(s.all) == 0 {
		close(s.gone)
	}
}

// Recheck is as of Server.
func (s *sockets) Recheck(name string) {
	limits, ok := s.Auth.Limits(name)
	s.mu.Lock()
	of := make([]*socket, 0, len(s.tenants[name]))
	for c := range s.tenants[name] {
		of = append(of, c)
	}
	s.mu.Unlock()
	for _, c := range of {
		if err := s.Auth.Check(c.grant.Principal); err != nil {
			c.end(ending{Error: refused(err)})
		} else if ok {
			c.limits.Store(&limits)
			c.signal()
		}
	}
}

// Shutdown is as of Server.
func (s *sockets) Shutdown(ctx context.Context) error {
	e := endFor(reason.ServerShutdown, "the server is stopping; connect again")
	e.drain = true
	s.stop(e)
	select {
	case <-s.gone:
		s.abort()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close is as of Server.
func (s *sockets) Close() error {
	s.abort()
	for _, c := range s.stop(endFor(reason.ServerShutdown, "")) {
		c.cut()
	}
	<-s.gone
	return nil
}

// stop ends the sockets, which it returns. No more are taken.
func (s *sockets) stop(e ending) []*socket {
	s.mu.Lock()
	if !s.closed && len(s.all) == 0 {
		close(s.gone)
	}
	s.closed = true
	all := make([]*socket, 0, len(s.all))
	for c := range s.all {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.end(e)
	}
	return all
}
