// Package quota answers limits with yes, or with no and a reason. Its checks are pure: they see the value
// and the tenant's limits, nothing else. Every refusal is a *reason.Error whose sentence names the limit
// and the value.
package quota

import (
	"fmt"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// MaxSubscriptions bounds the subscriptions of one session.
const MaxSubscriptions = 1000

// ClientID checks the length of a client identifier. Whether an empty one is allowed depends on the
// protocol version and is not checked here.
func ClientID(l tenant.Limits, id string) error {
	if len(id) > l.ClientIDBytes {
		return refuse(reason.ClientIDInvalid, "client identifier of %d bytes is over client_id_bytes %d", len(id), l.ClientIDBytes)
	}
	return nil
}

// Recipient checks the client identifier that a message is addressed to.
func Recipient(l tenant.Limits, id string) error {
	switch {
	case id == "":
		return refuse(reason.RecipientInvalid, "the message is addressed to an empty client identifier")
	case len(id) > l.ClientIDBytes:
		return refuse(reason.RecipientInvalid, "the message is addressed to a client identifier of %d bytes, over client_id_bytes %d", len(id), l.ClientIDBytes)
	}
	return nil
}

// Packet checks the size of a packet in bytes, fixed header included.
func Packet(l tenant.Limits, size int64) error {
	if size > l.MessageBytes {
		return refuse(reason.PacketTooLarge, "packet of %d bytes is over message_bytes %d", size, l.MessageBytes)
	}
	return nil
}

// Subscriptions checks how many subscriptions a session would have.
func Subscriptions(n int) error {
	if n > MaxSubscriptions {
		return refuse(reason.SubscriptionLimit, "%d subscriptions are over the maximum %d of a session", n, MaxSubscriptions)
	}
	return nil
}

// Inflight returns how many QoS 1 and 2 deliveries of a session may be unacknowledged: the smaller one of
// the client's Receive Maximum and the tenant's limit. A Receive Maximum of 0 is an absent one, no limit.
func Inflight(l tenant.Limits, receiveMaximum uint16) int {
	if receiveMaximum == 0 {
		return l.Inflight
	}
	return min(int(receiveMaximum), l.Inflight)
}

// Topic checks the name of a topic of the tenant that is published to, or subscribed to without wildcards:
// empty, reserved, length, levels, and length as a NATS subject. It allocates only to refuse.
func Topic[T string | []byte](l tenant.Limits, tenantName string, topic T) error {
	switch {
	case len(topic) == 0:
		return refuse(reason.TopicInvalid, "topic is empty")
	case topic[0] == '$':
		return refuse(reason.TopicReserved, "topics that start with $ are reserved")
	case len(topic) > l.TopicBytes:
		return refuse(reason.TopicInvalid, "topic of %d bytes is over topic_bytes %d", len(topic), l.TopicBytes)
	}
	levels, subject := 1, len(subjectPrefix)+len(tenantName)+len(".")
	start := 0 // of the current level
	for i := range len(topic) {
		switch c := topic[i]; {
		case c == '/':
			subject++
			if i == start {
				subject++
			}
			levels++
			start = i + 1
		case escaped(c):
			subject += len("%XX")
		default:
			subject++
		}
	}
	if start == len(topic) {
		subject++ // the last level is empty
	}
	switch {
	case levels > tenant.MaxTopicLevels:
		return refuse(reason.TopicInvalid, "topic of %d levels is over the maximum %d", levels, tenant.MaxTopicLevels)
	case subject > tenant.MaxSubjectBytes:
		return refuse(reason.TopicInvalid, "topic of %d bytes as a NATS subject is over the maximum %d", subject, tenant.MaxSubjectBytes)
	}
	return nil
}

const subjectPrefix = "mqtt."

// escaped reports whether a byte of a level is written as %XX in a subject.
func escaped(c byte) bool {
	switch c {
	case 0x7F, '.', '*', '>', '%':
		return true
	}
	return c <= 0x20
}

func refuse(r reason.Reason, format string, args ...any) error {
	return reason.New(r, fmt.Sprintf(format, args...))
}
