package topics

import (
	"strings"
	"time"

	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

// The objects that --json prints. Their names stay. Of every limit -1 is unlimited, as in the tenants file; a time that there is not
// is null.

// row is a topic in ls.
type row struct {
	Tenant     string            `json:"tenant"`
	Topic      string            `json:"topic"`
	Rule       string            `json:"rule"` // its filter; empty where the tenant is not known
	StreamKind tenant.StreamKind `json:"stream_kind"`
	Stream     string            `json:"stream"`
	Draining   bool              `json:"draining"`
	Messages   uint64            `json:"messages"`
	Bytes      *uint64           `json:"bytes"` // null for a topic of a shared rule: JetStream counts the bytes of the whole stream
	Oldest     *time.Time        `json:"oldest"`
	Consumers  int               `json:"consumers"`
	Lag        uint64            `json:"lag"`
	LagExact   bool              `json:"lag_exact"` // else the lag is what it can be at most
}

// details are a topic in show.
type details struct {
	row
	Created  time.Time  `json:"created"`
	Replicas int        `json:"replicas"`
	Limits   limits     `json:"limits"` // in force
	Policy   *policy    `json:"policy"` // what the rule says; null where the tenant is not known
	Shared   *shared    `json:"shared"` // null for a dedicated topic
	Details  []consumer `json:"consumer_details"`
}

// shared is what the stream of a shared rule holds of all its topics.
type shared struct {
	Topics   uint64 `json:"topics"` // that have messages
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

type limits struct {
	WhenFull        tenant.WhenFull `json:"when_full"`
	Keep            tenant.Keep     `json:"keep"`
	BacklogBytes    int64           `json:"backlog_bytes"`
	BacklogMessages int64           `json:"backlog_messages"`
	TTLSeconds      int64           `json:"ttl_seconds"`
}

type policy struct {
	Filter string            `json:"filter"`
	Stream tenant.StreamKind `json:"stream"`
	limits
	HoldWhenFull tenant.Hold `json:"hold_when_full"`
	HoldMessages int64       `json:"hold_messages"`
	HoldBytes    int64       `json:"hold_bytes"`
	Topics       int64       `json:"topics"` // of a shared rule
}

type consumer struct {
	Name           string                 `json:"name"`
	Kind           jetstream.ConsumerKind `json:"kind"`
	Bridge         string                 `json:"bridge"`
	Subscriber     string                 `json:"subscriber,omitempty"`
	Pending        uint64                 `json:"pending"`        // of all topics that the consumer is for
	Unacknowledged uint64                 `json:"unacknowledged"` // likewise
	Lag            uint64                 `json:"lag"`            // of this topic
	LagExact       bool                   `json:"lag_exact"`
	LastActive     *time.Time             `json:"last_active"`
	HoldsOldest    *bool                  `json:"holds_oldest"` // null where it cannot be told
}

// purged is what purge has done.
type purged struct {
	Tenant string `json:"tenant"`
	Topic  string `json:"topic"`
	Stream string `json:"stream"`
	Purged uint64 `json:"purged"`
}

func newRow(i *jetstream.Inspector, t jetstream.StoredTopic) row {
	p, _ := i.Policy(t.Tenant, t.Topic)
	r := row{
		Tenant: t.Tenant, Topic: t.Topic, Rule: p.Filter,
		StreamKind: t.Kind, Stream: t.Stream, Draining: t.Draining,
		Messages: t.Messages, Oldest: moment(t.Oldest),
		Consumers: len(t.Consumers),
	}
	if t.Shared == nil {
		r.Bytes = &t.Bytes
	}
	r.Lag, r.LagExact = t.Lag()
	return r
}

func newDetails(i *jetstream.Inspector, t jetstream.StoredTopic) details {
	d := details{
		row: newRow(i, t), Created: t.Created.UTC(), Replicas: t.Replicas,
		Limits: limits{
			WhenFull: t.Limits.WhenFull, Keep: t.Limits.Keep,
			BacklogBytes: limit(t.Limits.BacklogBytes), BacklogMessages: limit(t.Limits.BacklogMessages), TTLSeconds: seconds(t.Limits.TTL),
		},
		Details: make([]consumer, 0, len(t.Consumers)),
	}
	if p, ok := i.Policy(t.Tenant, t.Topic); ok {
		d.Policy = &policy{
			Filter: p.Filter, Stream: p.Stream,
			limits: limits{
				WhenFull: p.WhenFull, Keep: p.Keep,
				BacklogBytes: limit(p.BacklogBytes), BacklogMessages: limit(p.BacklogMessages), TTLSeconds: seconds(p.TTL),
			},
			HoldWhenFull: p.HoldWhenFull, HoldMessages: limit(p.HoldMessages), HoldBytes: limit(p.HoldBytes), Topics: limit(p.Topics),
		}
	}
	if t.Shared != nil {
		d.Shared = &shared{Topics: t.Shared.Topics, Messages: t.Shared.Messages, Bytes: t.Shared.Bytes}
	}
	for _, c := range t.Consumers {
		one := consumer{
			Name: c.Name, Kind: c.Kind, Bridge: c.Bridge, Subscriber: c.Subscriber, Pending: c.Pending, Unacknowledged: c.Unacknowledged,
			Lag: c.Lag, LagExact: !c.Unsure, LastActive: moment(c.Active),
		}
		if !c.Unsure {
			one.HoldsOldest = &c.HoldsOldest
		}
		d.Details = append(d.Details, one)
	}
	return d
}

// streamText is the kind of the stream and what tells its name from others: of MQTT_acme_t_<32 digits>_7 the first 8 digits and the 7, of
// MQTT_acme_s_telemetry the name of the rule.
func (r row) streamText() string {
	short := strings.TrimPrefix(strings.TrimPrefix(r.Stream, "MQTT_"+r.Tenant+"_t_"), "MQTT_"+r.Tenant+"_s_")
	if hash, generation, ok := strings.Cut(short, "_"); ok && len(hash) > 8 {
		short = hash[:8] + "_" + generation
	}
	text := string(r.StreamKind) + " " + printable(short)
	if r.Draining {
		text += ", draining"
	}
	return text
}

func limit(n int64) int64 {
	if n == tenant.Unlimited {
		return -1
	}
	return n
}

func seconds(ttl time.Duration) int64 {
	if ttl == 0 {
		return -1
	}
	return int64(ttl / time.Second)
}

// moment is a time in JSON; nil for the zero one.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
