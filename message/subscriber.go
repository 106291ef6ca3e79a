package message

import (
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// SubscriberRequest is what a native service asks of Weir, as JSON: a durable subscriber of its own for a topic filter, or, where the filter does not
// count, that it be removed. The name is any string of 1 to 128 bytes without control characters, and stands for one filter.
type SubscriberRequest struct {
	Name   string `json:"name"`
	Filter string `json:"filter"`
}

// SubscriberEnsureSubject is where a native service asks for its durable subscriber. When the answer comes, there is a consumer called
// ConsumerName(name) on every stream with topics that match, and there will be one on every such stream to come before anything is stored in it.
func SubscriberEnsureSubject(tenant string) string { return "weir.subscriber.ensure." + tenant }

// SubscriberRemoveSubject is where it asks that the subscriber be removed, with all its consumers.
func SubscriberRemoveSubject(tenant string) string { return "weir.subscriber.remove." + tenant }

// Consumer is the consumer of a durable subscriber on any stream of the tenant, but for where it starts. One message is under way at a time, so that a
// message that is not acknowledged comes again before those behind it.
func Consumer(tenant, topicFilter, durable string) natsjs.ConsumerConfig {
	return natsjs.ConsumerConfig{
		Durable:        ConsumerName(durable),
		FilterSubjects: FilterSubjects(tenant, topicFilter),
		AckPolicy:      natsjs.AckExplicitPolicy,
		AckWait:        ackWait,
		MaxAckPending:  1,
		MaxDeliver:     -1,
		Metadata:       SubscriberMetadata(topicFilter, durable),
	}
}

// SubscriberMetadata is what the consumers of a durable subscriber say of it.
func SubscriberMetadata(topicFilter, durable string) map[string]string {
	return map[string]string{MetaSubscriber: durable, metaSubscription: topicFilter}
}
