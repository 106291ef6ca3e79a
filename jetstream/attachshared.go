package jetstream

import (
	"context"
	"errors"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

const (
	// sharedWindow is how many messages of a shared stream may be on their way to the bridge: it is the window of all its devices
	// together.
	sharedWindow = 16_384
	// ownWindow is the same for the consumer of one session.
	ownWindow = 1024
	// maxFilterSubjects is how many subjects a consumer of one session has: the server compares each with each. Beyond it
	// the session sorts its messages out itself.
	maxFilterSubjects = 64
	// maxFiltersToCover is how many filters are reduced to that, which takes time quadratic in their number.
	maxFiltersToCover = 4 * maxFilterSubjects
)

// attachShared opens a consumer on the stream of a shared rule. The one for all sessions has no filter, so that it need not be changed when
// they come and go.
func (l *Log) attachShared(
	ctx context.Context, place tenant.Place, name string, from uint64, filters []string, sink reader.Sink,
) (*reader.Reader, error) {
	for missing := false; ; {
		stream := naming.SharedStream(l.tenant, place.Name)
		config := l.readerConfig(l.link.shardOf(l.tenant, stream), stream, name)
		switch s := l.sharedOf(place.Name); {
		case s == nil && missing:
			return nil, errNoRule
		case s == nil: // a former rule, whose stream has something left
		default:
			if err := l.awaitShared(ctx, s, missing); err != nil {
				return nil, err
			}
			config.Reattach = s.reattach
		}
		config.MaxWindow = sharedWindow
		if name != "" {
			config.MaxWindow = ownWindow
			config.Filters = l.coverSubjects(filters, l.sharedFilter(place.Name))
		}
		chooser, _ := sink.(reader.Chooser)
		config.Decode = (&decoder{log: l, chooser: chooser}).decode
		err := l.startAt(ctx, &config, from)
		var r *reader.Reader
		if err == nil {
			r, err = reader.Open(ctx, config, sink)
		}
		if missing = errors.Is(err, natsjs.ErrStreamNotFound); !missing {
			return r, err
		}
	}
}

// awaitShared returns when the stream of a shared rule may be there to attach to. missing says that it was not found.
func (l *Log) awaitShared(ctx context.Context, s *shared, missing bool) error {
	if !l.rules.attaching(s.name) {
		if err := s.ready(ctx, missing); !errors.Is(err, errMoved) {
			return err
		}
		return nil
	}
	if missing { // whoever moves the topics is about to make it
		return pause(ctx, parkedLook)
	}
	return nil
}

// reattach names the stream for a reader that lost its consumer, and makes it where there is none. What the stream of a rule that is gone
// still holds is delivered.
func (s *shared) reattach(ctx context.Context) (string, error) {
	if s.policy.Load() == nil {
		return s.stream, nil
	}
	return s.stream, s.ready(ctx, true)
}

// sharedFilter is the topic filter of a shared rule, empty where there is no such rule any more.
func (l *Log) sharedFilter(name string) string {
	if s := l.sharedOf(name); s != nil {
		if p := s.policy.Load(); p != nil {
			return p.Filter
		}
	}
	return ""
}

// coverSubjects returns subjects that match at least the topics of all filters, none of which overlaps another, as the server demands. It is nil where they
// would be too many, or cover the whole rule: the server takes long to find the next message for more than one wildcard.
func (l *Log) coverSubjects(filters []string, rule string) []string {
	if len(filters) > maxFiltersToCover {
		return nil
	}
	var subjects []string
	for _, f := range filter.Cover(filters) {
		if rule != "" && filter.Covers(f, rule) {
			return nil
		}
		subjects = append(subjects, message.FilterSubjects(l.tenant, f)...)
	}
	if len(subjects) > maxFilterSubjects {
		return nil
	}
	return subjects
}
