package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

const (
	// parkedPatience is how long a shared stream may take no messages before whoever needs it opens it: the bridge that has
	// parked it must be dead.
	parkedPatience = time.Second
	parkedLook     = 20 * time.Millisecond
	// deletionTime is how long a stream that somebody has deleted is not made again. The server does not find it any more, and tells
	// that it is gone, before it removes the stream's directory: one that is made by that name meanwhile loses its own.
	deletionTime = time.Second
)

// shared is a shared rule of the tenant: all its topics are in one stream, which every bridge makes and keeps as the rule says.
type shared struct {
	// immutable
	log    *Log
	name   string // of the rule
	stream string // name of the stream
	shard  *shard // over which it is read
	lines  []*sharedLine
	// work is held, as a slot, by whoever makes or changes the stream from this bridge.
	work chan struct{}

	// exists is set once the stream has been seen; what Lookup looks at.
	exists atomic.Bool
	policy atomic.Pointer[tenant.Policy] // nil: there is no such rule any more
	list   atomic.Pointer[topicList]     // nil: it may have as many topics as come

	// owned by who holds work
	complaint string    // what was logged last
	gone      time.Time // when the stream that had been there was not found any more
}

// sharedLine is the part of a shared rule's topics that one shard carries.
type sharedLine struct {
	line
	rule *shared
}

func newShared(l *Log, name string) *shared {
	s := &shared{log: l, name: name, stream: naming.SharedStream(l.tenant, name), work: make(chan struct{}, 1)}
	s.shard = l.link.shardOf(l.tenant, s.stream)
	for _, shard := range l.link.shards {
		of := &sharedLine{rule: s}
		of.line = line{log: l, shard: shard, target: of}
		s.lines = append(s.lines, of)
	}
	return s
}

// route is what the messages of one of the rule's topics are published through.
func (s *shared) route(topic string) *sharedLine {
	return s.lines[s.log.link.shardIndex(s.log.tenant, topic)]
}

// idle reports whether nothing is on its way to the stream, and nobody is about to change that. It waits for nobody: a line takes the log's mu after
// its own.
func (s *shared) idle() bool {
	for _, of := range s.lines {
		if !of.mu.TryLock() {
			return false
		}
		idle := of.mend == nil && of.queue.empty()
		of.mu.Unlock()
		if !idle {
			return false
		}
	}
	return true
}

// Publish stores m and answers to done, as Route says.
func (s *sharedLine) Publish(m *message.Message, done publisher.Done, token uint64) {
	subject := message.Subject(s.log.tenant, m.Topic)
	s.mu.Lock()
	s.publish(subject, m, done, token)
}

func (s *sharedLine) place() tenant.Place {
	return tenant.Place{Stream: tenant.StreamShared, Name: s.rule.name}
}

func (s *sharedLine) ensure(ctx context.Context) error {
	if err := s.log.rules.hasShared(ctx, s.rule.name); err != nil {
		return refusal(err, 0)
	}
	return s.rule.ensure(ctx, s.doubted)
}

func (s *sharedLine) rest() {}

// explain is of the whole rule where it is about bytes: JetStream counts them per stream.
func (s *sharedLine) explain(topic string, r publisher.Result) publisher.Result {
	return fullness{
		bytes:    "the topics of the rule %q together hold as many bytes as they may (its backlog_bytes)",
		messages: "the topic holds as many messages as its backlog may (backlog_messages of the rule %q)",
		whole:    "the message is larger than the whole backlog of the rule %q (its backlog_bytes)",
	}.explain(s.log, topic, r)
}

// hold takes the slot of who works on the stream, and returns what gives it back.
func (s *shared) hold(ctx context.Context) (release func(), err error) {
	select {
	case s.work <- struct{}{}:
		return func() { <-s.work }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ready returns once the stream exists. missing says that it was not found.
func (s *shared) ready(ctx context.Context, missing bool) error {
	if s.exists.Load() && !missing {
		return nil
	}
	return s.ensure(ctx, func() bool { return missing })
}

// ensure returns once the stream exists and takes messages, as far as this bridge knows unless somebody doubts it. Errors are
// *reason.Error.
func (s *shared) ensure(ctx context.Context, doubted func() bool) error {
	release, err := s.hold(ctx)
	if err != nil {
		return refusal(err, 0)
	}
	defer release()
	if !doubted() && s.exists.Load() {
		return nil
	}
	p := s.policy.Load()
	if p == nil {
		return refusal(errNoRule, 0)
	}
	_, err = s.open(ctx, *p)
	return s.refusal(err, *p)
}

// errNoRule: the rule was taken away, and topics of its stream have another place now.
var errNoRule = reason.New(reason.NATSUnavailable, "the topic rules have changed")

// refusal turns an error into what the client is told.
func (s *shared) refusal(err error, p tenant.Policy) error {
	switch {
	case err == nil:
		return nil
	case hasCode(err, codeSubjectOverlap):
		return &reason.Error{
			Reason: reason.NATSUnavailable, Err: err,
			Message: fmt.Sprintf("the stream of the rule %q cannot be made while other streams hold topics of it", p.Filter),
		}
	}
	return refusal(err, bounded(p.BacklogBytes))
}

// open returns the stream once it is there and takes messages. The caller holds work.
func (s *shared) open(ctx context.Context, p tenant.Policy) (natsjs.Stream, error) {
	for since := time.Now(); ; {
		if !s.log.rules.keeps(p) {
			return nil, refusal(errMoved, 0) // who moves the topics opens it
		}
		stream, err := s.log.link.js.Stream(ctx, s.stream)
		if errors.Is(err, natsjs.ErrStreamNotFound) {
			if s.exists.Swap(false) {
				s.gone = time.Now()
			}
			if wait := time.Until(s.gone.Add(deletionTime)); wait > 0 {
				if err := pause(ctx, wait); err != nil {
					return nil, err
				}
				continue
			}
			stream, err = s.create(ctx, p)
		}
		if hasCode(err, natsjs.JSErrCodeStreamNameInUse) {
			continue // another bridge was faster
		}
		if err != nil {
			return nil, err
		}
		have := stream.CachedInfo().Config
		if have.Metadata[metaTenant] != s.log.tenant || have.Metadata[metaFilter] == "" {
			return nil, reason.New(reason.InternalError, fmt.Sprintf("stream %s exists and is not that of the rule %q", s.stream, p.Filter))
		}
		switch {
		case !slices.Equal(have.Subjects, parked(s.stream)):
			s.exists.Store(true)
			return stream, nil
		case time.Since(since) > parkedPatience:
			have.Subjects = message.FilterSubjects(s.log.tenant, p.Filter)
			if _, err := s.log.link.js.UpdateStream(ctx, have); err != nil {
				return nil, err
			}
			continue
		}
		if err := pause(ctx, parkedLook); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// create makes the stream. Its sequences begin at the present time in microseconds, so that they do not repeat those of a stream of that
// name which somebody has deleted: whoever has come to a sequence knows what comes after it.
func (s *shared) create(ctx context.Context, p tenant.Policy) (natsjs.Stream, error) {
	if err := s.log.roomFor(p, 0); err != nil {
		return nil, err
	}
	config := s.log.sharedStream(p)
	config.FirstSeq = uint64(time.Now().UnixMicro())
	stream, err := s.log.link.js.CreateStream(ctx, config)
	if hasCode(err, codeStreamStore) { // seen while the account's last stream was being deleted
		stream, err = s.log.link.js.CreateStream(ctx, config)
	}
	if err == nil {
		s.log.log.Info("shared stream made", zap.String("stream", s.stream), zap.String("filter", p.Filter))
	}
	return stream, err
}

// roomFor refuses what a shared rule reserves beyond the tenant's storage_bytes. Rules come in order: a later one takes nothing from an
// earlier one. had is what its stream reserves already.
func (l *Log) roomFor(p tenant.Policy, had int64) error {
	terms := l.currentTerms()
	if terms.limits.StorageBytes == tenant.Unlimited || p.BacklogBytes <= had {
		return nil
	}
	others := l.register.sums().reserved + sharedBytes(terms.policies, p.Name)
	if left := terms.limits.StorageBytes - others; p.BacklogBytes > left {
		return reason.New(reason.StorageFull, fmt.Sprintf("the rule %q reserves %d bytes (backlog_bytes); the tenant's storage_bytes of %d has %d left",
			p.Filter, p.BacklogBytes, terms.limits.StorageBytes, max(left, 0)))
	}
	return nil
}

// sharedBytes is what shared rules reserve, up to the one of that name; of all with "".
func sharedBytes(policies tenant.Policies, before string) int64 {
	var sum int64
	for _, p := range policies {
		if p.Stream != tenant.StreamShared {
			continue
		}
		if p.Name == before {
			break
		}
		sum += p.BacklogBytes
	}
	return sum
}
