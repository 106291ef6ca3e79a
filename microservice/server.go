package microservice

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream"
)

// Server serves microservices. Its fields are set before Handler is called and not changed afterwards; all are required.
type Server struct {
	Auth   *authn.Authenticator
	Tokens *authn.Tokens
	// Log returns the message log of a tenant. Its errors are *reason.Error.
	Log func(ctx context.Context, tenant string) (*jetstream.Log, error)
	// Hub is the one that MQTT clients are served from, for subscribers of which nothing is kept.
	Hub *fanout.Hub
	// Ready returns nil while NATS can be used, else what is missing. It does not wait.
	Ready func() error
	// Unsubscribe removes a subscriber with all that is kept for it; that there is none is no error. Its errors are
	// *reason.Error.
	Unsubscribe func(ctx context.Context, tenant, subscriber, subscription string) error
	Logger      *zap.Logger
	Metrics     *Metrics
}

// Handler returns what is served under /notification2/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /notification2/token", s.endpoint("token", s.createToken))
	mux.Handle("GET /notification2/token", s.endpoint("verify", s.verifyToken))
	mux.Handle("POST /notification2/unsubscribe", s.endpoint("unsubscribe", s.unsubscribe))
	return mux
}

// Bounds of one request that is answered at once.
const (
	loginTimeout   = 10 * time.Second // as an MQTT client has for its CONNECT
	requestTimeout = 20 * time.Second // from its header to the answer
	writeTimeout   = 30 * time.Second // until the answer is written
)

// endpoint makes a handler of one that answers at once, or returns why it does not. The name is the metric's label.
func (s *Server) endpoint(name string, handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The listeners have no such bounds, because sockets stay open. Where a deadline cannot be set the connection is gone.
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(requestTimeout))
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		if err := handle(w, r.WithContext(ctx)); err != nil {
			s.refuse(w, r, name, err)
			return
		}
		s.Metrics.answered(name, "ok")
	})
}
