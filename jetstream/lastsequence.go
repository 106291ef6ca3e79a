package jetstream

import (
	"context"
	"errors"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/tenant"
)

// LastSequence returns the sequence of the newest message that was stored at a place, 0 where the place has no stream.
// Before the first one it is that of the message before, 0 but for a shared stream. Errors are *reason.Error: nats_unavailable.
func (l *Log) LastSequence(ctx context.Context, place tenant.Place) (uint64, error) {
	var name string
	switch place.Stream {
	case tenant.StreamShared:
		name = naming.SharedStream(l.tenant, place.Name)
	case tenant.StreamDedicated:
		name = l.register.topic(place.Name).stream()
	case tenant.StreamTransient:
	}
	if name == "" {
		return 0, nil
	}
	stream, err := l.link.js.Stream(ctx, name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, refusal(err, 0)
	}
	return stream.CachedInfo().State.LastSeq, nil
}
