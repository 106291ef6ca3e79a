package jetstream

import (
	"context"
	"errors"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// attachMoved opens a consumer on what is left in the stream of a topic that has moved.
func (l *Log) attachMoved(ctx context.Context, a *attachment, t *Topic, name string, from uint64, sink reader.Sink) (*reader.Reader, error) {
	stream := t.stream()
	a.stays.Store(&stream)
	return l.openFormer(ctx, l.readerConfig(t.shard, stream, name), from, sink)
}

// adoptMoved opens the consumer that the creator of a topic has made for this bridge, where the topic has moved since.
func (l *Log) adoptMoved(ctx context.Context, a *attachment, t *Topic, stream string, generation uint64, sink reader.Sink) (*reader.Reader, error) {
	a.stays.Store(&stream)
	config := l.readerConfig(t.shard, stream, "")
	config.Adopt, config.Start, config.Deliver = true, reader.StartAll, adoptedDeliver(l.store.config.Bridge, stream)
	r, err := reader.Open(ctx, config, sink)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		err = errMoved // without the consumer nobody has kept it
	}
	if err == nil || errors.Is(err, errMoved) {
		t.take(generation)
	}
	return r, err
}

// attachFormer is attachMoved for a topic that may have another stream by now.
func (l *Log) attachFormer(ctx context.Context, stream, name string, from uint64, sink reader.Sink) (*reader.Reader, error) {
	return l.openFormer(ctx, l.readerConfig(l.link.shardOf(l.tenant, stream), stream, name), from, sink)
}

func (l *Log) openFormer(ctx context.Context, config reader.Config, from uint64, sink reader.Sink) (*reader.Reader, error) {
	if err := l.startAt(ctx, &config, from); err != nil {
		return nil, err
	}
	return reader.Open(ctx, config, sink)
}

// retireReaders lets the readers of a dedicated topic that has moved stay with its stream, and makes room for those of a stream of a later
// generation.
func (l *Log) retireReaders(topic, stream string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, a := range l.attachments {
		if key.place != tenant.Dedicated(topic) {
			continue
		}
		a.stays.Store(&stream)
		l.retire(a, stream)
	}
}

// retire makes room for a reader of a later stream. The caller holds mu.
func (l *Log) retire(a *attachment, stream string) {
	delete(l.attachments, a.key)
	a.key.place = tenant.Place{Name: stream}
	l.attachments[a.key] = a
}
