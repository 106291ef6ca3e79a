package microservice

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/reason"
)

// closeTimeout bounds what a subscriber gives back when it is closed.
const closeTimeout = 5 * time.Second

// stored is what the store knows the subscriber by. Those of which nothing is kept are others: names have no control characters.
func (g *Grant) stored() jetstream.SubscriberKey {
	name := g.Subscriber
	if g.isVolatile() {
		name = "\x01" + name
	}
	return jetstream.SubscriberKey{Name: name, Filter: g.Subscription}
}

// isVolatile tells whether nothing is kept for the subscriber. Errors are kept for whoever comes.
func (g *Grant) isVolatile() bool { return g.Volatile || g.Subscription == errorTopics }

// verify is the grant of a token.
func (s *Server) verify(_ context.Context, token string) (Grant, error) {
	c, err := s.Tokens.Verify(token)
	if err != nil {
		return Grant{}, err
	}
	p, err := s.Auth.Holder(c)
	if err != nil {
		return Grant{}, err
	}
	return grantOf(c, p), nil
}

func grantOf(c authn.Claims, p authn.Principal) Grant {
	return Grant{Principal: p, Subscriber: c.Subscriber, Subscription: c.Subscription, Shared: c.Shared, Volatile: c.NonPersistent}
}

// claim makes this bridge the one that serves a subscriber.
func (s *Server) claim(ctx context.Context, g Grant, revoked func()) (release func(), err error) {
	log, err := s.Log(ctx, g.Tenant)
	if err != nil {
		return nil, err
	}
	there, replaces, err := log.DialSubscriber(ctx, g.stored())
	if err != nil {
		return nil, err
	}
	if there != nil {
		there.Close()
		return nil, reason.New(reason.SubscriberInUse, "the subscriber has just been opened on another bridge; connect again")
	}
	c, err := log.ClaimSubscriber(ctx, g.stored(), replaces, revoked)
	if err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		c.Release(ctx)
	}, nil
}

// durable opens a subscriber whose messages are kept.
func (s *Server) durable(ctx context.Context, g Grant) (*View, error) {
	log, err := s.Log(ctx, g.Tenant)
	if err != nil {
		return nil, err
	}
	sub, err := log.OpenSubscriber(ctx, g.stored())
	if err != nil {
		return nil, err
	}
	return &View{Hub: s.Kept, Log: sub, Release: func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := sub.Close(ctx); err != nil {
			s.Logger.Info("the last use of a subscriber was not noted", zap.String("tenant", g.Tenant), zap.String("subscriber", g.Subscriber), zap.Error(err))
		}
	}}, nil
}

// forget removes what is kept for a subscriber.
func (s *Server) forget(ctx context.Context, g Grant) error {
	log, err := s.Log(ctx, g.Tenant)
	if err != nil {
		return err
	}
	_, err = log.RemoveSubscriber(ctx, g.stored())
	return err
}
