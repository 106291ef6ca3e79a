package jetstream

import (
	"context"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// attachMoved opens a consumer on what is left in the stream of a topic that has moved.
func (l *Log) attachMoved(ctx context.Context, a *attachment, t *Topic, from uint64, sink reader.Sink) (*reader.Reader, error) {
	stream := t.stream()
	a.stays.Store(&stream)
	return l.openFormer(ctx, l.readerConfig(t.shard, stream, a.key.name), from, sink)
}

// attachFormer is attachMoved for a topic that may have another stream by now.
func (l *Log) attachFormer(ctx context.Context, a *attachment, from uint64, sink reader.Sink) (*reader.Reader, error) {
	stream := a.key.place.Name
	return l.openFormer(ctx, l.readerConfig(l.link.shardOf(l.tenant, stream), stream, a.key.name), from, sink)
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
		delete(l.attachments, key)
		a.key.place = tenant.Place{Name: stream}
		l.attachments[a.key] = a
	}
}
