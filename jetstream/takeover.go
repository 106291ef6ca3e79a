package jetstream

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// takeoverRequest tells a bridge which claim of its own was replaced. It is answered when the connection that had
// it is closed and its will is published.
type takeoverRequest struct {
	Version  int    `json:"v"`
	ClientID string `json:"clientId"`
	Sequence uint64 `json:"sequence"` // of the replaced claim
}

func takeoverSubject(bridge, tenant string) string { return takeoverPrefix + bridge + "." + tenant }

// takeOver waits until the previous owner has let go, for 2 s at most. A bridge that does not answer is not waited for longer:
// it has lost the claim, and learns it as soon as it can learn anything.
func (s *sessions) takeOver(ctx context.Context, before claimEntry) {
	ctx, cancel := context.WithTimeout(ctx, takeoverTime)
	defer cancel()
	bridge := before.Value.Bridge
	if bridge == s.log.store.config.Bridge {
		s.letGo(ctx, before.Value.ClientID, before.Sequence)
		return
	}
	data, err := json.Marshal(takeoverRequest{Version: recordVersion, ClientID: before.Value.ClientID, Sequence: before.Sequence})
	if err == nil {
		_, err = s.control.nc.RequestWithContext(ctx, takeoverSubject(bridge, s.log.tenant), data)
	}
	if err != nil {
		s.log.log.Debug("the previous owner did not answer", zap.String("bridge", bridge), zap.Error(err))
	}
}

// letGo revokes a claim of this bridge that was replaced, where that has not happened yet, and waits for it.
func (s *sessions) letGo(ctx context.Context, clientID string, sequence uint64) {
	s.mu.Lock()
	c := s.claims[clientID]
	if c != nil && c.sequence == sequence {
		delete(s.claims, clientID)
		c.revoke(true)
	} else {
		c = s.leaving[leavingKey{clientID: clientID, sequence: sequence}]
	}
	s.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case <-c.gone:
	case <-ctx.Done():
	}
}

// onTakeover answers another bridge. Each request has a goroutine of its own for 2 s at most; there are as many as there
// are connections that are being closed.
func (l *Log) onTakeover(m *nats.Msg) {
	var r takeoverRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		l.log.Warn("takeover request is not readable", zap.Error(err))
		return
	}
	l.store.spawn(func() {
		ctx, cancel := context.WithTimeout(l.store.ctx, takeoverTime)
		defer cancel()
		l.sessions.letGo(ctx, r.ClientID, r.Sequence)
		if err := m.Respond(nil); err != nil {
			l.log.Debug("takeover not answered", zap.Error(err))
		}
	})
}
