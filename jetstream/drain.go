package jetstream

import (
	"context"
	"errors"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/naming"
)

// How often somebody looks at what drains: at first, and at last.
const (
	drainLook    = time.Second
	maxDrainLook = time.Minute
)

// keepDraining deletes the streams that topics have moved away from once nobody needs them, until the store is closed. The bridge that has
// written the rules last does it, or any where that one does not live.
func (r *rules) keepDraining() {
	pause := maxDrainLook
	for {
		v := r.now.Load()
		timer := time.NewTimer(pause)
		select {
		case <-v.changed:
			pause = drainLook
		case <-timer.C:
			pause = min(2*pause, maxDrainLook)
		case <-r.log.store.ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
		if v = r.now.Load(); v.Value.Phase != phaseSettled {
			continue
		}
		if by := v.Value.Bridge; by != r.log.store.config.Bridge && r.log.store.lease.alive(by) {
			continue
		}
		draining, err := r.drain(r.log.store.ctx, &v.Value)
		if err != nil && r.log.store.ctx.Err() == nil {
			r.log.log.Info("streams of former rules not cleaned up", zap.Error(err))
		}
		if !draining {
			pause = maxDrainLook
		}
	}
}

// drain looks at every stream of the tenant that is parked, and reports whether one of them is still needed.
func (r *rules) drain(ctx context.Context, rec *rulesRecord) (draining bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	parkedStreams, err := r.log.parkedStreams(ctx)
	if err != nil {
		return true, err
	}
	if err := r.log.register.settle(ctx); err != nil {
		return true, err
	}
	if now := r.now.Load(); now.Value.Revision != rec.Revision || now.Value.Phase != phaseSettled {
		return true, nil // a shared rule may be about to get its stream back
	}
	var errs []error
	for _, info := range parkedStreams {
		done, err := r.drainOne(ctx, rec, info)
		draining = draining || !done
		errs = append(errs, err)
	}
	return draining, errors.Join(errs...)
}

// parkedStreams are those of the tenant that take no messages.
func (l *Log) parkedStreams(ctx context.Context) (all []*natsjs.StreamInfo, err error) {
	streams := l.link.js.ListStreams(ctx, natsjs.WithStreamListSubject(drainPrefix+"*"))
	for info := range streams.Info() {
		if info.Config.Metadata[metaTenant] == l.tenant && slices.Equal(info.Config.Subjects, parked(info.Config.Name)) {
			all = append(all, info)
		}
	}
	if err = streams.Err(); errors.Is(err, natsjs.ErrEndOfData) {
		err = nil
	}
	return all, err
}

// drainOne deletes a parked stream that nobody needs, and reports whether there is nothing more to be done about it.
func (r *rules) drainOne(ctx context.Context, rec *rulesRecord, info *natsjs.StreamInfo) (done bool, err error) {
	name, topic := info.Config.Name, info.Config.Metadata[metaTopic]
	used, err := r.log.isUsed(ctx, info)
	if err != nil {
		return false, err
	}
	if topic == "" {
		for rule := range sharedRules(rec.Policies) {
			if naming.SharedStream(r.log.tenant, rule) == name {
				return true, nil // somebody changes it
			}
		}
		if used || time.Since(info.Created) < parkedAge {
			return false, nil // or somebody is about to need it
		}
		return r.log.deleteStream(ctx, name)
	}
	g, ok := r.log.generationOf(name, topic)
	if !ok {
		return true, nil
	}
	if t := r.log.register.find(topic); t != nil {
		switch e, _, _ := t.look(); {
		case !e.Live || generation(e) != g:
		case !e.Value.Moved:
			return true, nil // being made, or being removed
		case used:
			return false, nil
		default:
			return r.log.removeIdle(ctx, t, 0)
		}
	}
	if info.State.LastSeq == 0 {
		return true, nil // it was never opened: deleteAllParked knows when it can go
	}
	if used {
		return false, nil
	}
	return r.log.deleteStream(ctx, name)
}

// isUsed reports whether a parked stream has messages, or consumers of somebody who may still look at it. Stored subscribers, which may be away,
// do not.
func (l *Log) isUsed(ctx context.Context, info *natsjs.StreamInfo) (bool, error) {
	if info.State.Msgs > 0 || info.State.Consumers == 0 {
		return info.State.Msgs > 0, nil
	}
	stream, err := l.link.js.Stream(ctx, info.Config.Name)
	if err != nil {
		return false, err
	}
	names, err := consumerNames(ctx, stream)
	return slices.ContainsFunc(names, func(name string) bool { return !isSubscriber(name) }), err
}

func (l *Log) deleteStream(ctx context.Context, name string) (done bool, err error) {
	err = l.link.js.DeleteStream(ctx, name)
	if err != nil && !errors.Is(err, natsjs.ErrStreamNotFound) {
		return false, err
	}
	l.log.Info("stream of a former rule deleted", zap.String("stream", name))
	return true, nil
}
