package microservice

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"github.com/weirmq/weir/reason"
)

// passedOn is the header of a request that another bridge has passed on. It is not passed on again.
const passedOn = "Weir-Passed-On"

// serveConsumer serves a consumer here, unless another bridge serves its subscriber: then the connection is passed on to that one, which knows
// who is connected, what waits for an acknowledgement, and who shares it.
func (s *Server) serveConsumer(w http.ResponseWriter, r *http.Request) {
	if there := s.elsewhere(r); there != nil {
		s.pass(w, r, there)
		return
	}
	s.sockets.serveConsumer(w, r)
}

// elsewhere returns a connection to the bridge that serves the request's subscriber, nil where that is this one, or where the request is to be refused.
func (s *Server) elsewhere(r *http.Request) net.Conn {
	if r.Header.Get(passedOn) != "" {
		return nil
	}
	g, err := s.sockets.identify(r)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), openTimeout)
	defer cancel()
	log, err := s.Log(ctx, g.Tenant)
	if err != nil {
		return nil
	}
	there, _, err := log.DialSubscriber(ctx, g.stored())
	if err != nil {
		return nil
	}
	return there
}

// pass carries the bytes of a connection to another bridge and back until one side ends.
func (s *Server) pass(w http.ResponseWriter, r *http.Request, there net.Conn) {
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeRefusal(w, &reason.Error{Reason: reason.InternalError, Message: "the connection cannot be passed on", Err: err})
		return
	}
	defer here.Close()
	r.Header.Set(passedOn, "1")
	if err := r.Write(there); err != nil {
		s.Logger.Info("connection not passed on", zap.String("remote", r.RemoteAddr), zap.Error(err))
		return
	}
	s.Metrics.passed.Inc()
	defer s.Metrics.passed.Dec()
	ctx, cancel := context.WithCancel(r.Context())
	var ways sync.WaitGroup
	ways.Go(func() {
		defer cancel()
		_, _ = io.Copy(there, buffered) // either end may end it
	})
	ways.Go(func() {
		defer cancel()
		_, _ = io.Copy(here, there)
	})
	<-ctx.Done()
	_, _ = here.Close(), there.Close()
	ways.Wait()
}
