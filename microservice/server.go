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
	// Hub is the one that MQTT clients are served from, for subscribers of which nothing is kept; Kept is for the others, with Keep in its Config.
	Hub, Kept *fanout.Hub
	// Ready returns nil while NATS can be used, else what is missing. It does not wait.
	Ready   func() error
	Logger  *zap.Logger
	Metrics *Metrics

	sockets *sockets // set by Handler
}

// Handler returns what is served under /notification2/. It is called once, before everything else.
func (s *Server) Handler() http.Handler {
	s.sockets = &sockets{
		Auth: s.Auth, Log: s.Log, Hub: s.Hub, Logger: s.Logger, Metrics: s.Metrics,
		Verify: s.verify, Claim: s.claim, Durable: s.durable, Unsubscribe: s.forget,
	}
	s.sockets.begin()
	mux := http.NewServeMux()
	for _, slash := range []string{"", "/"} { // a WebSocket client does not follow a redirect
		mux.HandleFunc("GET /notification2/consumer"+slash, s.serveConsumer)
		mux.HandleFunc("GET /notification2/producer"+slash, s.sockets.serveProducer)
	}
	mux.Handle("POST /notification2/token", s.endpoint("token", s.createToken))
	mux.Handle("GET /notification2/token", s.endpoint("verify", s.verifyToken))
	mux.Handle("POST /notification2/unsubscribe", s.endpoint("unsubscribe", s.unsubscribe))
	return mux
}

// Recheck puts a changed tenant in force for its sockets: those of a user who was changed or removed, or of a tenant that is disabled,
// are closed, the others get the new limits.
func (s *Server) Recheck(tenant string) { s.sockets.Recheck(tenant) }

// Shutdown ends all sockets in order: nothing is read any more, and what was published is stored and answered. It returns when
// the last socket has gone, or with the error of ctx; then Close is what remains.
func (s *Server) Shutdown(ctx context.Context) error { return s.sockets.Shutdown(ctx) }

// Close cuts all sockets off and returns when the last one has gone.
func (s *Server) Close() error { return s.sockets.Close() }

// Bounds of one request that is answered at once.
const (
	loginTimeout   = 10 * time.Second // as an MQTT client has for its CONNECT
	requestTimeout = 20 * time.Second // from its header to the answer
	answerTimeout  = 30 * time.Second // until the answer is written
)

// endpoint makes a handler of one that answers at once, or returns why it does not. The name is the metric's label.
func (s *Server) endpoint(name string, handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The listeners have no such bounds, because sockets stay open. Where a deadline cannot be set the connection is gone.
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(requestTimeout))
		_ = c.SetWriteDeadline(time.Now().Add(answerTimeout))
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		if err := handle(w, r.WithContext(ctx)); err != nil {
			s.refuse(w, r, name, err)
			return
		}
		s.Metrics.answered(name, "ok")
	})
}
