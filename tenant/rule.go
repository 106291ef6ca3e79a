package tenant

import (
	"time"

	"github.com/weirmq/weir/filter"
)

// StreamKind says what holds the messages of a topic.
type StreamKind string

// The kinds of stream.
const (
	StreamDedicated StreamKind = "dedicated" // one stream per topic
	StreamShared    StreamKind = "shared"    // one stream for all topics of the rule
	StreamTransient StreamKind = "transient" // none, core NATS only
)

// WhenFull says what becomes of a message for which a backlog has no room.
type WhenFull string

// What happens when a backlog is full.
const (
	WhenFullReject        WhenFull = "reject"         // the publisher is refused
	WhenFullDiscardOldest WhenFull = "discard_oldest" // the oldest messages of the topic, or of a shared rule that has no bytes left, make room
)

// Keep says how long a message is stored.
type Keep string

// How long a message is stored. Neither outlasts the TTL.
const (
	KeepUntilConsumed Keep = "until_consumed" // until every subscriber that existed has acknowledged it
	KeepUntilExpired  Keep = "until_expired"  // until its TTL, whether there are subscribers or not
)

// Hold says what a subscription may do that does not acknowledge.
type Hold string

// What a subscription that does not acknowledge may do. Where messages are kept until they expire, it holds nothing for others, but
// HoldDiscardOldest still bounds how far it may fall behind.
const (
	HoldBlock         Hold = "block"          // hold its messages, until the backlog is full
	HoldDiscardOldest Hold = "discard_oldest" // hold hold_messages and hold_bytes; what is older passes it by
)

// Rule is one topic rule as it was given. An absent setting, "" or 0, is the default; of a number -1 is unlimited, and no other
// negative value is valid. Which defaults these are, Rules.Resolve says.
type Rule struct {
	// Filter is a topic filter. No filter matches topics that start with $: they are not subject to rules.
	Filter string     `json:"filter"`
	Stream StreamKind `json:"stream"`
	// Name of the stream, [a-z][a-z0-9-]{0,31}. A shared rule needs one of its own; no other has one.
	Name string `json:"name,omitempty"`
	// BacklogBytes is of each topic where streams are dedicated, and of the whole rule where they are shared: JetStream counts bytes
	// per stream.
	BacklogBytes    int64         `json:"backlog_bytes,omitempty"`
	BacklogMessages int64         `json:"backlog_messages,omitempty"` // per topic
	TTL             time.Duration `json:"ttl_ns,omitempty"`           // whole seconds
	WhenFull        WhenFull      `json:"when_full,omitempty"`
	Keep            Keep          `json:"keep,omitempty"`
	HoldWhenFull    Hold          `json:"hold_when_full,omitempty"`
	HoldMessages    int64         `json:"hold_messages,omitempty"` // per subscription
	HoldBytes       int64         `json:"hold_bytes,omitempty"`    // per subscription
	// Topics is how many topics a shared rule may have, by default as many as come. Dedicated topics have the quota of the tenant.
	Topics int64 `json:"topics,omitempty"`
}

// Rules are the topic rules of a tenant in order: the first match wins. What none of them matches is dedicated, as if {filter: "#",
// stream: dedicated} came last.
type Rules []Rule

// DefaultSharedBacklogMessages is how many messages each topic of a shared rule may have where neither the rule nor the tenant's quota
// says. Dedicated topics have no such default: they do not share their bytes with others.
const DefaultSharedBacklogMessages = 5000

// Policy is what a rule means for its topics: the rule with the defaults applied.
type Policy struct {
	Filter string
	Stream StreamKind
	Name   string // of a shared rule

	// The following are zero for transient topics, which store nothing.

	BacklogBytes    int64 // per dedicated topic, or Unlimited; of a shared rule as a whole, never Unlimited
	BacklogMessages int64 // per topic, or Unlimited
	// TTL is how long a stored message lives; 0: no matter how long, as MaxAge 0 of a stream.
	TTL          time.Duration
	WhenFull     WhenFull
	Keep         Keep
	HoldWhenFull Hold
	HoldMessages int64 // per subscription, or Unlimited; always Unlimited with HoldBlock
	HoldBytes    int64 // per subscription, or Unlimited; always Unlimited with HoldBlock
	Topics       int64 // of a shared rule, or Unlimited; always Unlimited of dedicated ones
}

// Policies are the policies of a tenant in the order of its rules. The last one matches every topic.
type Policies []Policy

// Resolve applies the defaults to valid rules and appends the implied one, unless it is there. The backlogs, the TTL and the holds are by default
// those of the quotas, with two exceptions: DefaultSharedBacklogMessages, and that a hold is no more than seven eighths of a backlog that it could fill. The other defaults are when_full: reject, keep: until_consumed and
// hold_when_full: block.
//
// The bytes of a shared rule are for all its topics together, 25 MiB if the quotas do not say otherwise. Messages per topic keep one
// topic from taking them all.
func (r Rules) Resolve(q Quotas) Policies {
	limits := q.Resolve()
	p := make(Policies, 0, len(r)+1)
	for _, rule := range r {
		p = append(p, rule.resolve(q, limits))
	}
	if n := len(r); n == 0 || !filter.Covers(r[n-1].Filter, everything) {
		p = append(p, Rule{Filter: everything, Stream: StreamDedicated}.resolve(q, limits))
	}
	return p
}

// everything is the filter of the implied rule.
const everything = "#"

func (r Rule) resolve(q Quotas, limits Limits) Policy {
	p := Policy{Filter: r.Filter, Stream: r.Stream}
	if r.Stream == StreamTransient {
		return p
	}
	p.Name = r.Name
	p.BacklogBytes = chosen(r.BacklogBytes, limits.BacklogBytes)
	p.BacklogMessages = limits.BacklogMessages
	if r.Stream == StreamShared && q.BacklogMessages == 0 {
		p.BacklogMessages = DefaultSharedBacklogMessages
	}
	p.BacklogMessages = chosen(r.BacklogMessages, p.BacklogMessages)
	p.TTL = limits.TTL
	if r.TTL != 0 {
		p.TTL = max(r.TTL, 0)
	}
	p.WhenFull = chosenWord(r.WhenFull, WhenFullReject)
	p.Keep = chosenWord(r.Keep, KeepUntilConsumed)
	p.HoldWhenFull = chosenWord(r.HoldWhenFull, HoldBlock)
	p.HoldMessages, p.HoldBytes = Unlimited, Unlimited
	if p.HoldWhenFull == HoldDiscardOldest {
		p.HoldMessages = chosen(r.HoldMessages, p.below(limits.HoldMessages, p.BacklogMessages))
		p.HoldBytes = chosen(r.HoldBytes, p.below(limits.HoldBytes, p.BacklogBytes))
	}
	p.Topics = chosen(r.Topics, Unlimited)
	return p
}

// below is a quota of what one subscription may hold, lowered where it would fill the backlog and have publishers refused before anything is
// let go.
func (p *Policy) below(hold, backlog int64) int64 {
	if backlog == Unlimited || p.WhenFull != WhenFullReject || p.Keep != KeepUntilConsumed {
		return hold
	}
	return min(hold, max(backlog-backlog/8, 1))
}

// chosen is a limit as it was given, or the default.
func chosen(given, standard int64) int64 {
	switch {
	case given == 0:
		return standard
	case given < 0:
		return Unlimited
	}
	return given
}

func chosenWord[T ~string](given, standard T) T {
	if given == "" {
		return standard
	}
	return given
}

// Match returns the first policy that matches a valid topic name, and its index. A topic that starts with $ has none: -1 and nil. The policy is
// part of the list and not to be modified.
func (p Policies) Match(topic string) (int, *Policy) {
	for i := range p {
		if filter.Match(p[i].Filter, topic) {
			return i, &p[i]
		}
	}
	return -1, nil
}
