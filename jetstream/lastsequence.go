package jetstream

import (
	"context"
	"errors"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// LastSequence returns the sequence of the newest message that was stored on the topic, 0 where there was none or
// the topic has no stream. Errors are *reason.Error: nats_unavailable.
func (l *Log) LastSequence(ctx context.Context, topic string) (uint64, error) {
	name := l.register.topic(topic).stream()
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
