package jetstream

import (
	"context"
	"errors"
	"sync"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/reader"
)

// inviteWidth is how many consumers of one new topic are made at a time.
const inviteWidth = 16

// guests returns the bridges with a filter that matches a topic which this bridge is creating: of every filter that was in the
// register before the creating entry, as the own position is behind that. Bridges that do not live any more get nothing.
func (l *Log) guests(ctx context.Context, topic string) (bridges []string, err error) {
	for _, bridge := range l.filters.of(topic) {
		alive, err := l.store.lease.lives(ctx, bridge)
		if err != nil {
			return nil, err
		}
		if alive {
			bridges = append(bridges, bridge)
			continue
		}
		l.store.spawn(func() { l.endOrphans(bridge) })
	}
	return bridges, nil
}

// endOrphans ends the filters of a bridge after which nobody cleans up, as it has given its lease up itself.
func (l *Log) endOrphans(bridge string) {
	ctx, cancel := context.WithTimeout(l.store.ctx, mendTimeout)
	defer cancel()
	if l.store.lease.isKnown(bridge) {
		return // somebody does, or it comes back
	}
	if err := l.filters.endOf(ctx, bridge); err != nil {
		l.log.Info("filters of a bridge that is gone not withdrawn", zap.String("bridge", bridge), zap.Error(err))
	}
}

// invite makes the consumers of other bridges, and of this one, on the stream of a new topic. It returns those that have one to
// adopt. That of a bridge that lives is part of the topic: without it the creation fails.
func (l *Log) invite(ctx context.Context, stream string, bridges []string) (attached []string, err error) {
	var mu sync.Mutex
	g, inviting := errgroup.WithContext(ctx)
	g.SetLimit(inviteWidth)
	for _, bridge := range bridges {
		g.Go(func() error {
			err := l.prepare(inviting, stream, bridge)
			switch {
			case errors.Is(err, reader.ErrTaken):
				return nil // it reads the stream already, which is older than the topic's entry
			case err != nil:
				if alive, unknown := l.store.lease.lives(inviting, bridge); unknown == nil && !alive {
					return nil
				}
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			attached = append(attached, bridge)
			return nil
		})
	}
	return attached, g.Wait()
}

// inviteAll is invite for the subscribers too, each of which gets one.
func (l *Log) inviteAll(ctx context.Context, stream, topic string, bridges []string) (attached []string, err error) {
	if err := l.subscribers.invite(ctx, stream, topic); err != nil {
		return nil, err
	}
	return l.invite(ctx, stream, bridges)
}

func (l *Log) prepare(ctx context.Context, stream, bridge string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return reader.Prepare(ctx, reader.Config{
		JetStream: l.link.js, Stream: stream, Durable: consumerName(bridge, ""), Deliver: adoptedDeliver(bridge, stream),
		Start: reader.StartAll,
	})
}

// adoptedDeliver is the deliver subject of a consumer that is made for a bridge by somebody else. It is another one for each
// generation of a topic, so that a late delivery of an earlier one cannot be taken for one of the next.
func adoptedDeliver(bridge, stream string) string { return deliverPrefix + bridge + ".a." + stream }

// makeStream makes the stream of a topic whose entry says creating, and sets its generation and who is attached. Nobody can publish
// to it before the bridges that watch have their consumers: what is stored without one is dropped. A publisher that has not heard
// yet that the topic was away does not ask the register.
func (l *Log) makeStream(ctx context.Context, t *Topic, rec *topicRecord, config natsjs.StreamConfig) error {
	guests, err := l.guests(ctx, t.name)
	if err != nil {
		return err
	}
	open := config.Subjects
	wanted := len(guests) > 0 || len(l.subscribers.of(t.name)) > 0
	if wanted {
		config.Subjects = parked(config.Name)
	}
	if _, err = l.link.js.CreateStream(ctx, config); err == nil && wanted {
		if rec.Attached, err = l.inviteAll(ctx, config.Name, t.name, guests); err == nil {
			config.Subjects = open
			_, err = l.link.js.UpdateStream(ctx, config)
		}
		if errors.Is(err, natsjs.ErrStreamNotFound) {
			return errChanged // whoever took this bridge for dead has deleted it
		}
		if hasCode(err, codeSubjectOverlap) { // what is left after an error here, clean finds
			err = errors.Join(err, l.link.js.DeleteStream(ctx, config.Name))
		}
	}
	if !hasCode(err, codeSubjectOverlap, natsjs.JSErrCodeStreamNameInUse) {
		return err
	}
	if err = l.adopt(ctx, t, rec, config); err == nil {
		rec.Attached, err = l.inviteAll(ctx, naming.Stream(l.tenant, t.name, rec.Generation), t.name, guests)
	}
	return err
}
