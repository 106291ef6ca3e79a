package jetstream

import (
	"cmp"
	"slices"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// extent is what the stream of a shared rule holds of one topic.
type extent struct {
	subject     string
	messages    uint64
	first, last uint64 // sequences; 0 where there is no message, or they were not asked for
	oldest      time.Time
}

// storedShared is what the stream of a shared rule says of one of its topics.
func storedShared(s *natsjs.StreamInfo, topic string, e extent, consumers []*natsjs.ConsumerInfo) StoredTopic {
	t := ofStream(s)
	t.Topic, t.Kind = topic, tenant.StreamShared
	t.Draining = slices.Equal(s.Config.Subjects, parked(s.Config.Name))
	t.Limits.BacklogMessages = unbounded(s.Config.MaxMsgsPerSubject)
	t.Messages, t.Oldest = e.messages, e.oldest
	t.Shared = &StoredShared{Topics: s.State.NumSubjects, Messages: s.State.Msgs, Bytes: s.State.Bytes}
	interest := s.Config.Retention == natsjs.InterestPolicy
	for _, c := range consumers {
		if receives(c, e.subject) {
			t.Consumers = append(t.Consumers, sharedConsumer(c, s, e, interest))
		}
	}
	if interest {
		onlyHolder(t.Consumers, e.messages)
	}
	sortConsumers(t.Consumers)
	return t
}

// sharedConsumer is storedConsumer for one topic of many: what the consumer has not acknowledged can be of others.
func sharedConsumer(c *natsjs.ConsumerInfo, s *natsjs.StreamInfo, e extent, interest bool) StoredConsumer {
	stored := storedConsumer(c, s)
	all := stored.Lag
	stored.Lag, stored.HoldsOldest = 0, false
	switch {
	case e.messages == 0, all == 0, e.last > 0 && c.AckFloor.Stream >= e.last:
	case c.Delivered.Stream < e.first:
		stored.Lag, stored.HoldsOldest = e.messages, interest
	case e.first > 0 && slices.Equal(filtersOf(c), []string{e.subject}):
		stored.Lag, stored.HoldsOldest = min(all, e.messages), interest && c.AckFloor.Stream < e.first
	default:
		stored.Lag, stored.Unsure = min(all, e.messages), true
	}
	return stored
}

// onlyHolder is sure of what is left where nobody but one consumer can be the reason that the messages are still there.
func onlyHolder(consumers []StoredConsumer, messages uint64) {
	var one *StoredConsumer
	for i := range consumers {
		if consumers[i].Lag == 0 {
			continue
		}
		if one != nil {
			return
		}
		one = &consumers[i]
	}
	if one != nil {
		one.Lag, one.HoldsOldest, one.Unsure = messages, true, false
	}
}

func filtersOf(c *natsjs.ConsumerInfo) []string {
	if c.Config.FilterSubject != "" {
		return []string{c.Config.FilterSubject}
	}
	return c.Config.FilterSubjects
}

// receives reports whether a consumer is for a subject.
func receives(c *natsjs.ConsumerInfo, subject string) bool {
	filters := filtersOf(c)
	return len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool { return matches(f, subject) })
}

// matches reports whether a filter of JetStream matches a subject.
func matches(filter, subject string) bool {
	for {
		want, moreWanted, wantsMore := strings.Cut(filter, ".")
		have, moreHad, hasMore := strings.Cut(subject, ".")
		switch {
		case want == ">":
			return true
		case want != "*" && want != have, wantsMore != hasMore:
			return false
		case !hasMore:
			return true
		}
		filter, subject = moreWanted, moreHad
	}
}

// sharedTopic is a topic of a shared stream that has messages.
type sharedTopic struct {
	topic, subject string
	messages       uint64
}

// fullest returns the topics that want accepts, those with most messages first, not more than limit of them, and how many are left out.
func fullest(tenantName string, subjects map[string]uint64, want func(topic string) bool, limit int) (topics []sharedTopic, omitted int) {
	for subject, n := range subjects {
		// What is no topic's was stored by a native service, and is delivered to nobody.
		if topic, ok := message.Topic(tenantName, subject); ok && want(topic) {
			topics = append(topics, sharedTopic{topic, subject, n})
		}
	}
	slices.SortFunc(topics, func(a, b sharedTopic) int {
		return cmp.Or(cmp.Compare(b.messages, a.messages), cmp.Compare(a.topic, b.topic))
	})
	if limit <= 0 || len(topics) <= limit {
		return topics, 0
	}
	return topics[:limit], len(topics) - limit
}
