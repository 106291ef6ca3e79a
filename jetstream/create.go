package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// create makes the topic, starting from the entry e: it is gone, abandoned while creating, or live without a stream.
func (l *Log) create(ctx context.Context, t *Topic, e topicEntry) error {
	select {
	case l.creations <- struct{}{}:
		defer func() { <-l.creations }()
	case <-ctx.Done():
		return ctx.Err()
	}
	started := time.Now()
	limits := l.Limits()
	policy := l.policyOf(t.name)
	rec := topicRecord{Topic: t.name, State: creating}.withPolicy(policy)
	if !exists(e) {
		// What the copy knows to be full need not be tried: a client that invents topics costs no writes.
		switch have := l.register.sums(); {
		case have.live >= limits.Topics:
			return topicQuota(limits.Topics)
		case have.reserved > limits.StorageBytes-min(rec.reserved()+sharedBytes(l.currentTerms().policies, ""), limits.StorageBytes):
			return storageQuota(limits.StorageBytes)
		}
	}
	if e.Live && e.Value.State == creating {
		if err := l.deleteParked(ctx, t.name, e.Sequence); err != nil {
			return err
		}
	}
	mine, err := l.register.write(ctx, rec, e)
	if err != nil {
		return err
	}
	rec.Generation = mine.Sequence
	if v := l.rules.now.Load().Value; v.Phase != phaseSettled && v.Phase != phasePreparing && !v.stays(t.name) {
		// Whoever parks the streams of the topics that move may not have seen this one.
		rec.Presence = e.Value.Presence
		return errors.Join(errChanged, l.release(ctx, mine, rec))
	}
	err = l.build(ctx, t, mine, &rec, limits, policy)
	if err == nil {
		if _, err = l.register.write(ctx, rec.with(live), mine); err == nil {
			if !rec.hasPolicy(l.policyOf(t.name)) {
				l.limitsChanged() // in the meantime
			}
			l.store.metrics.created.Observe(time.Since(started).Seconds())
			l.log.Debug("topic created", zap.String("topic", t.name), zap.Uint64("generation", rec.Generation))
			return nil
		}
	}
	if conflict(err) || errors.Is(err, errChanged) {
		return err
	}
	refused := refusal(err, bounded(policy.BacklogBytes))
	l.store.metrics.creationFailures.WithLabelValues(string(refused.Reason)).Inc()
	if refused.Reason != reason.NATSUnavailable {
		l.giveUp(ctx, mine, rec, refused)
	}
	return refused
}

// build takes what the topic needs while its entry says creating.
func (l *Log) build(ctx context.Context, t *Topic, mine topicEntry, rec *topicRecord, limits tenant.Limits, policy tenant.Policy) error {
	t.mu.Lock()
	entry, sums := t.entry, t.totals
	t.mu.Unlock()
	// The sums as of the own entry, so that of two who ask for the last room exactly one gets it.
	if entry.Sequence == mine.Sequence && sums.reserved > limits.StorageBytes-min(sharedBytes(l.currentTerms().policies, ""), limits.StorageBytes) {
		return storageQuota(limits.StorageBytes)
	}
	if err := l.takePresence(ctx, rec, limits.Topics); err != nil {
		return err
	}
	return l.makeStream(ctx, t, rec, l.dedicatedStream(t.name, rec.Generation, policy))
}

// takePresence stores the message that counts for the topic quota. One that is there already was left by whoever began with
// this topic before.
func (l *Log) takePresence(ctx context.Context, rec *topicRecord, quota int64) error {
	subject := l.names.presenceSubject(rec.Topic)
	sequence, err := publish(ctx, l.link.control, subject, presence{Version: recordVersion, Topic: rec.Topic}, 0,
		natsjs.WithExpectLastSequencePerSubject(0))
	switch {
	case err == nil:
		rec.Presence = sequence
		return nil
	case full(err):
		return topicQuota(quota)
	case !conflict(err):
		return err
	}
	stream, err := l.link.js.Stream(ctx, l.names.presence)
	if err != nil {
		return err
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return err
	}
	rec.Presence = m.Sequence
	return nil
}

// presence is the message that counts for the topic quota.
type presence struct {
	Version int    `json:"v"`
	Topic   string `json:"topic"`
}

// adopt takes over the stream that holds the topic's subject already: a bridge died, or the register was lost, after it
// had been made. It must be the topic's own. want is what it ought to be.
func (l *Log) adopt(ctx context.Context, t *Topic, rec *topicRecord, want natsjs.StreamConfig) error {
	name, err := l.link.js.StreamNameBySubject(ctx, t.subject)
	if err != nil {
		return err
	}
	stream, err := l.link.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	generation, ok := l.generationOf(name, t.name)
	if !ok || config.Metadata[metaTopic] != t.name || config.Metadata[metaTenant] != l.tenant {
		l.log.Error("the topic's subject belongs to a stream that is not the topic's", zap.String("topic", t.name),
			zap.String("reason", string(reason.InternalError)), zap.String("stream", name))
		return reason.New(reason.InternalError, fmt.Sprintf("stream %s holds the subject of the topic and is not the topic's", name))
	}
	rec.Generation = generation
	_, err = l.link.js.UpdateStream(ctx, updated(config, want))
	return err
}

// giveUp undoes a creation that was refused, and tells who waits for it.
func (l *Log) giveUp(ctx context.Context, mine topicEntry, rec topicRecord, refused *reason.Error) {
	rec.Generation = mine.Sequence
	rec.Code, rec.Message = refused.Reason, refused.Message
	entry := mine
	var err error
	if rec.Presence != 0 {
		// There may be a stream as well.
		if entry, err = l.register.write(ctx, rec.with(deleting), mine); err == nil {
			err = l.finishRemoval(ctx, entry)
		}
	} else {
		err = l.release(ctx, entry, rec)
	}
	if err != nil {
		l.log.Warn("creation not undone", zap.String("topic", rec.Topic), zap.Error(err))
	}
}

func topicQuota(quota int64) *reason.Error {
	return reason.New(reason.TopicQuota, fmt.Sprintf("the tenant has its %d topics", quota))
}

func storageQuota(quota int64) *reason.Error {
	return reason.New(reason.StorageFull, fmt.Sprintf("the tenant's storage_bytes of %d is reserved", quota))
}
