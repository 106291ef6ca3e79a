package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// A publisher that does not ask the register, as a native one or a bridge that has not heard yet that the topic is away, cannot
// store anything before the watcher has its consumer.
func TestPublisherThatDoesNotWait(t *testing.T) {
	const rounds = 30
	srv := newServer(t, nil)
	a, b := manyTopics(t, newStore(t, srv, nil)), manyTopics(t, newStore(t, srv, nil))
	w := watch(b)
	if err := w.subscribe(ctxOf(t), "#"); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		topic := fmt.Sprintf("native/%d", round)
		var created atomic.Bool
		var wg sync.WaitGroup
		stored := 0
		wg.Go(func() {
			for last := false; !last && stored < 1000; {
				last = created.Load()
				_, err := a.link.js.Publish(ctxOf(t), a.register.topic(topic).subject, []byte(numbered(stored)), natsjs.WithRetryAttempts(0))
				switch {
				case err == nil:
					stored++
				case !errors.Is(err, natsjs.ErrNoStreamResponse):
					t.Error(err)
					return
				}
			}
		})
		if _, err := a.Topic(ctxOf(t), topic); err != nil {
			t.Fatal(err)
		}
		created.Store(true)
		wg.Wait()
		if stored == 0 {
			t.Fatal("nothing was stored")
		}
		f := feedOf(t, w, topic)
		for n, payload := range f.payloads(t, stored) {
			if payload != numbered(n) {
				t.Fatalf("%q where number %d is due", payload, n)
			}
		}
	}
}

// The creator dies with the stream made and not open yet. Whoever needs the topic next begins again, and nothing is left.
func TestCreatorDies(t *testing.T) {
	srv := newServer(t, nil)
	dead := newStore(t, srv, shortLease)
	a, b := openLog(t, dead), openLog(t, newStore(t, srv, shortLease))
	w := watch(b)
	if err := w.subscribe(ctxOf(t), "#"); err != nil {
		t.Fatal(err)
	}
	mine, err := a.register.write(ctxOf(t), topicRecord{Topic: "x", State: creating}.withPolicy(a.policyOf("x")), topicEntry{})
	if err != nil {
		t.Fatal(err)
	}
	config := a.dedicatedStream("x", mine.Sequence, a.policyOf("x"))
	config.Subjects = parked(config.Name)
	if _, err := a.link.js.CreateStream(ctxOf(t), config); err != nil {
		t.Fatal(err)
	}
	if attached, err := a.invite(ctxOf(t), config.Name, a.filters.of("x")); err != nil || len(attached) != 1 {
		t.Fatalf("attached %v: %v", attached, err)
	}
	kill(dead)
	mustStore(t, b, "x", "one")
	wantPayloads(t, feedOf(t, w, "x"), "one")
	if _, err := b.link.js.Stream(ctxOf(t), config.Name); !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Errorf("the dead creator's stream: %v", err)
	}
	if n := presences(t, b); n != 1 {
		t.Errorf("%d presence messages, want 1", n)
	}
}

// The watcher dies: its filters go, and the consumers that were made for it, adopted or not, with its lease.
func TestWatcherDies(t *testing.T) {
	srv := newServer(t, nil)
	dead := newStore(t, srv, shortLease)
	a, b := openLog(t, newStore(t, srv, shortLease)), openLog(t, dead)
	w := watch(b)
	if err := w.subscribe(ctxOf(t), "a/#", "a/1"); err != nil {
		t.Fatal(err)
	}
	other := make(chan string, 1)
	b.OnCreated(func(topic string) { other <- topic })
	if _, err := b.Watch(ctxOf(t), "b/+"); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"a/1", "b/1"} {
		mustStore(t, a, topic, "one")
		awaitTold(t, other, topic)
		wantConsumers(t, a, topic, 1)
	}
	if _, err := b.Attach(ctxOf(t), tenant.Dedicated("a/1"), "", 0, nil, newSink()); err != nil {
		t.Fatal(err)
	}
	kill(dead)
	awaitClosed(t, a.store.lease, dead.config.Bridge)
	if a.filters.has(dead.config.Bridge) || len(a.filters.of("a/1")) > 0 {
		t.Error("filters are left")
	}
	if names := consumersOf(t, a); len(names) != 0 {
		t.Errorf("consumers are left: %q", names)
	}
	mustStore(t, a, "a/2", "one")
	wantConsumers(t, a, "a/2", 0)
}

// Filters that a bridge has left in the register although nobody cleans up after it cost its consumers nothing, and go as soon as
// they match.
func TestFilterWithoutBridge(t *testing.T) {
	srv := newServer(t, nil)
	a := openLog(t, newStore(t, srv, nil))
	orphan := filterRecord{Version: recordVersion, Filter: "a/#", Bridge: "nobody"}
	sequence, err := publish(ctxOf(t), a.link.control, a.names.filterSubject("nobody", "a/#"), orphan, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.register.copy.Wait(ctxOf(t), sequence); err != nil {
		t.Fatal(err)
	}
	mustStore(t, a, "a/1", "one")
	wantConsumers(t, a, "a/1", 0)
	registerUntil(t, a, func() bool { return !a.filters.has("nobody") })
}

// A consumer that cannot be made fails the creation: the topic would lose messages. Once the bridge does not live any more it is
// created without.
func TestConsumerCannotBeMade(t *testing.T) {
	t.Parallel() // it waits for a timeout
	const bridge = "watcher"
	srv := newServer(t, func(o *server.Options) {
		deny := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.CREATE.*." + consumerName(bridge, "")}}}
		o.Users = []*server.User{{Username: "a", Password: "p", Permissions: deny}, {Username: "b", Password: "p"}}
	})
	as := func(user string) func(c *Config) {
		return func(c *Config) {
			shortLease(c)
			c.Options = func(tenant string) (nats.Options, error) {
				o, err := External(srv.ClientURL(), "")(tenant)
				o.User, o.Password = user, "p"
				return o, err
			}
			if user == "b" {
				c.Bridge = bridge
			}
		}
	}
	dead := newStore(t, srv, as("b"))
	a, b := openLog(t, newStore(t, srv, as("a"))), openLog(t, dead)
	if _, err := b.Watch(ctxOf(t), "#"); err != nil {
		t.Fatal(err)
	}
	_, err := a.Topic(ctxOf(t), "x")
	wantReason(t, err, reason.NATSUnavailable)
	kill(dead)
	mustStore(t, a, "x", "one")
	if names := streamsOf(t, a); len(names) != 1 || names[0] != a.register.topic("x").stream() {
		t.Errorf("streams %q", names)
	}
	wantConsumers(t, a, "x", 0)
}

// streamsOf returns the streams of topics.
func streamsOf(t *testing.T, l *Log) (names []string) {
	t.Helper()
	all := l.link.js.StreamNames(ctxOf(t))
	for name := range all.Name() {
		if strings.HasPrefix(name, "MQTT_acme_t_") {
			names = append(names, name)
		}
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

// A bridge that was taken for dead has its filters again, and hears of what was created meanwhile.
func TestWatcherComesBack(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	told := make(chan string, 10)
	b.OnCreated(func(topic string) { told <- topic })
	if _, err := b.Watch(ctxOf(t), "a/#"); err != nil {
		t.Fatal(err)
	}
	settleRegister(t, a)
	bridge := b.store.config.Bridge
	ours := b.store.lease.copy.Get(leasePrefix + bridge)
	rec := leaseRecord{Version: recordVersion, State: leaseEnded, By: a.store.config.Bridge}
	sequence, err := a.store.lease.set(ctxOf(t), leasePrefix+bridge, rec, ours, 0)
	if err != nil {
		t.Fatal(err)
	}
	mustStore(t, a, "a/1", "for nobody")
	wantConsumers(t, a, "a/1", 0)
	a.store.lease.cleanUp(bridge, leaseEntry{Sequence: sequence, Live: true})
	registerUntil(t, a, func() bool { return a.filters.has(bridge) })
	awaitTold(t, told, "a/1")
	for !a.store.lease.alive(bridge) {
		if err := a.store.lease.copy.Wait(ctxOf(t), a.store.lease.copy.Position()+1); err != nil {
			t.Fatal(err)
		}
	}
	mustStore(t, a, "a/2", "one")
	awaitTold(t, told, "a/2")
	s := newSink()
	r, err := b.Attach(ctxOf(t), tenant.Dedicated("a/2"), "", 0, nil, s)
	if err != nil || !r.Adopted() {
		t.Fatal(err)
	}
	wantPayloads(t, &feed{sink: s, reader: r}, "one")
	closeReader(t, r)
}

func settleRegister(t *testing.T, l *Log) {
	t.Helper()
	if err := l.register.settle(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
}

// A stream that somebody deletes by hand is made again with a consumer for each who watches; a reader that finds its own way to
// it leaves none of them over.
func TestStreamDeletedUnderWatcher(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	w := watch(b)
	if err := w.subscribe(ctxOf(t), "#"); err != nil {
		t.Fatal(err)
	}
	mustStore(t, a, "x", "one")
	f := feedOf(t, w, "x")
	wantPayloads(t, f, "one")
	if err := a.link.js.DeleteStream(ctxOf(t), a.register.topic("x").stream()); err != nil {
		t.Fatal(err)
	}
	mustStore(t, a, "x", "two")
	wantPayloads(t, f, "two")
	deletion(t, b, "x", func() {})
	mustStore(t, a, "x", "three")
	wantPayloads(t, f, "three")
	wantConsumers(t, a, "x", 1)
}

// Topics that a watcher is attached to are in use, and go as others do when it has left.
func TestCleanupWithWatcher(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	w := watch(b)
	if err := w.subscribe(ctxOf(t), "a/+", "a/1"); err != nil {
		t.Fatal(err)
	}
	mustStore(t, a, "a/1", "one")
	wantPayloads(t, feedOf(t, w, "a/1"), "one")
	if removed, err := a.RemoveIfUnused(ctxOf(t), "a/1"); err != nil || removed {
		t.Fatalf("removed %v: %v", removed, err)
	}
	if err := w.unsubscribe(ctxOf(t), "a/+", "a/1"); err != nil {
		t.Fatal(err)
	}
	if removed, err := a.RemoveIfUnused(ctxOf(t), "a/1"); err != nil || !removed {
		t.Fatalf("removed %v: %v", removed, err)
	}
	// It comes again, while the filter's record has yet to go.
	mustStore(t, a, "a/1", "two")
	settleRegister(t, b)
	deletion(t, b, "a/1", func() {})
	ctx := ctxOf(t)
	for removed := false; !removed; { // the server tells of the consumer's end before it lets go what that held
		var err error
		if removed, err = a.RemoveIfUnused(ctx, "a/1"); err != nil {
			t.Fatal(err)
		}
	}
}

// A thousand topics are attached within the time that the contract gives.
func TestWatchManyTopics(t *testing.T) {
	topics := 1000
	if raceEnabled {
		topics = 100
	}
	srv := newServer(t, nil)
	a, b := manyTopics(t, newStore(t, srv, nil)), manyTopics(t, newStore(t, srv, nil))
	var wg sync.WaitGroup
	for lane := range 4 {
		wg.Go(func() {
			for i := lane; i < topics; i += 4 {
				if _, err := a.Topic(context.Background(), fmt.Sprintf("t/%d", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	settleRegister(t, b)
	w := watch(b)
	begin := time.Now()
	if err := w.subscribe(ctxOf(t), "#"); err != nil {
		t.Fatal(err)
	}
	passed := time.Since(begin)
	if len(w.feeds) != topics {
		t.Errorf("%d of %d attached", len(w.feeds), topics)
	}
	if passed > 3*time.Second && !raceEnabled {
		t.Errorf("attached after %v", passed)
	}
	t.Logf("%d topics attached in %v", topics, passed)
}

// What the register says in kinds of entries that this release does not know is nothing to it.
func TestUnknownRegisterEntry(t *testing.T) {
	srv := newServer(t, nil)
	a := openLog(t, newStore(t, srv, nil))
	sequence, err := a.link.js.PublishMsg(ctxOf(t), &nats.Msg{Subject: a.names.subject("register.of.tomorrow"), Data: []byte("?")})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.register.copy.Wait(ctxOf(t), sequence.Sequence); err != nil {
		t.Fatal(err)
	}
	if n := len(a.register.copy.Live()); n != 2 { // the rules, and how far this bridge has followed them
		t.Errorf("%d entries", n)
	}
	mustStore(t, a, "x", "one")
}
