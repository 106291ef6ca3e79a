package jetstream

import (
	"context"
	"errors"
	"reflect"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/tenant"
)

// tightenRetry is when a limit per topic that would cost stored messages is tried again.
const tightenRetry = time.Minute

// applyShared makes the streams of the shared rules, or brings them to what the rules say. waiting says that one keeps a former limit
// until its topics fit into the new one.
func (l *Log) applyShared(ctx context.Context) (waiting bool, err error) {
	var errs []error
	for _, s := range l.currentRouting().shared {
		if s == nil {
			continue
		}
		waits, err := s.apply(ctx)
		waiting = waiting || waits
		errs = append(errs, err)
	}
	return waiting, errors.Join(errs...)
}

// apply makes the stream, or brings it to what the rule says.
func (s *shared) apply(ctx context.Context) (waiting bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	release, err := s.hold(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	p := s.policy.Load()
	if p == nil {
		return false, nil
	}
	stream, err := s.open(ctx, *p)
	if err == nil {
		waiting, err = s.update(ctx, stream, *p)
	}
	if errors.Is(err, errMoved) {
		return false, nil // whoever moves the topics brings it to the rule, and this comes again when they have moved
	}
	return waiting, s.refusal(err, *p)
}

// update brings the stream to the rule, as far as that costs no message that the rule keeps. The caller holds work.
func (s *shared) update(ctx context.Context, stream natsjs.Stream, p tenant.Policy) (waiting bool, err error) {
	have := stream.CachedInfo().Config
	if err := s.log.roomFor(p, have.MaxBytes); err != nil {
		return false, err
	}
	want := updatedShared(have, s.log.sharedStream(p))
	if want.Discard == natsjs.DiscardNew && below(want.MaxMsgsPerSubject, have.MaxMsgsPerSubject) {
		return s.tighten(ctx, stream, want)
	}
	return false, s.set(ctx, have, want)
}

// updatedShared is updated for a shared stream.
func updatedShared(have, want natsjs.StreamConfig) natsjs.StreamConfig {
	changed := updated(have, want)
	changed.Subjects, changed.Metadata = want.Subjects, have.Metadata
	if have.Metadata[metaFilter] != want.Metadata[metaFilter] {
		changed.Metadata = want.Metadata
	}
	changed.MaxMsgsPerSubject, changed.DiscardNewPerSubject = want.MaxMsgsPerSubject, want.DiscardNewPerSubject
	return changed
}

// below reports whether a limit is smaller than another, as JetStream writes them.
func below(a, b int64) bool { return a > 0 && (b <= 0 || a < b) }

func (s *shared) set(ctx context.Context, have, want natsjs.StreamConfig) error {
	if reflect.DeepEqual(have, want) {
		return nil
	}
	_, err := s.log.link.js.UpdateStream(ctx, want)
	return err
}

// tighten lowers the limit per topic of a stream that refuses what is over it: JetStream would delete the oldest messages of a topic that
// has more, the one thing that an update of such a stream deletes. So that limit waits until every topic fits; everything else is
// in force at once. Between the look and the update nothing is stored, because the stream is parked.
func (s *shared) tighten(ctx context.Context, stream natsjs.Stream, want natsjs.StreamConfig) (waiting bool, err error) {
	have := stream.CachedInfo().Config
	loose := want
	loose.MaxMsgsPerSubject = have.MaxMsgsPerSubject
	loose.DiscardNewPerSubject = refusesPerTopic(loose)
	fullest, err := fullestTopic(ctx, stream)
	if err != nil {
		return false, err
	}
	if fullest <= uint64(want.MaxMsgsPerSubject) {
		closed := have
		closed.Subjects = parked(s.stream)
		if _, err := s.log.link.js.UpdateStream(ctx, closed); err != nil {
			return false, err
		}
		settled, err := s.drained(ctx)
		if err == nil {
			fullest, err = fullestTopic(ctx, stream)
		}
		if err == nil && settled && fullest <= uint64(want.MaxMsgsPerSubject) {
			if _, err = s.log.link.js.UpdateStream(ctx, want); err == nil {
				s.complaint = ""
				return false, nil
			}
		}
		_, opened := s.log.link.js.UpdateStream(ctx, loose)
		if err = errors.Join(err, opened); err != nil {
			return false, err
		}
	} else if err := s.set(ctx, have, loose); err != nil {
		return false, err
	}
	s.complain("a topic holds more messages than it may from now on: the former limit holds until none does",
		zap.Int64("backlog_messages", want.MaxMsgsPerSubject), zap.Int64("former", have.MaxMsgsPerSubject), zap.Uint64("held", fullest))
	return true, nil
}

// drained returns when everything that the parked stream had received before is stored or refused. It reports false where that cannot be
// told.
func (s *shared) drained(ctx context.Context) (bool, error) {
	_, err := publish(ctx, s.log.link.control, drainPrefix+s.stream, positionRecord{Version: recordVersion}, sealTTL)
	var api *natsjs.APIError
	if errors.As(err, &api) {
		// Refused in line with the others, unless there are replicas, which store later than they refuse.
		return s.log.store.config.Replicas == 1, nil
	}
	return err == nil, err
}

// fullestTopic counts the messages of the topic that has most.
func fullestTopic(ctx context.Context, stream natsjs.Stream) (uint64, error) {
	info, err := stream.Info(ctx, natsjs.WithSubjectFilter(">"))
	if err != nil {
		return 0, err
	}
	var most uint64
	for _, n := range info.State.Subjects {
		most = max(most, n)
	}
	return most, nil
}

// complain logs what is wrong with the rule's stream, once for each thing.
func (s *shared) complain(message string, fields ...zap.Field) {
	if s.complaint == message {
		return
	}
	s.complaint = message
	s.log.log.Warn(message, append([]zap.Field{zap.String("stream", s.stream)}, fields...)...)
}
