package jetstream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// openSubscriber opens a subscriber and its consumer on a dedicated topic, and returns what closes both.
func openSubscriber(t *testing.T, l *Log, name, topic string) (*sink, func()) {
	t.Helper()
	key := SubscriberKey{Name: name, Filter: topic}
	claim, err := l.ClaimSubscriber(ctxOf(t), key, 0, func() {})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := l.OpenSubscriber(ctxOf(t), key)
	if err != nil {
		t.Fatal(err)
	}
	s := newSink()
	r, err := sub.Attach(ctxOf(t), tenant.Dedicated(topic), "", 0, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	sub.Returned()
	return s, func() {
		t.Helper()
		closeReader(t, r)
		if err := sub.Close(ctxOf(t)); err != nil {
			t.Error(err)
		}
		claim.Release(ctxOf(t))
	}
}

// A subscriber that nobody uses is removed with what is kept for it; one that is served stays, however little happens.
func TestUnusedSubscriber(t *testing.T) {
	srv := newServer(t, nil)
	s := newStore(t, srv, nil)
	l := openLog(t, s)
	s.SetLimits("acme", 1, tenant.Quotas{SubscriberIdle: time.Second}.Resolve(), allDedicated())
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	deleted, err := nc.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.DELETED.>")
	if err != nil {
		t.Fatal(err)
	}
	_, closeServed := openSubscriber(t, l, "served", "a")
	defer closeServed()
	_, closeAway := openSubscriber(t, l, "away", "a")
	closeAway()
	mustStore(t, l, "a", "one")
	if _, err := deleted.NextMsg(patience); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range l.subscribers.all() {
		left = append(left, e.Value.Name)
	}
	if len(left) != 1 || left[0] != "served" {
		t.Errorf("left: %v", left)
	}
}

// A tenant has no more subscribers than it may.
func TestSubscriberLimit(t *testing.T) {
	l := openLog(t, newStore(t, newServer(t, nil), nil))
	for i := range maxSubscribers {
		if err := l.subscribers.use(ctxOf(t), SubscriberKey{Name: fmt.Sprint(i), Filter: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	err := l.subscribers.use(ctxOf(t), SubscriberKey{Name: "more", Filter: "a"})
	if refused, ok := errors.AsType[*reason.Error](err); !ok || refused.Reason != reason.SubscriberLimit {
		t.Errorf("one more: %v", err)
	}
	if err := l.subscribers.use(ctxOf(t), SubscriberKey{Name: "7", Filter: "a"}); err != nil {
		t.Errorf("one that there is: %v", err)
	}
}

// A subscriber that is away fills the backlog: publishers are refused until it has acknowledged.
func TestSubscriberHoldsBacklog(t *testing.T) {
	s := newStore(t, newServer(t, nil), nil)
	l := openLog(t, s)
	limited := tenant.Quotas{BacklogMessages: 10}
	s.SetLimits("acme", 1, limited.Resolve(), tenant.Rules(nil).Resolve(limited))
	_, closeFirst := openSubscriber(t, l, "mapper", "a")
	closeFirst()
	for i := range 10 {
		mustStore(t, l, "a", numbered(i))
	}
	if r := publishTo(t, l, "a", "too much"); r.Outcome != publisher.Refused {
		t.Fatalf("with a full backlog: %+v", r)
	}
	key := SubscriberKey{Name: "mapper", Filter: "a"}
	claim, err := l.ClaimSubscriber(ctxOf(t), key, 0, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release(ctxOf(t))
	sub, err := l.OpenSubscriber(ctxOf(t), key)
	if err != nil {
		t.Fatal(err)
	}
	in := newSink()
	r, err := sub.Attach(ctxOf(t), tenant.Dedicated("a"), "", 0, nil, in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		d := in.next(t)
		if string(d.Payload) != numbered(i) {
			t.Fatalf("message %d is %q", i, d.Payload)
		}
		r.Ack(d)
	}
	closeReader(t, r) // which waits until the server has taken the acknowledgements
	mustStore(t, l, "a", "room again")
	if err := sub.Close(ctxOf(t)); err != nil {
		t.Error(err)
	}
}
