package tenant

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// The hard maxima. No quota lifts them.
const (
	MaxTopicBytes    = 1024
	MaxTopicLevels   = 64
	MaxSubjectBytes  = 2048 // of a topic encoded as a NATS subject, prefix included
	MaxClientIDBytes = 256
	MaxInflight      = 65535 // packet identifiers are 16 bits
	// MaxMessageBytes is the largest MQTT packet there is: a fixed header of 5 bytes and the largest
	// remaining length.
	MaxMessageBytes = 5 + 268_435_455
)

// Unlimited is how a limit without bound appears in Limits.
const Unlimited = math.MaxInt64

// maxKeepAlive is the longest keep alive that the protocol can say.
const maxKeepAlive = 65535 * time.Second

// Quotas are a tenant's quotas as they were given. In every field 0 is the default and -1 is unlimited, up
// to the hard maxima; no other negative value is valid.
type Quotas struct {
	Connections     int64         `json:"connections,omitempty"`
	Topics          int64         `json:"topics,omitempty"`        // dedicated topics
	MessageBytes    int64         `json:"message_bytes,omitempty"` // MQTT packet, header and body
	ClientIDBytes   int64         `json:"client_id_bytes,omitempty"`
	TopicBytes      int64         `json:"topic_bytes,omitempty"`
	BacklogBytes    int64         `json:"backlog_bytes,omitempty"`    // per dedicated topic
	BacklogMessages int64         `json:"backlog_messages,omitempty"` // per topic
	TTL             time.Duration `json:"ttl_ns,omitempty"`           // whole seconds
	Inflight        int64         `json:"inflight,omitempty"`         // QoS 1/2 deliveries unacknowledged per session
	StorageBytes    int64         `json:"storage_bytes,omitempty"`    // sum of what the tenant's streams reserve
	HoldMessages    int64         `json:"hold_messages,omitempty"`    // per subscription
	HoldBytes       int64         `json:"hold_bytes,omitempty"`       // per subscription
	KeepAliveMax    time.Duration `json:"keep_alive_max_ns,omitempty"`
	SubscriberIdle  time.Duration `json:"subscriber_idle_ns,omitempty"` // whole seconds
}

// Limits are quotas with defaults and hard maxima applied.
type Limits struct {
	Connections     int64 // or Unlimited
	Topics          int64 // or Unlimited
	MessageBytes    int64 // at most MaxMessageBytes
	ClientIDBytes   int   // at most MaxClientIDBytes
	TopicBytes      int   // at most MaxTopicBytes
	BacklogBytes    int64 // or Unlimited
	BacklogMessages int64 // or Unlimited
	// TTL is how long a stored message lives; 0: until it is consumed, as MaxAge 0 of a stream.
	TTL          time.Duration
	Inflight     int   // at most MaxInflight
	StorageBytes int64 // or Unlimited
	HoldMessages int64 // or Unlimited
	HoldBytes    int64 // or Unlimited
	// KeepAliveMax is the longest keep alive a client may ask for, whole seconds; 0: whatever it asks for.
	KeepAliveMax time.Duration
	// SubscriberIdle is when a named subscriber that nobody uses is removed, with what is kept for it; Unlimited: never.
	SubscriberIdle time.Duration
}

// Resolve applies the defaults and the hard maxima.
func (q Quotas) Resolve() Limits {
	r := q
	for _, k := range quotaKeys {
		v := k.field(&r)
		switch {
		case *v == 0:
			*v = k.standard
		case *v < 0:
			*v = k.max
		}
		*v = min(*v, k.max)
	}
	l := Limits{
		Connections:     r.Connections,
		Topics:          r.Topics,
		MessageBytes:    r.MessageBytes,
		ClientIDBytes:   int(r.ClientIDBytes),
		TopicBytes:      int(r.TopicBytes),
		BacklogBytes:    r.BacklogBytes,
		BacklogMessages: r.BacklogMessages,
		TTL:             r.TTL,
		Inflight:        int(r.Inflight),
		StorageBytes:    r.StorageBytes,
		HoldMessages:    r.HoldMessages,
		HoldBytes:       r.HoldBytes,
		KeepAliveMax:    r.KeepAliveMax,
		SubscriberIdle:  r.SubscriberIdle,
	}
	if l.TTL == Unlimited {
		l.TTL = 0
	}
	// A keep alive as long as the protocol can say is no limit, except on the clients that ask for none.
	if q.KeepAliveMax <= 0 {
		l.KeepAliveMax = 0
	}
	return l
}

// numberKey is one key of quotas, or of a rule, whose value is a number or a duration.
type numberKey[T Quotas | Rule] struct {
	name     string
	field    func(*T) *int64
	standard int64 // for 0, of quotas
	max      int64 // for -1, and the largest valid value
	// duration says that the value is written as a Go duration, and is a whole number of seconds.
	duration bool
	// seconds says that a plain number is taken for seconds, as MQTT counts them.
	seconds bool
}

var quotaKeys = []numberKey[Quotas]{
	{name: "connections", field: func(q *Quotas) *int64 { return &q.Connections }, standard: 1000, max: Unlimited},
	{name: "topics", field: func(q *Quotas) *int64 { return &q.Topics }, standard: 1000, max: Unlimited},
	{name: "message_bytes", field: func(q *Quotas) *int64 { return &q.MessageBytes }, standard: 128 << 10, max: MaxMessageBytes},
	{name: "client_id_bytes", field: func(q *Quotas) *int64 { return &q.ClientIDBytes }, standard: 128, max: MaxClientIDBytes},
	{name: "topic_bytes", field: func(q *Quotas) *int64 { return &q.TopicBytes }, standard: 256, max: MaxTopicBytes},
	{name: "backlog_bytes", field: func(q *Quotas) *int64 { return &q.BacklogBytes }, standard: 25 << 20, max: Unlimited},
	{name: "backlog_messages", field: func(q *Quotas) *int64 { return &q.BacklogMessages }, standard: Unlimited, max: Unlimited},
	{
		name: "ttl", field: func(q *Quotas) *int64 { return (*int64)(&q.TTL) }, standard: int64(36 * time.Hour), max: Unlimited,
		duration: true,
	},
	{name: "inflight", field: func(q *Quotas) *int64 { return &q.Inflight }, standard: 100, max: MaxInflight},
	{name: "storage_bytes", field: func(q *Quotas) *int64 { return &q.StorageBytes }, standard: Unlimited, max: Unlimited},
	{name: "hold_messages", field: func(q *Quotas) *int64 { return &q.HoldMessages }, standard: 5000, max: Unlimited},
	{name: "hold_bytes", field: func(q *Quotas) *int64 { return &q.HoldBytes }, standard: 8 << 20, max: Unlimited},
	{
		name: "keep_alive_max", field: func(q *Quotas) *int64 { return (*int64)(&q.KeepAliveMax) }, standard: int64(maxKeepAlive), max: int64(maxKeepAlive),
		duration: true, seconds: true,
	},
	{
		name: "subscriber_idle", field: func(q *Quotas) *int64 { return (*int64)(&q.SubscriberIdle) }, standard: int64(7 * 24 * time.Hour),
		max: Unlimited, duration: true,
	},
}

// check reports what is wrong with v as a value of this key.
func (k numberKey[T]) check(v int64) error {
	d := time.Duration(v)
	switch {
	case v == 0 || v == -1:
		return nil
	case v < 0:
		return errors.New("must not be negative, except -1 for unlimited")
	case k.duration && d%time.Second != 0:
		return fmt.Errorf("%s is not a whole number of seconds", d)
	case k.duration && v > k.max:
		return fmt.Errorf("%s is over the maximum %s", d, time.Duration(k.max))
	case v > k.max:
		return fmt.Errorf("%d is over the maximum %d", v, k.max)
	}
	return nil
}
