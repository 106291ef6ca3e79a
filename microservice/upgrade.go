package microservice

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
)

// openTimeout bounds what a socket waits for before it is open.
const openTimeout = 10 * time.Second

// role is what producers and consumers do differently. All but fill and ready are called on the reading goroutine.
type role interface {
	// open does whatever may refuse the upgrade. Its errors are *reason.Error.
	open(ctx context.Context) error
	// ready tells whether another frame may be read now. It is called with the socket's mu held.
	ready() bool
	// limit is how many bytes a frame may have.
	limit() int
	// take takes the text of a frame, until it returns.
	take(text []byte)
	// refuse answers a frame that is not for take, of which start is the beginning.
	refuse(start []byte, err *reason.Error)
	// fill writes messages, and tells whether there were any. It is called on the writing goroutine.
	fill() (wrote bool, err error)
	// drain waits for the answers to what the peer has published.
	drain()
	// close gives back what open took, if it did.
	close()
}

// serveConsumer serves GET /notification2/consumer/.
func (s *sockets) serveConsumer(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, consumerKind, func(c *socket) role { return newConsumer(c) })
}

// serveProducer serves GET /notification2/producer/.
func (s *sockets) serveProducer(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, producerKind, func(c *socket) role { return &producer{socket: c} })
}

// serve makes a request a socket and lives as long as it does.
func (s *sockets) serve(w http.ResponseWriter, r *http.Request, k kind, newRole func(*socket) role) {
	g, err := s.identify(r)
	if err != nil {
		s.refuse(w, k, refused(err))
		return
	}
	limits, ok := s.Auth.Limits(g.Tenant)
	if !ok {
		s.refuse(w, k, reason.New(reason.TenantDisabled, ""))
		return
	}
	c := s.newSocket(k, g, r.RemoteAddr, limits)
	if err := s.admit(c); err != nil {
		c.cancel()
		s.refuse(w, k, refused(err))
		return
	}
	defer s.leave(c)
	c.encoding = encodingOf(r)
	one := newRole(c)
	defer c.guard(one.close)
	err = reason.New(reason.InternalError, "")
	c.guard(func() { err = s.open(r.Context(), c, one) })
	if err != nil {
		s.refuse(w, k, refused(err))
	} else if c.upgrade(w, r) {
		c.guard(func() { c.live(one) })
	}
}

// identify says whom a request is from.
func (s *sockets) identify(r *http.Request) (Grant, error) {
	switch {
	case !websocket.IsWebSocketUpgrade(r):
		return Grant{}, reason.New(reason.ProtocolError, "not a WebSocket handshake")
	case !sameOrigin(r):
		return Grant{}, reason.New(reason.OriginForbidden, "pages of other hosts may not open sockets here")
	}
	return s.Verify(r.Context(), r.URL.Query().Get("token"))
}

// sameOrigin tells whether a request comes from no page, or from one of this host.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Values("Origin")
	if len(origin) == 0 {
		return true
	}
	u, err := url.Parse(origin[0])
	return len(origin) == 1 && err == nil && strings.EqualFold(u.Host, r.Host)
}

// encodingOf is what a client speaks.
func encodingOf(r *http.Request) frame.Encoding {
	for _, p := range websocket.Subprotocols(r) {
		if p == frame.Protocol {
			return frame.JSON{}
		}
	}
	return frame.Avro{}
}

// open does what comes before the upgrade. The socket is registered, so that a change of the user finds it from now on.
func (s *sockets) open(ctx context.Context, c *socket, r role) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if err := s.Auth.Check(c.grant.Principal); err != nil {
		return err
	}
	if err := checkSubscription(*c.limits.Load(), c.grant.Tenant, c.grant.Subscription); err != nil {
		return err
	}
	err := r.open(ctx)
	if e := c.whyEnded(); e != nil {
		return e.Error
	}
	return err
}

// refuse answers a request that does not become a socket.
func (s *sockets) refuse(w http.ResponseWriter, k kind, err *reason.Error) {
	s.Metrics.upgrades.WithLabelValues(string(err.Reason)).Inc()
	s.Logger.Info("socket refused", zap.String("kind", string(k)), zap.String("reason", string(err.Reason)),
		zap.String("detail", err.Message), zap.NamedError("cause", err.Err))
	writeRefusal(w, err)
}

// upgrade makes the request a WebSocket, or answers why it cannot be one.
func (c *socket) upgrade(w http.ResponseWriter, r *http.Request) bool {
	l := &line{}
	up := websocket.Upgrader{
		HandshakeTimeout: openTimeout,
		Subprotocols:     []string{frame.Protocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // it was checked
		Error: func(w http.ResponseWriter, _ *http.Request, _ int, err error) {
			writeRefusal(w, reason.New(reason.ProtocolError, err.Error()))
		},
	}
	ws, err := up.Upgrade(&hijacker{ResponseWriter: w, line: l}, r, nil)
	if err != nil {
		why := reason.ConnectionLost
		if _, ok := errors.AsType[websocket.HandshakeError](err); ok {
			why = reason.ProtocolError
		}
		c.owner.Metrics.upgrades.WithLabelValues(string(why)).Inc()
		return false
	}
	l.collecting = true
	c.ws, c.line = ws, l
	c.owner.Metrics.upgrades.WithLabelValues("accepted").Inc()
	return true
}

// live reads and writes until the socket ends.
func (c *socket) live(r role) {
	open := c.owner.Metrics.open.WithLabelValues(string(c.kind), c.encoding.Name())
	open.Inc()
	defer open.Dec()
	defer func() { _ = c.line.Close() }() // as a rule it is closed already
	c.owner.Logger.Info("socket open", c.fields()...)
	c.run()
	var writer sync.WaitGroup
	writer.Go(func() { c.guard(func() { c.write(r.fill) }) })
	c.guard(func() { c.read(r) })
	c.guard(r.drain)
	c.guard(r.close)
	c.finish(&writer)
}
