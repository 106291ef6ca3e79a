package bridge

import (
	"github.com/weirmq/weir/codec"
	topicfilter "github.com/weirmq/weir/filter"
)

// filter is one topic filter of a session with its options: what MQTT calls a subscription. Messages come through cursors, one
// per place, however many filters match topics there.
type filter struct {
	// immutable
	name  string
	wild  bool       // has wildcards, and matches topics other than its name
	alone [1]*filter // itself: the filters of the cursors that it alone matches

	// release tells that the topic is not subscribed to any more; set before the filter is one of the session's
	release func()

	// guarded by the connection's mu
	granted    codec.QoS // 0 or 1
	noLocal    bool
	identifier uint32 // MQTT 5's Subscription Identifier; 0: none
	live       bool   // its SUBACK is in the outbox: messages may flow
}

func newFilter(name string) *filter {
	f := &filter{name: name, wild: matchesMore(name), release: func() {}}
	f.alone[0] = f
	return f
}

// matchesMore tells whether a filter matches topics other than its name. The names of error topics may contain a "#" that is none.
func matchesMore(name string) bool { return name[0] != '$' && topicfilter.HasWildcards(name) }

// setOptions takes over the options of a SUBSCRIBE.
func (f *filter) setOptions(one codec.Subscription, identifier uint32) {
	f.granted, f.noLocal, f.identifier = granted(one.QoS), one.NoLocal, identifier
}

// granted is the QoS that a subscription gets which asks for q.
func granted(q codec.QoS) codec.QoS { return min(q, 1) }

func (f *filter) matches(topic string) bool {
	if !f.wild {
		return f.name == topic
	}
	return topicfilter.Match(f.name, topic)
}
