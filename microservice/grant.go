package microservice

import (
	"strings"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge/fanout"
	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// Grant is what a token lets whoever has it do.
type Grant struct {
	authn.Principal        // of the user who asked for the token
	Subscriber      string // name
	Subscription    string // topic or topic filter
	Shared          bool   // several connections may share what comes for the subscriber
	Volatile        bool   // nothing is kept for the subscriber while it has no connection
}

// View is where the messages of a subscriber come from.
type View struct {
	Hub *fanout.Hub
	Log fanout.Log
	// Release is called when the subscriber has left the hub. Nil where there is nothing to do.
	Release func()
}

// errorTopics is the filter that lets applications see the errors of the whole tenant.
const errorTopics = jetstream.OwnErrors + "/#"

// checkSubscription says why a subscription is refused, nil where it is not.
func checkSubscription(l tenant.Limits, tenantName, name string) error {
	if err := topicfilter.Check(name); err != nil {
		return reason.New(reason.TopicInvalid, "not a topic filter: "+err.Error())
	}
	switch {
	case strings.HasPrefix(name, "$share/"):
		return reason.New(reason.SharedUnsupported, "shared subscriptions are made by shared tokens")
	case name == errorTopics:
		return nil
	default:
		return quota.Topic(l, tenantName, name)
	}
}
