package microservice

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/weirmq/weir/reason"
)

// problem is the body of a refusal.
type problem struct {
	Error problemText `json:"error"`
}

type problemText struct {
	Code    reason.Reason `json:"code"`
	Message string        `json:"message"`
}

// refuse answers a request with why it is refused. The name of the endpoint is the metric's label.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, endpoint string, err error) {
	e := refusal(err)
	status := statusOf(e.Reason)
	s.Metrics.answered(endpoint, string(e.Reason))
	s.Logger.Info("request refused", zap.String("endpoint", endpoint), zap.String("remote", r.RemoteAddr), zap.Int("status", status),
		zap.String("reason", string(e.Reason)), zap.String("detail", e.Message), zap.NamedError("cause", e.Err))
	switch {
	case status != http.StatusUnauthorized:
	case e.Reason == reason.BadCredentials:
		w.Header().Set("WWW-Authenticate", `Basic realm="weir", charset="UTF-8"`)
	default:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	s.answer(w, status, problem{problemText{Code: e.Reason, Message: e.Message}})
}

// refusal is an error as the client learns it.
func refusal(err error) *reason.Error {
	if known, ok := errors.AsType[*reason.Error](err); ok {
		return known
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &reason.Error{Reason: reason.NATSUnavailable, Message: "there was no answer in time", Err: err}
	}
	return &reason.Error{Reason: reason.InternalError, Message: "the log of Weir says more", Err: err}
}

// statusOf is what a reason is in HTTP.
func statusOf(r reason.Reason) int {
	switch r {
	case reason.BadCredentials, reason.TokenInvalid, reason.TokenExpired, reason.UserChanged, reason.TenantDisabled:
		return http.StatusUnauthorized
	case reason.RoleNotPermitted:
		return http.StatusForbidden
	case reason.BadRequest, reason.TopicInvalid, reason.TopicReserved, reason.SharedUnsupported:
		return http.StatusBadRequest
	case reason.NATSUnavailable, reason.ConnectionLimit, reason.ServerShutdown:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// answer writes JSON that nobody else is to keep.
func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.Logger.Debug("answer not written", zap.Error(err))
	}
}

// answered counts a request that was answered. The result is ok or a reason.
func (m *Metrics) answered(endpoint, result string) {
	m.requests.WithLabelValues(endpoint, result).Inc()
}
