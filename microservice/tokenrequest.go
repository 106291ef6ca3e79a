package microservice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

const (
	maxBodyBytes       = 64 << 10
	maxSubscriberBytes = 128
	tokenType          = "mqtt"
	defaultMinutes     = 24 * 60
	maxMinutes         = int64(authn.MaxLifetime / time.Minute)
)

// tokenRequest is the body of a request for a token. Clients send more, which has no meaning here.
type tokenRequest struct {
	Subscriber       string  `json:"subscriber"`
	Subscription     string  `json:"subscription"`
	Type             *string `json:"type"`
	ExpiresInMinutes *int64  `json:"expiresInMinutes"`
	Shared           bool    `json:"shared"`
	NonPersistent    bool    `json:"nonPersistent"`
}

func readTokenRequest(w http.ResponseWriter, r *http.Request) (tokenRequest, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return tokenRequest{}, reason.New(reason.BadRequest, fmt.Sprintf("the body is over %d bytes", maxBodyBytes))
	}
	if err != nil {
		return tokenRequest{}, &reason.Error{Reason: reason.BadRequest, Message: "the body did not arrive", Err: err}
	}
	var request tokenRequest
	if !utf8.Valid(body) { // which the decoder would replace
		return tokenRequest{}, reason.New(reason.BadRequest, "the body is not UTF-8")
	}
	err = json.Unmarshal(body, &request)
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && bad.Field != "" {
		return tokenRequest{}, reason.New(reason.BadRequest, bad.Field+" is not of the right type")
	}
	if err != nil {
		return tokenRequest{}, &reason.Error{Reason: reason.BadRequest, Message: "the body is not a JSON object", Err: err}
	}
	return request, nil
}

// check says why there is no such token, nil where there is.
func (t tokenRequest) check(l tenant.Limits, name string) error {
	switch {
	case t.Type != nil && *t.Type != tokenType:
		return reason.New(reason.BadRequest, `type is not "`+tokenType+`"`)
	case t.ExpiresInMinutes != nil && (*t.ExpiresInMinutes < 1 || *t.ExpiresInMinutes > maxMinutes):
		return reason.New(reason.BadRequest, fmt.Sprintf("expiresInMinutes %d is not between 1 and %d", *t.ExpiresInMinutes, maxMinutes))
	case t.Subscriber == "":
		return reason.New(reason.BadRequest, "subscriber is missing")
	case len(t.Subscriber) > maxSubscriberBytes:
		return reason.New(reason.BadRequest, fmt.Sprintf("subscriber of %d bytes is over the maximum %d", len(t.Subscriber), maxSubscriberBytes))
	case strings.ContainsFunc(t.Subscriber, unicode.IsControl):
		return reason.New(reason.BadRequest, "subscriber has control characters")
	case t.Subscription == "":
		return reason.New(reason.BadRequest, "subscription is missing")
	}
	return checkSubscription(l, name, t.Subscription)
}

// lifetime of the token.
func (t tokenRequest) lifetime() time.Duration {
	minutes := int64(defaultMinutes)
	if t.ExpiresInMinutes != nil {
		minutes = *t.ExpiresInMinutes
	}
	return time.Duration(minutes) * time.Minute
}

func (t tokenRequest) claims(p authn.Principal) authn.Claims {
	return authn.Claims{
		Tenant: p.Tenant, User: p.User, Subscriber: t.Subscriber, Subscription: t.Subscription,
		Shared: t.Shared, NonPersistent: t.NonPersistent,
	}
}
