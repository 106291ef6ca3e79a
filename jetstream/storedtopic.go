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

// StoredTopic is what a stream holds of one topic.
type StoredTopic struct {
	Tenant, Topic string
	Stream        string // its name
	Kind          tenant.StreamKind
	// Shared is what the stream of a shared rule holds of all its topics; nil for a dedicated one.
	Shared *StoredShared
	// Draining says that new messages of the topic do not go to this stream any more.
	Draining  bool
	Created   time.Time // the stream
	Replicas  int
	Limits    StoredLimits
	Messages  uint64
	Bytes     uint64    // as JetStream counts them, with subject and headers; 0 of a shared rule, of which it counts them for the whole stream only
	Oldest    time.Time // when the oldest message was stored; zero: there is none
	Consumers []StoredConsumer
}

// StoredShared is what the stream of a shared rule holds.
type StoredShared struct {
	Topics   uint64 // that have messages
	Messages uint64
	Bytes    uint64
}

// StoredLimits are what JetStream enforces on a topic now; what the rule says is brought into force a little later.
type StoredLimits struct {
	WhenFull        tenant.WhenFull
	Keep            tenant.Keep
	BacklogBytes    int64         // or tenant.Unlimited; of a shared rule for all its topics together
	BacklogMessages int64         // or tenant.Unlimited
	TTL             time.Duration // 0: no matter how long
}

// ConsumerKind says whose a consumer is.
type ConsumerKind string

// The kinds of consumers.
const (
	BridgeShared    ConsumerKind = "bridge_shared"    // of all sessions of a bridge that keep up
	BridgeOwn       ConsumerKind = "bridge_own"       // of one session that has fallen behind the others of its bridge
	OfSubscriber    ConsumerKind = "subscriber"       // of a named subscriber, over WebSocket or native NATS, kept until that is removed
	NativeDurable   ConsumerKind = "native_durable"   // of a native service, kept until it is deleted
	NativeEphemeral ConsumerKind = "native_ephemeral" // of a native service, gone when that is
)

// StoredConsumer is who waits for messages of a topic.
type StoredConsumer struct {
	Name           string
	Kind           ConsumerKind
	Bridge         string    // of which bridge; empty: not a bridge's
	Subscriber     string    // of which named subscriber; empty: not one's
	Pending        uint64    // messages that were not delivered to it yet, of all topics that it is for
	Unacknowledged uint64    // delivered and not acknowledged, likewise
	Active         time.Time // the last delivery or acknowledgement; zero: none yet
	Lag            uint64    // messages of the topic that it has not acknowledged, delivered or not
	// HoldsOldest says that the oldest message of the topic is kept for this consumer, alone or with others.
	HoldsOldest bool
	// Unsure says that JetStream does not tell which of its messages are the topic's: Lag is what it can be at most, and it may hold the
	// oldest one or not.
	Unsure bool
}

// Lag is that of the consumer that is furthest behind. Unless it is exact, it is what it can be at most.
func (t StoredTopic) Lag() (lag uint64, exact bool) {
	var most uint64
	for _, c := range t.Consumers {
		most = max(most, c.Lag)
		if !c.Unsure {
			lag = max(lag, c.Lag)
		}
	}
	return most, lag == most
}

// storedTopic is what the stream of a dedicated topic says, consumers aside.
func storedTopic(s *natsjs.StreamInfo) StoredTopic {
	t := ofStream(s)
	t.Topic, t.Kind = s.Config.Metadata[metaTopic], tenant.StreamDedicated
	t.Draining = !slices.Contains(s.Config.Subjects, message.Subject(t.Tenant, t.Topic))
	t.Limits.BacklogMessages = unbounded(s.Config.MaxMsgs)
	t.Messages, t.Bytes = s.State.Msgs, s.State.Bytes
	if s.State.Msgs > 0 {
		t.Oldest = s.State.FirstTime
	}
	return t
}

// ofStream is what a stream says that holds for each of its topics.
func ofStream(s *natsjs.StreamInfo) StoredTopic {
	t := StoredTopic{
		Tenant:   s.Config.Metadata[metaTenant],
		Stream:   s.Config.Name,
		Created:  s.Created,
		Replicas: s.Config.Replicas,
		Limits: StoredLimits{
			WhenFull:     tenant.WhenFullReject,
			Keep:         tenant.KeepUntilConsumed,
			BacklogBytes: unbounded(s.Config.MaxBytes),
			TTL:          s.Config.MaxAge,
		},
	}
	if s.Config.Discard == natsjs.DiscardOld {
		t.Limits.WhenFull = tenant.WhenFullDiscardOldest
	}
	if s.Config.Retention == natsjs.LimitsPolicy {
		t.Limits.Keep = tenant.KeepUntilExpired
	}
	return t
}

// unbounded is the inverse of bounded.
func unbounded(limit int64) int64 {
	if limit <= 0 {
		return tenant.Unlimited
	}
	return limit
}

func storedConsumer(c *natsjs.ConsumerInfo, s *natsjs.StreamInfo) StoredConsumer {
	stored := StoredConsumer{
		Name:           c.Name,
		Kind:           NativeEphemeral,
		Pending:        c.NumPending,
		Unacknowledged: uint64(max(c.NumAckPending, 0)),
		Active:         later(c.Delivered.Last, c.AckFloor.Last),
	}
	if c.Config.Durable != "" {
		stored.Kind = NativeDurable
	}
	if bridge, ok := bridgeOf(c); ok {
		stored.Bridge, stored.Kind = bridge, BridgeOwn
		rest := strings.TrimPrefix(c.Name, consumerName(bridge, ""))
		if rest == "" || strings.HasPrefix(rest, "_r") { // reader.Config.Durable, and what follows once that name is spent
			stored.Kind = BridgeShared
		}
	}
	if name := c.Config.Metadata[message.MetaSubscriber]; name != "" && isSubscriber(c.Name) {
		stored.Subscriber, stored.Bridge, stored.Kind = name, "", OfSubscriber
	}
	stored.Lag = stored.Pending + stored.Unacknowledged
	stored.HoldsOldest = s.Config.Retention == natsjs.InterestPolicy && s.State.Msgs > 0 && stored.Lag > 0 &&
		c.AckFloor.Stream < s.State.FirstSeq
	return stored
}

// bridgeOf returns whose consumer it is, where it is a bridge's.
func bridgeOf(c *natsjs.ConsumerInfo) (string, bool) {
	rest, ok := strings.CutPrefix(c.Config.DeliverSubject, deliverPrefix)
	if !ok {
		return "", false
	}
	bridge, _, _ := strings.Cut(rest, ".")
	return bridge, ownedBy(bridge, c.Name)
}

// sortConsumers puts those first who are furthest behind.
func sortConsumers(all []StoredConsumer) {
	slices.SortFunc(all, func(a, b StoredConsumer) int {
		return cmp.Or(cmp.Compare(b.Lag, a.Lag), cmp.Compare(a.Name, b.Name))
	})
}

// later returns the later of two times that may be missing.
func later(a, b *time.Time) time.Time {
	var last time.Time
	for _, t := range []*time.Time{a, b} {
		if t != nil && t.After(last) {
			last = *t
		}
	}
	return last
}
