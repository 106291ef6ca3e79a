package jetstream

import (
	"context"
	"errors"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
)

// sealTTL removes the message that seals a stream, where the stream is opened again.
const sealTTL = time.Second

// park takes the topic's subject away from its stream: a publish that the stream has already received would have no answer
// if it were deleted, and whoever sent it would wait in vain. Whatever is sent from then on finds no stream.
func (l *Log) park(ctx context.Context, name string) error {
	stream, err := l.link.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	config.Subjects = parked(name)
	config.MaxMsgSize = unlimitedInteger // of the message that seals
	_, err = l.link.js.UpdateStream(ctx, config)
	return err
}

// seal parks a stream and reports whether nothing has been stored in it since last, and so nothing ever will be: what the stream had
// received before it was parked is in line before the message sent here, which is stored only directly after last. A stream that is
// not there is sealed. To undo it, reopen.
func (l *Log) seal(ctx context.Context, name string, last uint64) (bool, error) {
	err := l.park(ctx, name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, err = publish(ctx, l.link.control, drainPrefix+name, positionRecord{Version: recordVersion}, sealTTL, natsjs.WithExpectLastSequence(last))
	switch {
	case conflict(err):
		return false, nil
	case hasCode(err, codeStoreFailed): // comes after the sequence was compared: the backlog is too small for any message
		return true, nil
	}
	return err == nil, err
}

// reopen gives a stream that may be parked the topic's subject again, unless the topic has moved.
func (l *Log) reopen(ctx context.Context, rec topicRecord) error {
	if rec.Moved {
		return nil
	}
	stream, err := l.link.js.Stream(ctx, naming.Stream(l.tenant, rec.Topic, rec.Generation))
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.reopenStream(ctx, rec.Topic, rec.Generation, stream)
}

func (l *Log) reopenStream(ctx context.Context, topic string, generation uint64, stream natsjs.Stream) error {
	have, want := stream.CachedInfo().Config, l.dedicatedStream(topic, generation, l.policyOf(topic))
	if slices.Equal(have.Subjects, want.Subjects) {
		return nil
	}
	have.Subjects, have.MaxMsgSize = want.Subjects, want.MaxMsgSize
	_, err := l.link.js.UpdateStream(ctx, have)
	return err
}
