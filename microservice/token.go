package microservice

import (
	"context"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/reason"
)

var errNoCredentials = reason.New(reason.BadCredentials, "HTTP Basic authentication is needed, as <tenant>/<user>")

// createToken gives a token to a user who proves who he is.
func (s *Server) createToken(w http.ResponseWriter, r *http.Request) error {
	p, err := s.login(r)
	if err != nil {
		return err
	}
	if err := s.Ready(); err != nil {
		// A bridge that is cut off may not know the keys that the others sign with by now.
		return &reason.Error{Reason: reason.NATSUnavailable, Message: "NATS cannot be reached", Err: err}
	}
	limits, ok := s.Auth.Limits(p.Tenant)
	if !ok {
		return reason.New(reason.TenantDisabled, "the tenant was removed")
	}
	request, err := readTokenRequest(w, r)
	if err != nil {
		return err
	}
	if err := request.check(limits, p.Tenant); err != nil {
		return err
	}
	token, c, err := s.Tokens.Issue(request.claims(p), request.lifetime())
	if err != nil {
		return err
	}
	s.Logger.Info("token issued", zap.String("tenant", c.Tenant), zap.String("user", c.User), zap.String("remote", r.RemoteAddr),
		zap.String("subscriber", c.Subscriber), zap.String("subscription", c.Subscription), zap.String("id", c.ID), zap.Time("expires", c.Expires))
	return writeJSON(w, http.StatusOK, struct {
		Token string `json:"token"`
	}{token})
}

// login finds out who asks, as it is done at CONNECT, with the same bounds.
func (s *Server) login(r *http.Request) (authn.Principal, error) {
	username, password, ok := r.BasicAuth()
	if !ok {
		return authn.Principal{}, errNoCredentials
	}
	ctx, cancel := context.WithTimeout(r.Context(), loginTimeout)
	defer cancel()
	p, err := s.Auth.Authenticate(ctx, username, []byte(password))
	if errors.Is(err, context.DeadlineExceeded) {
		err = &reason.Error{Reason: reason.ConnectionLimit, Message: "too many logins are waiting", Err: err}
	}
	if err != nil {
		return authn.Principal{}, err
	}
	return p, p.CheckApplication()
}

// verifyToken shows what is in a token.
func (s *Server) verifyToken(w http.ResponseWriter, r *http.Request) error {
	c, _, err := s.authorize(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, c)
}

// unsubscribe removes the token's subscriber.
func (s *Server) unsubscribe(w http.ResponseWriter, r *http.Request) error {
	c, p, err := s.authorize(r)
	if err != nil {
		return err
	}
	g := grantOf(c, p)
	if err := s.sockets.remove(r.Context(), g); err != nil {
		return err
	}
	s.Logger.Info("unsubscribed", zap.String("tenant", c.Tenant), zap.String("user", p.User), zap.String("remote", r.RemoteAddr),
		zap.String("subscriber", c.Subscriber), zap.String("subscription", c.Subscription))
	return writeJSON(w, http.StatusOK, struct {
		Result string `json:"result"`
	}{"DONE"})
}

// authorize returns what the token of a request says, and for whom whoever holds it acts.
func (s *Server) authorize(r *http.Request) (authn.Claims, authn.Principal, error) {
	c, err := s.Tokens.Verify(r.URL.Query().Get("token"))
	if err != nil {
		return authn.Claims{}, authn.Principal{}, err
	}
	p, err := s.Auth.Holder(c)
	if err != nil {
		return authn.Claims{}, authn.Principal{}, err
	}
	return c, p, nil
}
