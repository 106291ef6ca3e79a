package jetstream

import (
	"context"
	"errors"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
)

// parkedAge is when a stream that was not opened is taken for left behind: longer than any creation takes.
const parkedAge = time.Minute

// parked are the subjects of a stream that takes no messages: it is being made, or about to go.
func parked(stream string) []string { return []string{drainPrefix + stream} }

// deleteParked deletes what a creator that died has left of a stream that was not open yet. One that was open is adopted.
func (l *Log) deleteParked(ctx context.Context, topic string, generation uint64) error {
	name := naming.Stream(l.tenant, topic, generation)
	stream, err := l.link.js.Stream(ctx, name)
	if err == nil && slices.Equal(stream.CachedInfo().Config.Subjects, parked(name)) {
		err = l.link.js.DeleteStream(ctx, name)
	}
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil
	}
	return err
}

// deleteAllParked deletes the streams that were never opened and that no entry of the register tells of, such as those of a creator
// whose request was carried out when nobody waited for it any more.
func (l *Log) deleteAllParked(ctx context.Context, age time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	var errs []error
	streams := l.link.js.ListStreams(ctx, natsjs.WithStreamListSubject(drainPrefix+"*"))
	for info := range streams.Info() {
		name, topic := info.Config.Name, info.Config.Metadata[metaTopic]
		if info.State.LastSeq > 0 || time.Since(info.Created) < age || info.Config.Metadata[metaTenant] != l.tenant ||
			!slices.Equal(info.Config.Subjects, parked(name)) {
			continue
		}
		g, ok := l.generationOf(name, topic)
		if !ok {
			continue
		}
		if err := l.register.settle(ctx); err != nil {
			errs = append(errs, err)
			continue
		}
		if t := l.register.find(topic); t != nil {
			if e, _, _ := t.look(); e.Live && generation(e) == g {
				continue // somebody is at work, or whoever needs it will be
			}
		}
		if err := l.link.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, natsjs.ErrStreamNotFound) {
			errs = append(errs, err)
		}
	}
	if err := streams.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
