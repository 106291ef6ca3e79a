package jetstream

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/reason"
)

// takeoverTime is how long a new connection waits for the old one to let go.
const takeoverTime = 2 * time.Second

// Owner is who wants a client identifier.
type Owner struct {
	ClientID string
	User     string
	// Connections is the tenant's limit of live client identifiers on all bridges together.
	Connections int64
	// Revoked is called once, on a goroutine of its own, when another connection takes the client identifier over or
	// when this bridge has lost it. It returns when the connection is closed and its will is published.
	Revoked func(taken bool)

	// only says that no claim is replaced but the one with the sequence replaces.
	only     bool
	replaces uint64
}

// Claim is the ownership of one client identifier by one connection.
type Claim struct {
	// immutable
	sessions *sessions
	owner    Owner
	subject  string
	sequence uint64
	gone     chan struct{} // closed when Revoked has returned
}

// Claim makes the connection the owner of its client identifier on all bridges. Where another connection of the
// same user owns it, that one is told and Claim waits for its release, or 2 s. Errors are *reason.Error:
// client_id_in_use (another user's), connection_quota, nats_unavailable.
func (l *Log) Claim(ctx context.Context, o Owner) (*Claim, error) {
	s := l.sessions
	s.begin(o.ClientID)
	c, before, err := s.claim(ctx, o)
	s.end(o.ClientID)
	if err != nil {
		refused := refusal(err, 0)
		if refused.Reason == reason.NATSUnavailable {
			s.check() // the record may have been written
		}
		l.store.metrics.claims.WithLabelValues(string(refused.Reason)).Inc()
		return nil, refused
	}
	result := "new"
	if before.Live {
		result = "taken_over"
		s.takeOver(ctx, before)
	}
	l.store.metrics.claims.WithLabelValues(result).Inc()
	return c, nil
}

// begin and end frame what writes a claim, so that it is not taken for one that nobody has.
func (s *sessions) begin(clientID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claiming[clientID]++
}

func (s *sessions) end(clientID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claiming[clientID]--; s.claiming[clientID] == 0 {
		delete(s.claiming, clientID)
		delete(s.places, s.log.names.clientSubject(clientID))
	}
}

// claim writes the record. before is the one it replaces.
func (s *sessions) claim(ctx context.Context, o Owner) (c *Claim, before claimEntry, err error) {
	subject := s.log.names.clientSubject(o.ClientID)
	rec := claimRecord{Version: recordVersion, ClientID: o.ClientID, Bridge: s.log.store.config.Bridge, User: o.User}
	settled := false
	for {
		before = s.copy.Get(subject)
		if refused := s.refuse(o, before); refused != nil {
			if settled {
				return nil, before, refused
			}
			// Another bridge may have released a moment ago what stands in the way.
			if err := s.settle(ctx); err != nil {
				return nil, before, err
			}
			settled = true
			continue
		}
		sequence, err := s.set(ctx, subject, rec, before, 0)
		if conflict(err) {
			if err := s.settle(ctx); err != nil {
				return nil, before, err
			}
			continue
		}
		if err != nil {
			return nil, before, err
		}
		if !before.Live && s.placeOf(subject, sequence) > o.Connections {
			// Of several that took the last place at once, the first in the stream has it.
			e := claimEntry{Value: rec, Sequence: sequence, Live: true}
			if err := s.tombstone(ctx, subject, e); err != nil && !conflict(err) {
				return nil, before, err
			}
			return nil, before, connectionQuota(o.Connections)
		}
		return s.register(o, subject, sequence), before, nil
	}
}

// refuse says why the owner cannot have the client identifier, as far as the local copy knows.
func (s *sessions) refuse(o Owner, before claimEntry) *reason.Error {
	switch {
	case o.only && before.Live && before.Sequence != o.replaces:
		return reason.New(reason.SubscriberInUse, "another connection of the subscriber is open")
	case before.Live && before.Value.User != o.User:
		return reason.New(reason.ClientIDInUse, "the client identifier belongs to another user's session")
	case !before.Live && s.count() >= o.Connections:
		return connectionQuota(o.Connections)
	}
	return nil
}

func connectionQuota(quota int64) *reason.Error {
	return reason.New(reason.ConnectionQuota, fmt.Sprintf("the tenant has its %d connections", quota))
}

func (s *sessions) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

func (s *sessions) placeOf(subject string, sequence uint64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.places[subject]; p.sequence == sequence {
		return p.count
	}
	return 0 // replaced already
}

// register notes the owner, so that he can be told when he has lost the client identifier, which may already be.
func (s *sessions) register(o Owner, subject string, sequence uint64) *Claim {
	c := &Claim{sessions: s, owner: o, subject: subject, sequence: sequence, gone: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.copy.Get(subject); now.Sequence > sequence {
		c.revoke(now.Live)
		return c
	}
	if old := s.claims[o.ClientID]; old != nil {
		old.revoke(true)
	}
	s.claims[o.ClientID] = c
	return c
}

// revoke tells the owner, in the background. The caller holds the sessions' mu, and has seen to it that it happens once: by
// taking the claim out of the set, or by not putting it in.
func (c *Claim) revoke(taken bool) {
	s := c.sessions
	key := leavingKey{clientID: c.owner.ClientID, sequence: c.sequence}
	s.leaving[key] = c
	s.wg.Go(func() {
		c.owner.Revoked(taken)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.leaving, key)
		close(c.gone)
	})
}

// Release gives the client identifier back. It does nothing where somebody else owns it by now.
func (c *Claim) Release(ctx context.Context) {
	s := c.sessions
	s.mu.Lock()
	mine := s.claims[c.owner.ClientID] == c
	if mine {
		delete(s.claims, c.owner.ClientID)
	}
	s.mu.Unlock()
	if !mine {
		return
	}
	e := claimEntry{
		Value:    claimRecord{ClientID: c.owner.ClientID, Bridge: s.log.store.config.Bridge, User: c.owner.User},
		Sequence: c.sequence,
		Live:     true,
	}
	if err := s.tombstone(ctx, c.subject, e); err != nil && !conflict(err) {
		s.log.log.Info("claim not released yet", zap.Error(err))
		s.check()
	}
}
