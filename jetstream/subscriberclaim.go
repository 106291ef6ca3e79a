package jetstream

import (
	"context"
	"net"
	"strings"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/tunnel"
	"github.com/weirmq/weir/tenant"
)

// subscriberClaims begin what stands for a subscriber among the client identifiers, which have no U+0000.
const subscriberClaims = "\x00"

// subscriberClient stands for a subscriber among the client identifiers.
func subscriberClient(key SubscriberKey) string { return subscriberClaims + key.id() }

// isConnection reports whether a claim is that of a connection, and counts as one.
func (r *claimRecord) isConnection() bool { return !strings.HasPrefix(r.ClientID, subscriberClaims) }

// claimSubscriber makes this bridge the one that serves a subscriber, whoever did.
func (l *Log) claimSubscriber(ctx context.Context, key SubscriberKey, revoked func()) (*Claim, error) {
	return l.Claim(ctx, subscriberOwner(key, revoked))
}

func subscriberOwner(key SubscriberKey, revoked func()) Owner {
	return Owner{ClientID: subscriberClient(key), Connections: tenant.Unlimited, Revoked: func(bool) { revoked() }}
}

// ClaimSubscriber makes this bridge the one that serves a subscriber, unless another one does; replaces is as DialSubscriber returned it. revoked is
// called once, on a goroutine of its own, when this bridge has lost it, and returns when nobody receives any more. Errors are *reason.Error:
// subscriber_in_use, nats_unavailable.
func (l *Log) ClaimSubscriber(ctx context.Context, key SubscriberKey, replaces uint64, revoked func()) (*Claim, error) {
	o := subscriberOwner(key, revoked)
	o.only, o.replaces = true, replaces
	return l.Claim(ctx, o)
}

// DialSubscriber returns a connection to the HTTP server of the bridge that serves a subscriber. It is nil where that is none, or this one, or one that
// does not answer; replaces then is the claim that may be replaced. Errors are *reason.Error: nats_unavailable.
func (l *Log) DialSubscriber(ctx context.Context, key SubscriberKey) (conn net.Conn, replaces uint64, err error) {
	s := l.sessions
	if err := s.settle(ctx); err != nil {
		return nil, 0, refusal(err, 0)
	}
	e := s.copy.Get(s.log.names.clientSubject(subscriberClient(key)))
	bridge := e.Value.Bridge
	if !e.Live || bridge == l.store.config.Bridge {
		return nil, e.Sequence, nil
	}
	ctx, cancel := context.WithTimeout(ctx, takeoverTime)
	defer cancel()
	conn, err = tunnel.Dial(ctx, l.store.own.nc, tunnelPrefix, bridge, l.store.spawn)
	if err != nil {
		l.log.Info("the bridge that serves a subscriber does not answer", zap.String("bridge", bridge), zap.Error(err))
		return nil, e.Sequence, nil
	}
	return conn, 0, nil
}

// Listen accepts the connections that other bridges pass on with DialSubscriber.
func (s *Store) Listen() (*tunnel.Listener, error) {
	return tunnel.Listen(s.own.nc, tunnelPrefix, s.config.Bridge)
}

// claimed reports whether there is a claim, as far as this bridge knows.
func (s *sessions) claimed(clientID string) bool {
	return s.copy.Get(s.log.names.clientSubject(clientID)).Live
}
