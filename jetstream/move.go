package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/tenant"
)

const (
	// holdPatience is how long a move waits until all bridges hold what is published to the topics that move. One that takes longer is
	// passed over: the subject of what it publishes decides where that is stored.
	holdPatience = time.Second
	// preparePatience is when a move that waits for others says so, and begins its phase anew.
	preparePatience = 10 * time.Second
	// moveRetry is the wait after a step that failed.
	moveRetry = time.Second
	// parkWidth is how many streams are parked at a time. The server does one after the other.
	parkWidth = 4
)

// keepMoving carries out the moves that this bridge begins, and those whose executor has died, until the store is closed.
func (r *rules) keepMoving() {
	var complaint string // what was logged last
	for {
		v := r.now.Load()
		err := r.step(r.log.store.ctx, v)
		var retry <-chan time.Time
		if err != nil && !conflict(err) && r.log.store.ctx.Err() == nil {
			if err.Error() != complaint {
				complaint = err.Error()
				r.log.log.Warn("topics not moved yet", zap.String("phase", string(v.Value.Phase)), zap.Error(err))
			}
			retry = time.After(moveRetry)
		}
		if r.now.Load() != v && retry == nil {
			continue
		}
		var ended <-chan struct{}
		if v.Value.Phase != phaseSettled {
			ended = r.log.store.lease.ended(v.Value.Bridge)
		}
		select {
		case <-r.execute:
		case <-retry:
		case <-ended:
		case <-r.log.store.ctx.Done():
			return
		}
	}
}

// step does what the record wants of this bridge: nothing, the beginning of a move, or one phase of it.
func (r *rules) step(ctx context.Context, v *rulesView) error {
	rec := v.Value
	if rec.Phase == phaseSettled {
		terms := r.log.currentTerms()
		if terms.revision <= rec.Revision || placesAlike(terms.policies, rec.Policies) {
			return nil
		}
		rec.Revision, rec.Former, rec.Policies, rec.Last = terms.revision, rec.Policies, terms.policies, nil
		rec.Phase = phasePreparing
		// A bridge that has not seen the end of the move before would not see it any more.
		if err := r.prepared(ctx, v.Value.Revision, phaseSettled); err != nil {
			return err
		}
		// They are there when the others learn of them.
		if err := r.makeStreams(ctx, rec); err != nil {
			return err
		}
		return r.write(ctx, rec, v.rulesEntry)
	}
	if rec.Bridge != r.log.store.config.Bridge {
		if alive, err := r.log.store.lease.lives(ctx, rec.Bridge); alive || err != nil {
			return err
		}
		return r.write(ctx, rec, v.rulesEntry) // and then do it
	}
	var err error
	switch rec.Phase {
	case phasePreparing:
		if err = r.prepare(ctx, rec); err == nil {
			rec.Phase = phaseMoving
		}
	case phaseMoving:
		if rec.Last, err = r.cut(ctx, rec); err == nil {
			rec.Phase = phaseOpening
		}
	case phaseOpening:
		if err = r.open(ctx, rec); err == nil {
			rec.Phase = phaseSettled
		}
	case phaseSettled:
	}
	if err != nil {
		return err
	}
	return r.write(ctx, rec, v.rulesEntry)
}

// prepare waits until every bridge is attached to what its sessions want of the new places, and attaches the subscribers, which may be away.
func (r *rules) prepare(ctx context.Context, rec rulesRecord) error {
	if err := r.makeStreams(ctx, rec); err != nil {
		return err
	}
	if err := r.prepared(ctx, rec.Revision, phasePreparing); err != nil {
		return err
	}
	// Whoever opens a subscriber from now on attaches it to both.
	return r.log.subscribers.attachAll(ctx, &rec)
}

// prepared waits until every bridge has confirmed a phase, for a time.
func (r *rules) prepared(ctx context.Context, revision uint64, p phase) error {
	ctx, cancel := context.WithTimeout(ctx, preparePatience)
	defer cancel()
	return r.awaitAll(ctx, revision, p)
}

// makeStreams makes the new shared streams, parked.
func (r *rules) makeStreams(ctx context.Context, rec rulesRecord) error {
	before, after := sharedRules(rec.Former), sharedRules(rec.Policies)
	for name, policy := range after {
		if _, ok := before[name]; ok {
			continue
		}
		if err := r.makeParked(ctx, policy); err != nil {
			return fmt.Errorf("stream of the rule %q: %w", policy.Filter, err)
		}
	}
	return nil
}

// makeParked makes the stream of a shared rule where nobody can publish to it yet. One that is there takes no messages either: it was
// that of a former rule.
func (r *rules) makeParked(ctx context.Context, policy tenant.Policy) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	config := r.log.sharedStream(policy)
	config.Subjects = parked(config.Name)
	config.FirstSeq = uint64(time.Now().UnixMicro())
	err := ensureStream(ctx, r.log.link.js, config)
	if err == nil {
		err = r.log.park(ctx, config.Name)
	}
	return err
}

// cut parks every stream that loses topics or gets other subjects, and returns the last sequences of the shared ones.
func (r *rules) cut(ctx context.Context, rec rulesRecord) (map[string]uint64, error) {
	waiting, cancel := context.WithTimeout(ctx, holdPatience)
	err := r.awaitAll(waiting, rec.Revision, phaseMoving)
	cancel()
	if err != nil && waiting.Err() == nil {
		return nil, err
	}
	if err := r.parkTopics(ctx, rec); err != nil {
		return nil, err
	}
	last := make(map[string]uint64)
	for _, name := range rec.changedShared() {
		sequence, err := r.log.parkAndMark(ctx, naming.SharedStream(r.log.tenant, name))
		if err != nil {
			return nil, fmt.Errorf("stream of the rule %q: %w", name, err)
		}
		last[name] = sequence
	}
	return last, nil
}

// parkTopics parks the streams of the dedicated topics that move, and notes it in their entries. It waits for those that somebody is
// making or removing; whoever begins after this phase sees it.
func (r *rules) parkTopics(ctx context.Context, rec rulesRecord) error {
	g, parking := errgroup.WithContext(ctx)
	g.SetLimit(parkWidth)
	for _, t := range r.log.register.all() {
		if rec.stays(t.name) {
			continue
		}
		g.Go(func() error {
			if err := r.parkTopic(parking, t); err != nil {
				return fmt.Errorf("topic %q: %w", t.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (r *rules) parkTopic(ctx context.Context, t *Topic) error {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	for {
		there, err := r.log.there(ctx, t)
		if err != nil || !there {
			return err
		}
		e, _, _ := t.look()
		if !e.Live || e.Value.Moved {
			return nil
		}
		moved := e.Value.with(live)
		moved.Moved = true
		moved.Last, err = r.log.parkAndMark(ctx, naming.Stream(r.log.tenant, t.name, generation(e)))
		if err == nil {
			_, err = r.log.register.write(ctx, moved, e)
		}
		if !conflict(err) {
			return err
		}
		if err := r.log.register.settle(ctx); err != nil {
			return err
		}
	}
}

// parkAndMark takes the subjects of a stream away and returns the sequence of the last message that came by them: what was in line
// inside the stream is before the message that is sent here. A stream that is not there has none.
func (l *Log) parkAndMark(ctx context.Context, name string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := l.park(ctx, name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	last, err := publish(ctx, l.link.control, drainPrefix+name, positionRecord{Version: recordVersion}, sealTTL)
	if !hasCode(err, codeStoreFailed) {
		return last, err
	}
	stream, err := l.link.js.Stream(ctx, name) // it is full, and has refused it in its turn
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// open gives the shared streams their subjects. Where another stream still has some of them, of a bridge that was passed over, it is
// parked as it should have been.
func (r *rules) open(ctx context.Context, rec rulesRecord) error {
	after := sharedRules(rec.Policies)
	for _, name := range rec.changedShared() {
		policy, ok := after[name]
		if !ok {
			continue
		}
		err := r.openOne(ctx, policy)
		if hasCode(err, codeSubjectOverlap) {
			if err = r.parkOverlapping(ctx, r.log.sharedStream(policy)); err == nil {
				err = r.openOne(ctx, policy)
			}
		}
		if err != nil {
			return fmt.Errorf("stream of the rule %q: %w", policy.Filter, err)
		}
	}
	return nil
}

func (r *rules) openOne(ctx context.Context, policy tenant.Policy) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	want := r.log.sharedStream(policy)
	stream, err := r.log.link.js.Stream(ctx, want.Name)
	if errors.Is(err, natsjs.ErrStreamNotFound) { // an operator has deleted it
		if err = r.makeParked(ctx, policy); err == nil {
			stream, err = r.log.link.js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	if slices.Equal(have.Subjects, want.Subjects) {
		return nil
	}
	have.Subjects, have.MaxMsgSize, have.Metadata = want.Subjects, want.MaxMsgSize, want.Metadata
	_, err = r.log.link.js.UpdateStream(ctx, have)
	return err
}

// parkOverlapping parks the dedicated streams of the tenant that have subjects of a shared one.
func (r *rules) parkOverlapping(ctx context.Context, config natsjs.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	for _, subject := range config.Subjects {
		streams := r.log.link.js.ListStreams(ctx, natsjs.WithStreamListSubject(subject))
		for info := range streams.Info() {
			topic := info.Config.Metadata[metaTopic]
			if info.Config.Metadata[metaTenant] != r.log.tenant || topic == "" {
				continue
			}
			r.log.log.Info("a stream has the subject of a topic that has moved", zap.String("stream", info.Config.Name), zap.String("topic", topic))
			if _, err := r.log.parkAndMark(ctx, info.Config.Name); err != nil {
				return err
			}
		}
		if err := streams.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
			return err
		}
	}
	return nil
}
