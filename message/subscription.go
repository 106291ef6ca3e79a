package message

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/reason"
)

// maxDurable is the longest name of a durable subscription, in bytes.
const maxDurable = 128

// Subscription is what a service consumes under one name: the topics that match a filter, wherever they are stored. JetStream holds what is
// stored for it from Subscribe until Unsubscribe, whether the service runs or not. Its methods are for one goroutine.
type Subscription struct {
	// immutable
	js      natsjs.JetStream
	tenant  string
	filter  string
	durable string
	// how long a parked stream keeps its consumer at least
	retireAfter time.Duration

	ensured time.Time // when Weir was last asked for it; owned by Subscribe, then by follow

	mu        sync.Mutex
	since     time.Time // when the subscription began, by the server's clock
	places    map[string]*place
	dedicated map[string][]*place // by topic, in order of discovery
	shared    []*place
}

// Subscribe begins, or takes up again, the durable subscription to a topic filter of the tenant, and returns when everything that is stored from then
// on is kept for it, in topics that are created later, too: Weir makes their consumers before anything is stored. A topic without wildcards is made where
// it does not exist. The name is any string of 1 to 128 bytes without control characters; it belongs to one filter until Unsubscribe, or until nobody has used it for
// the tenant's subscriber_idle. Nothing is delivered before Consume.
//
// Transient topics are not consumed so: subscribe to FilterSubjects with nats.go, and use FromMsg.
func Subscribe(ctx context.Context, js natsjs.JetStream, tenant, topicFilter, durable string) (*Subscription, error) {
	if err := CheckSubscriber(topicFilter, durable); err != nil {
		return nil, err
	}
	s := newSubscription(js, tenant, topicFilter, durable)
	if err := s.ensure(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func newSubscription(js natsjs.JetStream, tenant, topicFilter, durable string) *Subscription {
	return &Subscription{
		js: js, tenant: tenant, filter: topicFilter, durable: durable, retireAfter: retireAfter, ensured: time.Now(),
		places: make(map[string]*place), dedicated: make(map[string][]*place),
	}
}

// CheckSubscriber says what is wrong with the filter or the name of a durable subscriber, nil where nothing is.
func CheckSubscriber(topicFilter, durable string) error {
	if err := filter.Check(topicFilter); err != nil {
		return &reason.Error{Reason: reason.TopicInvalid, Message: err.Error(), Err: err}
	}
	if topicFilter[0] == '$' {
		return reason.New(reason.TopicReserved, "topics that start with $ are reserved")
	}
	if durable == "" || len(durable) > maxDurable || !utf8.ValidString(durable) {
		return fmt.Errorf("the name of a durable subscription has 1 to %d bytes of UTF-8, not %q", maxDurable, durable)
	}
	for _, r := range durable {
		if r < 0x20 || r == 0x7F {
			return fmt.Errorf("the name of a durable subscription has no control characters: %q", durable)
		}
	}
	return nil
}

// ConsumerName is the name of the consumers of a durable subscription, one on each stream.
func ConsumerName(durable string) string {
	sum := sha256.Sum256([]byte(durable))
	return "s_" + hex.EncodeToString(sum[:16])
}

// ensure asks Weir to make the subscription's consumers, now and on streams to come.
func (s *Subscription) ensure(ctx context.Context) error {
	data, err := json.Marshal(SubscriberRequest{Name: s.durable, Filter: s.filter})
	if err != nil {
		return err
	}
	s.ensured = time.Now()
	return request(ctx, s.js.Conn(), SubscriberEnsureSubject(s.tenant), data)
}

// Unsubscribe ends a durable subscription, with all that is kept for it. Nobody may be consuming it. There need not be one. The error is a
// *reason.Error.
func Unsubscribe(ctx context.Context, js natsjs.JetStream, tenant, durable string) error {
	data, err := json.Marshal(SubscriberRequest{Name: durable})
	if err != nil {
		return err
	}
	return request(ctx, js.Conn(), SubscriberRemoveSubject(tenant), data)
}
