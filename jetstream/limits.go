package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/tenant"
)

// limitRetry is when streams that could not be brought to the limits are tried again.
const limitRetry = 5 * time.Second

// terms are what holds for a tenant. They are replaced, never modified.
type terms struct {
	limits   tenant.Limits
	policies tenant.Policies
	revision uint64 // of the tenant
}

// SetLimits says which limits and policies hold for a tenant from now on, as of which revision in the store. The tenant's streams are
// brought to them in the background, and topics that get another place by them are moved: that is decided by the highest revision
// that any bridge was told. A tenant of which nothing was said has the default quotas and no rules of its own.
func (s *Store) SetLimits(name string, revision uint64, limits tenant.Limits, policies tenant.Policies) {
	terms := terms{limits: limits, policies: policies, revision: revision}
	s.mu.Lock()
	s.terms[name] = terms
	o := s.logs[name]
	s.mu.Unlock()
	if o == nil {
		return
	}
	select {
	case <-o.done:
		if o.err == nil {
			o.log.setTerms(terms)
		}
	default:
		// Being opened: newLog looks again when it has finished.
	}
}

func (s *Store) termsOf(name string) terms {
	s.mu.Lock()
	defer s.mu.Unlock()
	if terms, ok := s.terms[name]; ok {
		return terms
	}
	var q tenant.Quotas
	return terms{limits: q.Resolve(), policies: tenant.Rules(nil).Resolve(q)}
}

func (l *Log) currentTerms() terms {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.terms
}

// Limits that hold for the tenant now.
func (l *Log) Limits() tenant.Limits { return l.currentTerms().limits }

// policyOf is the policy that holds for a topic now.
func (l *Log) policyOf(topic string) tenant.Policy {
	policies := l.rules.policies(l.currentTerms())
	if _, p := policies.Match(topic); p != nil {
		return *p
	}
	return policies[len(policies)-1] // matches every topic for which there can be rules
}

func (l *Log) setTerms(terms terms) {
	l.takeTerms(terms)
	l.register.reroute()
	l.limitsChanged()
	signal(l.rules.execute)
}

func (l *Log) takeTerms(terms terms) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.terms = terms
	l.reroute(l.rules.inForce(terms))
}

// followRules puts the rules of the register in force for publishers.
func (l *Log) followRules() {
	l.mu.Lock()
	l.reroute(l.rules.inForce(l.terms))
	l.mu.Unlock()
	l.register.reroute()
	l.limitsChanged()
}

func (l *Log) limitsChanged() {
	select {
	case l.relimit <- struct{}{}:
	default:
	}
}

// keepLimits brings streams to the limits whenever these may have changed, until the store is closed.
func (l *Log) keepLimits() {
	var retry <-chan time.Time
	var complaint string // what was logged last
	for {
		select {
		case <-l.relimit:
		case <-retry:
		case <-l.store.ctx.Done():
			return
		}
		retry = nil
		waiting, err := l.applyLimits(l.store.ctx)
		switch {
		case err != nil && l.store.ctx.Err() == nil:
			if err.Error() != complaint {
				complaint = err.Error()
				l.log.Warn("limits not in force for every stream", zap.Error(err))
			}
			retry = time.After(limitRetry)
		case waiting:
			retry = time.After(tightenRetry)
			fallthrough
		default:
			complaint = ""
		}
	}
}

// applyLimits is done by every bridge, as each learns of new limits. All write the same. waiting says that a stream keeps a former limit for
// a while.
func (l *Log) applyLimits(ctx context.Context) (waiting bool, err error) {
	errs := []error{l.limitPresence(ctx, l.Limits())}
	for _, t := range l.register.all() {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err := l.limitTopic(ctx, t); err != nil {
			errs = append(errs, fmt.Errorf("topic %q: %w", t.name, err))
		}
	}
	waiting, err = l.applyShared(ctx)
	return waiting, errors.Join(append(errs, err, l.applyLists(ctx))...)
}

func (l *Log) limitPresence(ctx context.Context, limits tenant.Limits) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := l.link.js.Stream(ctx, l.names.presence)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	if config.MaxMsgs == bounded(limits.Topics) {
		return nil
	}
	config.MaxMsgs = bounded(limits.Topics)
	_, err = l.link.js.UpdateStream(ctx, config)
	return err
}

// limitTopic updates the stream and then says so in the register, so that a stream which was not updated is seen as such.
func (l *Log) limitTopic(ctx context.Context, t *Topic) error {
	policy := l.policyOf(t.name)
	if policy.Stream != tenant.StreamDedicated {
		return nil
	}
	if e, _, _ := t.look(); !e.Live || !e.Value.open() || e.Value.hasPolicy(policy) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	select {
	case t.work <- struct{}{}:
		defer func() { <-t.work }()
	case <-ctx.Done():
		return ctx.Err()
	}
	e, _, _ := t.look()
	if !e.Live || !e.Value.open() || e.Value.hasPolicy(policy) {
		return nil
	}
	stream, err := l.link.js.Stream(ctx, naming.Stream(l.tenant, t.name, e.Value.Generation))
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil // made again with the new limits, by whoever needs it
	}
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	if config.Metadata[metaTopic] != t.name || config.Metadata[metaTenant] != l.tenant {
		return fmt.Errorf("stream %s is not the topic's", config.Name)
	}
	if _, err := l.link.js.UpdateStream(ctx, updated(config, l.dedicatedStream(t.name, e.Value.Generation, policy))); err != nil {
		return refusal(err, bounded(policy.BacklogBytes))
	}
	_, err = l.register.write(ctx, e.Value.withPolicy(policy), e)
	if conflict(err) {
		return nil // another bridge did the same, or the topic is no longer live
	}
	return err
}

// updated is the stream that there is, with what it ought to have. It is one update, so that no limit is ever in force with another
// policy's way to keep it. What it may cost is in docs/adr/005-rules-change-streams-in-place.md.
func updated(have, want natsjs.StreamConfig) natsjs.StreamConfig {
	have.Retention, have.Discard, have.AllowMsgTTL = want.Retention, want.Discard, want.AllowMsgTTL
	have.MaxBytes, have.MaxMsgs, have.MaxMsgSize, have.MaxAge = want.MaxBytes, want.MaxMsgs, want.MaxMsgSize, want.MaxAge
	return have
}
