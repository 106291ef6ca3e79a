package jetstream

import (
	"context"

	"github.com/weirmq/weir/jetstream/message"
	"github.com/weirmq/weir/jetstream/publisher"
)

// transient is what the messages of transient topics are published through, of one tenant and over one shard. Nothing is stored, so
// there is nothing to make or to know of a single topic.
type transient struct {
	// immutable
	log   *Log
	shard *shard
}

var _ Route = (*transient)(nil)

func newTransients(l *Log) []*transient {
	all := make([]*transient, 0, len(l.link.shards))
	for _, s := range l.link.shards {
		all = append(all, &transient{log: l, shard: s})
	}
	return all
}

// Publish hands m to whoever listens to its topic, and answers Stored to done when NATS has it; for the rest as Route says.
func (t *transient) Publish(m *message.Message, done publisher.Done, token uint64) {
	t.shard.publisher.PublishCore(t.log.tenant, m, done, token)
}

// Wait returns once the shard has room for one more publish.
func (t *transient) Wait(ctx context.Context) error { return t.shard.publisher.Wait(ctx) }

// transientRoute is what a transient topic's messages are published through: always over the same connection, so that their order holds.
func (l *Log) transientRoute(topic string) *transient {
	return l.transients[l.link.shardIndex(l.tenant, topic)]
}
