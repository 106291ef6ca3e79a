package jetstream

import (
	"context"
	"strings"

	"github.com/weirmq/weir/tenant"
)

// subscriberClaims begin what stands for a subscriber among the client identifiers, which have no U+0000.
const subscriberClaims = "\x00"

// subscriberClient stands for a subscriber among the client identifiers.
func subscriberClient(key SubscriberKey) string { return subscriberClaims + key.id() }

// isConnection reports whether a claim is that of a connection, and counts as one.
func (r *claimRecord) isConnection() bool { return !strings.HasPrefix(r.ClientID, subscriberClaims) }

// claimSubscriber makes this bridge the one that serves a subscriber.
func (l *Log) claimSubscriber(ctx context.Context, key SubscriberKey, revoked func()) (*Claim, error) {
	return l.Claim(ctx, Owner{
		ClientID: subscriberClient(key), Connections: tenant.Unlimited, Revoked: func(bool) { revoked() },
	})
}

// claimed reports whether there is a claim, as far as this bridge knows.
func (s *sessions) claimed(clientID string) bool {
	return s.copy.Get(s.log.names.clientSubject(clientID)).Live
}
