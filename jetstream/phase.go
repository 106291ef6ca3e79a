package jetstream

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/follow"
)

// phaseTombstone is how long the register remembers that a bridge has left a tenant.
const phaseTombstone = time.Hour

// phaseRecord is how far a bridge has followed the rules of a tenant. It has one as long as it has the tenant open.
type phaseRecord struct {
	Version  int    `json:"v"`
	Bridge   string `json:"bridge"`
	Revision uint64 `json:"revision"`
	Phase    phase  `json:"phase"`
	Ended    bool   `json:"ended,omitempty"`
}

type phaseEntry = follow.Entry[phaseRecord]

// changePhase takes what the register says. It runs on the goroutine of the register's copy.
func (r *rules) changePhase(before, after registerEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after.Live {
		p := *after.Value.phase
		r.confirmed[p.Bridge] = phaseEntry{Value: p, Sequence: after.Sequence, Live: true}
	} else if p := before.Value.phase; p != nil {
		delete(r.confirmed, p.Bridge)
		if p.Bridge == r.log.store.config.Bridge {
			signal(r.follow) // somebody took this bridge for dead
		}
	}
	r.tellChanged()
}

// confirm writes that this bridge has done what a phase asks of it.
func (r *rules) confirm(ctx context.Context, revision uint64, p phase) error {
	bridge := r.log.store.config.Bridge
	subject := r.log.names.phaseSubject(bridge)
	for {
		e := r.log.register.copy.Get(subject)
		if e.Live && e.Value.phase.Revision == revision && e.Value.phase.Phase == p {
			return nil
		}
		rec := phaseRecord{Version: recordVersion, Bridge: bridge, Revision: revision, Phase: p}
		if _, err := r.log.register.set(ctx, subject, rec, e, 0); !conflict(err) {
			return err
		}
		if err := r.log.register.settle(ctx); err != nil {
			return err
		}
	}
}

// endOf takes a bridge out of those that must confirm: it is about to go, or does not live.
func (r *rules) endOf(ctx context.Context, bridge string) error {
	subject := r.log.names.phaseSubject(bridge)
	for {
		e := r.log.register.copy.Get(subject)
		if !e.Live || !r.log.link.nc.IsConnected() {
			return nil // then it ends with the lease
		}
		rec := *e.Value.phase
		rec.Ended = true
		if _, err := r.log.register.set(ctx, subject, rec, e, phaseTombstone); !conflict(err) {
			return err
		}
		if err := r.log.register.settle(ctx); err != nil {
			return err
		}
	}
}

// behind returns the bridges that have yet to confirm a phase, and what tells when that may have changed.
func (r *rules) behind(revision uint64, p phase) (bridges []string, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.confirmed {
		if v := e.Value; v.Revision != revision || v.Phase != p {
			bridges = append(bridges, v.Bridge)
		}
	}
	return bridges, r.changed
}

// awaitAll waits until every bridge has confirmed a phase whose lease lives.
func (r *rules) awaitAll(ctx context.Context, revision uint64, p phase) error {
	for {
		bridges, changed := r.behind(revision, p)
		var slow string
		for _, bridge := range bridges {
			alive, err := r.log.store.lease.lives(ctx, bridge)
			if err != nil {
				return err
			}
			if alive {
				slow = bridge
				break
			}
		}
		if slow == "" {
			return nil
		}
		select {
		case <-changed:
		case <-r.log.store.lease.ended(slow):
		case <-ctx.Done():
			r.log.log.Info("a bridge has not followed the rules yet", zap.String("bridge", slow), zap.String("phase", string(p)))
			return ctx.Err()
		}
	}
}
