package microservice

import (
	"strings"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// errorTopics are those of all clients of the tenant.
const errorTopics = jetstream.OwnErrors + "/#"

// checkSubscription says why an application may not subscribe to a topic or topic filter, as at SUBSCRIBE.
func checkSubscription(l tenant.Limits, name, subscription string) error {
	if err := filter.Check(subscription); err != nil {
		return reason.New(reason.TopicInvalid, "not a topic filter: "+err.Error())
	}
	switch {
	case strings.HasPrefix(subscription, "$share/"):
		return reason.New(reason.SharedUnsupported, "shared subscriptions are not served")
	case subscription == errorTopics:
		return nil
	}
	return quota.Topic(l, name, subscription)
}
