package jetstream

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

const (
	metaTenant = "weir.tenant"
	metaTopic  = "weir.topic"
	metaFilter = "weir.filter" // of the rule of a shared stream

	// maxConsumers replaces the server's default of 1,000 a stream, which many persistent sessions on one topic
	// would reach.
	maxConsumers = 100_000
	// duplicateWindow is the shortest that the server allows: no message carries an id.
	duplicateWindow = 100 * time.Millisecond

	errorAge         = 24 * time.Hour
	errorsPerClient  = 100
	errorsPerTenant  = 100_000
	unlimitedInteger = -1
)

// bounded turns a limit into what JetStream calls it.
func bounded(limit int64) int64 {
	if limit == tenant.Unlimited || limit <= 0 {
		return unlimitedInteger
	}
	return limit
}

// dedicatedStream is the stream of one dedicated topic.
func (l *Log) dedicatedStream(topic string, generation uint64, p tenant.Policy) natsjs.StreamConfig {
	subject := message.Subject(l.tenant, topic)
	return natsjs.StreamConfig{
		Name:         naming.Stream(l.tenant, topic, generation),
		Subjects:     []string{subject},
		Retention:    retention(p.Keep),
		Discard:      discard(p.WhenFull),
		MaxBytes:     bounded(p.BacklogBytes),
		MaxMsgs:      bounded(p.BacklogMessages),
		MaxMsgSize:   largestMessage(p.BacklogBytes, subject),
		MaxAge:       p.TTL,
		MaxConsumers: maxConsumers,
		Storage:      natsjs.FileStorage,
		Replicas:     l.store.config.Replicas,
		Duplicates:   duplicateWindow,
		AllowMsgTTL:  true,
		Metadata:     map[string]string{metaTenant: l.tenant, metaTopic: topic},
	}
}

// sharedStream is the stream of all topics of a shared rule. What is created has a first sequence besides.
func (l *Log) sharedStream(p tenant.Policy) natsjs.StreamConfig {
	c := natsjs.StreamConfig{
		Name:              naming.SharedStream(l.tenant, p.Name),
		Subjects:          message.FilterSubjects(l.tenant, p.Filter),
		Retention:         retention(p.Keep),
		Discard:           discard(p.WhenFull),
		MaxBytes:          bounded(p.BacklogBytes),
		MaxMsgs:           unlimitedInteger,
		MaxMsgsPerSubject: bounded(p.BacklogMessages),
		MaxMsgSize:        largestShared(p.BacklogBytes),
		MaxAge:            p.TTL,
		MaxConsumers:      maxConsumers,
		Storage:           natsjs.FileStorage,
		Replicas:          l.store.config.Replicas,
		Duplicates:        duplicateWindow,
		AllowMsgTTL:       true,
		Metadata:          map[string]string{metaTenant: l.tenant, metaFilter: p.Filter},
	}
	c.DiscardNewPerSubject = refusesPerTopic(c)
	return c
}

// refusesPerTopic says what a stream does when one of its topics has as many messages as it may. Where a stream that discards new ones has
// a limit per subject and not this flag, it discards the oldest of the topic, without a word.
func refusesPerTopic(c natsjs.StreamConfig) bool {
	return c.Discard == natsjs.DiscardNew && c.MaxMsgsPerSubject > 0
}

// retention is when the stream lets a message go that has not expired.
func retention(k tenant.Keep) natsjs.RetentionPolicy {
	if k == tenant.KeepUntilExpired {
		return natsjs.LimitsPolicy
	}
	return natsjs.InterestPolicy
}

// discard is which message the stream does without when it is full.
func discard(w tenant.WhenFull) natsjs.DiscardPolicy {
	if w == tenant.WhenFullDiscardOldest {
		return natsjs.DiscardOld
	}
	return natsjs.DiscardNew
}

// messageOverhead is what a message takes in a file beside its subject, headers and payload.
const messageOverhead = 34

// largestMessage is how large headers and payload may be together so that an empty backlog holds them. A stream that discards old
// messages would else confirm a larger one and discard everything it has, that one too.
func largestMessage(backlogBytes int64, subject string) int32 {
	if backlogBytes == tenant.Unlimited {
		return unlimitedInteger
	}
	return int32(min(max(backlogBytes-messageOverhead-int64(len(subject)), 1), math.MaxInt32))
}

// largestShared is largestMessage for a stream of many subjects, with room for the longest of them; a backlog that is not much larger than
// that keeps half of itself.
func largestShared(backlogBytes int64) int32 {
	return int32(min(max(backlogBytes-messageOverhead-min(tenant.MaxSubjectBytes, backlogBytes/2), 1), math.MaxInt32))
}

// lastPerSubject is a stream of records that bridges follow.
func (s *Store) lastPerSubject(name, subject string, metadata map[string]string) natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name:              name,
		Subjects:          []string{subject},
		Retention:         natsjs.LimitsPolicy,
		Discard:           natsjs.DiscardOld,
		MaxMsgsPerSubject: 1,
		MaxConsumers:      maxConsumers,
		Storage:           natsjs.FileStorage,
		Replicas:          s.config.Replicas,
		Duplicates:        duplicateWindow,
		AllowMsgTTL:       true,
		Metadata:          metadata,
	}
}

// registerStream holds the state of every topic.
func (l *Log) registerStream() natsjs.StreamConfig {
	return l.store.lastPerSubject(l.names.register, l.names.subject("register.>"), map[string]string{metaTenant: l.tenant})
}

// sessionStream holds the claims of client identifiers.
func (l *Log) sessionStream() natsjs.StreamConfig {
	return l.store.lastPerSubject(l.names.sessions, l.names.subject("sessions.>"), map[string]string{metaTenant: l.tenant})
}

// presenceStream holds one message per dedicated topic: as many as the topic quota.
func (l *Log) presenceStream(limits tenant.Limits) natsjs.StreamConfig {
	c := l.store.lastPerSubject(l.names.presence, l.names.subject("topics.*"), map[string]string{metaTenant: l.tenant})
	c.Discard = natsjs.DiscardNew
	c.MaxMsgs = bounded(limits.Topics)
	c.AllowMsgTTL = false
	return c
}

// listStream holds one message per topic of a shared rule: as many as the rule may have.
func (l *Log) listStream(rule string, limit int64) natsjs.StreamConfig {
	c := l.store.lastPerSubject(l.names.listStream(rule), l.names.listSubjects(rule), map[string]string{metaTenant: l.tenant})
	c.Discard = natsjs.DiscardNew
	c.MaxMsgs = bounded(limit)
	return c
}

// errorStream holds the error topics of the tenant's clients.
func (l *Log) errorStream() natsjs.StreamConfig {
	c := l.store.lastPerSubject(l.names.errors, l.names.errorSubjects(), map[string]string{metaTenant: l.tenant})
	c.MaxMsgsPerSubject = errorsPerClient
	c.MaxMsgs = errorsPerTenant
	c.MaxAge = errorAge
	c.AllowMsgTTL = false
	return c
}

// ensureStream creates an internal stream. One that exists already, made by another bridge or by another release, is used as it is, if it
// belongs to the same tenant.
func ensureStream(ctx context.Context, js natsjs.JetStream, config natsjs.StreamConfig) error {
	s, err := js.CreateStream(ctx, config)
	if hasCode(err, natsjs.JSErrCodeStreamNameInUse) {
		s, err = js.Stream(ctx, config.Name)
	}
	if err != nil {
		return err
	}
	if have := s.CachedInfo().Config.Metadata[metaTenant]; have != config.Metadata[metaTenant] {
		return fmt.Errorf("stream %s exists and is of tenant %q", config.Name, have)
	}
	return nil
}

// generationOf reads the generation from the name of a topic's stream.
func (l *Log) generationOf(stream, topic string) (uint64, bool) {
	prefix := strings.TrimSuffix(naming.Stream(l.tenant, topic, 0), "0")
	rest, ok := strings.CutPrefix(stream, prefix)
	if !ok {
		return 0, false
	}
	generation, err := strconv.ParseUint(rest, 10, 64)
	return generation, err == nil
}
