package reader

import (
	"context"
	"errors"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// errMoved: the topic moved to another stream while its consumer was being made.
var errMoved = errors.New("stream replaced meanwhile")

// remake makes the consumer again, at the first message not acknowledged, or at the beginning of the stream that has
// replaced the old one, and tells the sink what was lost.
func (r *Reader) remake(ctx context.Context) (name string, err error) {
	if name, err = r.home(ctx); err != nil {
		return "", err
	}
	r.mu.Lock()
	r.adrift = true // nothing counts before it is clear which stream it belongs to
	r.rename(r.cfg.Durable)
	before, from, durable := r.position, r.next(), r.durable
	r.mu.Unlock()
	stream, err := r.cfg.JetStream.Stream(ctx, name)
	if err != nil {
		return "", err
	}
	// Whatever has been delivered was stored before the state was asked for.
	state := stream.CachedInfo().State
	// A stream may have been made with sequences that go on where nobody has been.
	first := max(stream.CachedInfo().Config.FirstSeq, 1)
	anew := name != before.stream || state.LastSeq < before.high || first > before.high+1
	if anew {
		from = 1
	}
	if err := r.watch(name, durable); err != nil {
		return "", err
	}
	info, err := r.create(ctx, name, durable, natsjs.DeliverByStartSequencePolicy, from, true)
	if err != nil {
		r.doubt(ctx, name, durable, err)
		return "", err
	}
	if now, err := r.home(ctx); err != nil || now != name {
		return "", errors.Join(errMoved, err)
	}
	if err := r.clear(ctx, name); err != nil {
		return "", err
	}
	lost := before.pending
	switch {
	case !anew:
		lost, err = r.missing(ctx, &before, stream, info)
	case len(r.cfg.Filters) == 0:
		// What the new stream has had before the consumer was there, by the stream and, where that has replicas, by the one that the consumer
		// has looked at.
		var early uint64
		early, _, err = r.countGone(ctx, stream, first-1)
		lost += max(early, max(info.AckFloor.Stream+1, first)-first)
	}
	if err != nil {
		return "", err
	}
	r.settleDown(name, anew, lost)
	counted := "lost"
	if _, ok := r.sink.(Chooser); ok {
		counted = "lost_at_most" // it may have wanted none of them
	}
	r.cfg.Log.Warn("reader: consumer made again", zap.String("stream", name), zap.String("consumer", durable),
		zap.Uint64("from", from), zap.Uint64(counted, lost))
	return name, nil // with a reset to come: whatever arrived while adrift was dropped
}

// settleDown takes up the new place and tells the sink, in line with its deliveries.
func (r *Reader) settleDown(stream string, anew bool, lost uint64) {
	r.calls.Lock()
	defer r.calls.Unlock()
	r.mu.Lock()
	if anew {
		r.replaced(stream)
	}
	r.adrift, r.pending = false, 0
	closed := r.closed
	r.mu.Unlock()
	if lost > 0 && !closed {
		r.cfg.Metrics.lose(lost)
		r.sink.Lost(lost)
	}
}
