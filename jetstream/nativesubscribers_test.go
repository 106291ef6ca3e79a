package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// askFor asks for a durable subscriber, or for its end, and returns the code of the refusal.
func askFor(t *testing.T, nc *nats.Conn, subject string, request any) reason.Reason {
	t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nc.Request(subject, data, patience)
	if err != nil {
		t.Fatal(err)
	}
	var reply serviceReply
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
	if reply.Error == nil {
		return ""
	}
	return reply.Error.Code
}

// A native service that has asked for a durable subscriber misses no message of topics that come into being afterwards, on whatever bridge, nor
// of those that move to a shared stream, and leaves nothing behind when it has asked for the end.
func TestNativeSubscriber(t *testing.T) {
	url := natsprocess.New(t)
	stores := []*Store{newStoreAt(t, url, nil), newStoreAt(t, url, nil)}
	logs := []*Log{openLog(t, stores[0]), openLog(t, stores[1])}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ensure, remove := message.SubscriberEnsureSubject("acme"), message.SubscriberRemoveSubject("acme")
	mustStore(t, logs[0], "n/before", "lost")
	mine := message.SubscriberRequest{Name: "svc", Filter: "n/+"}
	for range 2 {
		if code := askFor(t, nc, ensure, mine); code != "" {
			t.Fatal(code)
		}
	}
	for want, r := range map[reason.Reason]any{
		reason.SubscriberInUse: message.SubscriberRequest{Name: "svc", Filter: "other"},
		reason.TopicInvalid:    message.SubscriberRequest{Name: "x", Filter: "a/#/b"},
		reason.TopicReserved:   message.SubscriberRequest{Name: "x", Filter: "$SYS/#"},
		reason.BadRequest:      "no object",
	} {
		if code := askFor(t, nc, ensure, r); code != want {
			t.Errorf("%+v: %q, want %s", r, code, want)
		}
	}
	if code := askFor(t, nc, ensure, message.SubscriberRequest{Filter: "a"}); code != reason.BadRequest {
		t.Errorf("without a name: %q", code)
	}
	const topics = 20
	for i := range topics {
		mustStore(t, logs[i%2], fmt.Sprintf("n/%d", i), "first")
	}
	mustStore(t, logs[0], "n/before", "kept")
	rules := tenant.Rules{{Filter: "n/#", Stream: tenant.StreamShared, Name: "n", BacklogBytes: 1 << 20}}
	for _, s := range stores {
		s.SetLimits("acme", 1, tenant.Quotas{}.Resolve(), rules.Resolve(tenant.Quotas{}))
	}
	for _, l := range logs {
		if err := awaitPlace(t, l, "n/0", tenant.StreamShared); err != nil {
			t.Fatal(err)
		}
	}
	mustStore(t, logs[1], "n/0", "moved")
	if n := pendingOf(t, logs[0], "svc"); n != topics+2 {
		t.Errorf("%d messages are kept, want %d", n, topics+2)
	}
	if code := askFor(t, nc, remove, mine); code != "" {
		t.Fatal(code)
	}
	if n := pendingOf(t, logs[0], "svc"); n != 0 {
		t.Errorf("%d messages are kept for nobody", n)
	}
	if code := askFor(t, nc, remove, mine); code != "" {
		t.Errorf("removed twice: %s", code)
	}
}

// awaitPlace returns when messages of a topic go to a kind of stream.
func awaitPlace(t *testing.T, l *Log, topic string, kind tenant.StreamKind) error {
	for ctx := ctxOf(t); ; {
		r := l.currentRouting()
		if r.policies.Place(topic).Stream == kind {
			return nil
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// pendingOf counts the messages that all consumers of a native subscriber have.
func pendingOf(t *testing.T, l *Log, name string) (n uint64) {
	t.Helper()
	streams := l.link.js.ListStreams(ctxOf(t))
	for info := range streams.Info() {
		c, err := l.link.js.Consumer(ctxOf(t), info.Config.Name, message.ConsumerName(name))
		if errors.Is(err, natsjs.ErrConsumerNotFound) || errors.Is(err, natsjs.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n += c.CachedInfo().NumPending
	}
	if err := streams.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
		t.Fatal(err)
	}
	return n
}

// A native subscriber that nobody has asked for, and that has consumed nothing for longer than subscriber_idle, is removed; one that consumes is not.
func TestNativeSubscriberIdle(t *testing.T) {
	srv := newServer(t, nil)
	s := newStore(t, srv, nil)
	l := openLog(t, s)
	for _, name := range []string{"idle", "consumes"} {
		if err := l.ensureSubscriber(ctxOf(t), message.SubscriberRequest{Name: name, Filter: "a"}); err != nil {
			t.Fatal(err)
		}
		subject := l.names.subscriberSubject(message.ConsumerName(name))
		e := l.register.copy.Get(subject)
		long := *e.Value.subscriber
		long.Used = time.Now().Add(-time.Hour)
		if _, err := l.register.set(ctxOf(t), subject, long, e, 0); err != nil {
			t.Fatal(err)
		}
	}
	mustStore(t, l, "a", "one")
	s.SetLimits("acme", 1, tenant.Quotas{SubscriberIdle: time.Minute}.Resolve(), allDedicated())
	c, err := l.link.js.Consumer(ctxOf(t), l.register.topic("a").stream(), message.ConsumerName("consumes"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(natsjs.FetchMaxWait(patience)); err != nil {
		t.Fatal(err)
	}
	if err := l.removeUnused(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range l.subscribers.all() {
		left = append(left, e.Value.Name)
	}
	if len(left) != 1 || left[0] != "consumes" {
		t.Errorf("left: %v", left)
	}
}
