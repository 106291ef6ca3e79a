package microservice

// This file is the one place that knows how a reason reads in HTTP; ending.go knows how it does in WebSocket.

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
	e := refused(err)
	s.Metrics.answered(endpoint, string(e.Reason))
	s.Logger.Info("request refused", zap.String("endpoint", endpoint), zap.String("remote", r.RemoteAddr), zap.Int("status", status(e.Reason)),
		zap.String("reason", string(e.Reason)), zap.String("detail", e.Message), zap.NamedError("cause", e.Err))
	writeRefusal(w, e)
}

// writeRefusal answers a request with why it is refused.
func writeRefusal(w http.ResponseWriter, e *reason.Error) {
	code := status(e.Reason)
	switch {
	case code != http.StatusUnauthorized:
	case e.Reason == reason.BadCredentials:
		w.Header().Set("WWW-Authenticate", `Basic realm="weir", charset="UTF-8"`)
	default:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	_ = writeJSON(w, code, problem{problemText{Code: e.Reason, Message: e.Message}}) // nobody waits for it if it fails
}

// refused is an error as the client learns it.
func refused(err error) *reason.Error {
	if known, ok := errors.AsType[*reason.Error](err); ok {
		return known
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &reason.Error{Reason: reason.NATSUnavailable, Message: "there was no answer in time", Err: err}
	}
	return &reason.Error{Reason: reason.InternalError, Message: "the log of Weir says more", Err: err}
}

// status is what a reason is in HTTP.
func status(r reason.Reason) int {
	switch r {
	case reason.BadCredentials, reason.TokenInvalid, reason.TokenExpired, reason.UserChanged, reason.TenantDisabled:
		return http.StatusUnauthorized
	case reason.RoleNotPermitted, reason.OriginForbidden:
		return http.StatusForbidden
	case reason.BadRequest, reason.ProtocolError, reason.TopicInvalid, reason.TopicReserved, reason.SharedUnsupported:
		return http.StatusBadRequest
	case reason.SubscriberInUse:
		return http.StatusConflict
	case reason.TopicQuota, reason.StorageFull, reason.SubscriptionLimit, reason.SubscriberLimit:
		return http.StatusInsufficientStorage
	case reason.InternalError:
		return http.StatusInternalServerError
	default:
		return http.StatusServiceUnavailable
	}
}

// writeJSON writes JSON that nobody else is to keep.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(v)
}

// answered counts a request that was answered. The result is ok or a reason.
func (m *Metrics) answered(endpoint, result string) {
	m.requests.WithLabelValues(endpoint, result).Inc()
}
