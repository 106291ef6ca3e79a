package jetstream

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// dialService is a service that knows nothing but NATS.
func dialService(t *testing.T, l *Log) natsjs.JetStream {
	t.Helper()
	return dialServiceAt(t, l.link.nc.ConnectedUrl())
}

func dialServiceAt(t *testing.T, url string) natsjs.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// consumption is a service that consumes. What its handler gets waits in took until the test lets it go on.
type consumption struct {
	t    *testing.T
	stop context.CancelFunc
	took chan *message.Delivery
	goOn chan struct{}

	over chan struct{} // closed when Consume has returned, with err
	err  error
}

// subscribe begins a durable subscription, and consumes it. What the test does not settle before next is acknowledged.
func subscribe(t *testing.T, js natsjs.JetStream, filter, durable string) *consumption {
	t.Helper()
	s, err := message.Subscribe(ctxOf(t), js, "acme", filter, durable)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumption{t: t, stop: cancel, took: make(chan *message.Delivery), goOn: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(c.over)
		c.err = s.Consume(ctx, func(d *message.Delivery) {
			select {
			case c.took <- d:
				select {
				case <-c.goOn:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-c.over
	})
	return c
}

func (c *consumption) next() *message.Delivery {
	c.t.Helper()
	select {
	case d := <-c.took:
		return d
	case <-time.After(patience):
		c.t.Fatal("no delivery to the service")
		return nil
	}
}

// take takes the next message and settles it.
func (c *consumption) take(settle func(*message.Delivery) error) *message.Delivery {
	c.t.Helper()
	d := c.next()
	if err := settle(d); err != nil {
		c.t.Error(err)
	}
	c.goOn <- struct{}{}
	return d
}

func ack(d *message.Delivery) error { return d.Ack() }

func (c *consumption) want(topic, payload string) *message.Delivery {
	c.t.Helper()
	d := c.take(ack)
	if d.Topic != topic || string(d.Payload) != payload {
		c.t.Fatalf("got %s %q instead of %s %q", d.Topic, d.Payload, topic, payload)
	}
	return d
}

// end ends Consume, as a service does that stops.
func (c *consumption) end() {
	c.t.Helper()
	c.stop()
	select {
	case <-c.over:
		if c.err != nil {
			c.t.Errorf("Consume: %v", c.err)
		}
	case <-time.After(patience):
		c.t.Fatal("Consume does not end")
	}
}

func send(t *testing.T, js natsjs.JetStream, topic, payload string) {
	t.Helper()
	if _, err := message.Publish(ctxOf(t), js, "acme", message.New(topic, []byte(payload))); err != nil {
		t.Fatalf("publish %s to %s: %v", payload, topic, err)
	}
}

// A service publishes to topics that exist and to others, and learns by name what is refused.
func TestServicePublishes(t *testing.T) {
	srv := newServer(t, nil)
	store := newStore(t, srv, nil)
	l := openLog(t, store)
	setQuotas(store, func(q *tenant.Quotas) { q.Topics = 2; q.BacklogMessages = 1; q.BacklogBytes = 10_000 },
		tenant.Rule{Filter: "s/#", Stream: tenant.StreamShared, Name: "s"}, tenant.Rule{Filter: "live/#", Stream: tenant.StreamTransient})
	js := dialService(t, l)
	one, reader := attach(t, l, "one", "") // a subscriber that does not acknowledge
	defer closeReader(t, reader)
	m := message.New("one", []byte("x"))
	m.To, m.UserProperties = "room 1", []message.UserProperty{{Name: "a", Value: "b"}}
	receipt, err := message.Publish(ctxOf(t), js, "acme", m)
	if err != nil || receipt.Sequence != 1 {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if d := one.next(t); d.To != "room 1" || d.QoS != 1 || len(d.UserProperties) != 1 || string(d.Payload) != "x" {
		t.Errorf("arrives as %+v", d.Message)
	}
	send(t, js, "two", "no stream yet")
	send(t, js, "s/1", "shared")
	for _, test := range []struct {
		topic   string
		payload int
		want    reason.Reason
	}{
		{"one", 1, reason.BacklogFull},
		{"two", 10_000, reason.MessageTooLarge},
		{"two", 9 << 20, reason.MessageTooLarge},
		{"three", 1, reason.TopicQuota},
		{"", 1, reason.TopicInvalid},
		{"a/+", 1, reason.TopicInvalid},
		{"\xff", 1, reason.TopicInvalid},
		{strings.Repeat("x", 300), 1, reason.TopicInvalid},
		{"$SYS/x", 1, reason.TopicReserved},
	} {
		_, err := message.Publish(ctxOf(t), js, "acme", message.New(test.topic, make([]byte, test.payload)))
		if refused, ok := err.(*reason.Error); !ok || refused.Reason != test.want || refused.Message == "" {
			t.Errorf("%.20q: %v, want %s", test.topic, err, test.want)
		}
	}
	if _, err := message.Publish(ctxOf(t), js, "nobody", message.New("a", nil)); err == nil || err.(*reason.Error).Reason != reason.NATSUnavailable {
		t.Errorf("a tenant without Weir: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := message.Publish(ended, js, "acme", message.New("two", nil)); !errors.Is(err, context.Canceled) || err.(*reason.Error).Reason != reason.PublishUnknown {
		t.Errorf("without time: %v", err)
	}
}

// A publish that wants an answer does not go with a transient topic; a core publish does.
func TestServicePublishesToTransientTopic(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{l}, tenant.Rule{Filter: "live/#", Stream: tenant.StreamTransient})
	js := dialService(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := message.Publish(ctx, js, "acme", message.New("live/door", nil)); err == nil || err.(*reason.Error).Reason != reason.NATSUnavailable {
		t.Errorf("Publish where nobody listens: %v", err)
	}
	s, r := attach(t, l, "live/door", "")
	defer closeReader(t, r)
	if err := message.PublishTransient(js.Conn(), "acme", message.New("live/door", []byte("open"))); err != nil {
		t.Fatal(err)
	}
	if d := s.next(t); string(d.Payload) != "open" {
		t.Errorf("received %q", d.Payload)
	}
	if err := message.PublishTransient(js.Conn(), "acme", message.New("live/+", nil)); err == nil || err.(*reason.Error).Reason != reason.TopicInvalid {
		t.Errorf("to a filter: %v", err)
	}
}

// Topics of dedicated and of shared streams, some of which come later, are one subscription. A log keeps what is stored before a new topic is found.
func TestServiceConsumes(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{l},
		tenant.Rule{Filter: "s/#", Stream: tenant.StreamShared, Name: "s"},
		tenant.Rule{Filter: "+/log/#", Stream: tenant.StreamDedicated, Keep: tenant.KeepUntilExpired})
	js := dialService(t, l)
	send(t, js, "d/log/up", "before")
	send(t, js, "s/1/up", "before")
	other := message.New("d/log/up", []byte("for a device"))
	other.To = "room 1"
	c := subscribe(t, js, "+/+/up", "mapper 1")
	if _, err := message.Publish(ctxOf(t), js, "acme", other); err != nil {
		t.Fatal(err)
	}
	stale := message.New("s/1/up", []byte("stale"))
	stale.Expiry, stale.HasExpiry = 3600, true
	if _, err := message.Publish(ctxOf(t), js, "acme", stale); err != nil {
		t.Fatal(err)
	}
	c.want("s/1/up", "stale") // not yet
	for i := range 20 {
		send(t, js, "d/log/up", numbered(i))
		c.want("d/log/up", numbered(i))
		send(t, js, "s/2/up", numbered(i))
		send(t, js, "s/2/down", "not for the service")
		d := c.want("s/2/up", numbered(i))
		if d.Stream != "MQTT_acme_s_s" || d.Sequence == 0 || d.Delivered != 1 || d.Stored.IsZero() || d.QoS != 1 {
			t.Errorf("delivery %+v", d)
		}
	}
	for i := range 3 {
		send(t, js, "e/log/up", numbered(i)) // a topic that did not exist
	}
	for i := range 3 {
		c.want("e/log/up", numbered(i))
	}
	c.end()
}

// Whatever is not acknowledged comes again, before what is behind it; also to the next process.
func TestServiceGetsAgainWhatItDidNotAcknowledge(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	js := dialService(t, l)
	c := subscribe(t, js, "a", "mapper")
	for i := range 4 {
		send(t, js, "a", numbered(i))
	}
	started := time.Now()
	c.take(func(d *message.Delivery) error { return d.Nak(100 * time.Millisecond) })
	again := c.want("a", numbered(0))
	if again.Delivered != 2 || time.Since(started) < 100*time.Millisecond {
		t.Errorf("%+v after %v", again, time.Since(started))
	}
	c.take(func(d *message.Delivery) error { return errors.Join(d.Term(), d.Nak(0)) }) // what comes second counts for nothing
	c.take(func(*message.Delivery) error { return nil })                               // comes again after a second
	c.want("a", numbered(2))
	if d := c.next(); string(d.Payload) != numbered(3) {
		t.Fatalf("got %q", d.Payload)
	}
	c.end() // within the handler, which has not settled it
	send(t, js, "a", numbered(4))
	c = subscribe(t, js, "a", "mapper")
	if d := c.want("a", numbered(3)); d.Delivered != 2 {
		t.Errorf("%+v", d)
	}
	c.want("a", numbered(4))
	c.end()

	if _, err := message.Subscribe(ctxOf(t), js, "acme", "#", "mapper"); codeOf(err) != reason.SubscriberInUse {
		t.Errorf("the same name with another filter: %v", err)
	}
	if err := message.Unsubscribe(ctxOf(t), js, "acme", "mapper"); err != nil {
		t.Fatal(err)
	}
	if info := streamOf(t, l, "a").CachedInfo(); info.State.Consumers != 0 {
		t.Errorf("%d consumers after Unsubscribe", info.State.Consumers)
	}
	for _, bad := range [][2]string{{"a/#/b", "x"}, {"$SYS/#", "x"}, {"a", ""}, {"a", "x\n"}, {"a", strings.Repeat("x", 129)}, {"a", "\xff"}} {
		if _, err := message.Subscribe(ctxOf(t), js, "acme", bad[0], bad[1]); err == nil {
			t.Errorf("%q is a subscription", bad)
		}
	}
}

// While topics move between streams, each topic's messages come in order and none is missing, also to a service that was away for a while.
// Rules that keep messages show what the streams have, whoever reads them.
func TestServiceFollowsMoves(t *testing.T) {
	_, logs := twoForMoves(t, nil)
	js := dialService(t, logs[0])
	kept := func(rules ...tenant.Rule) []tenant.Rule {
		for i := range rules {
			rules[i].Keep = tenant.KeepUntilExpired
		}
		return rules
	}
	shared := func(filter, name string) tenant.Rule {
		return tenant.Rule{Filter: filter, Stream: tenant.StreamShared, Name: name, BacklogBytes: 4 << 20, BacklogMessages: -1}
	}
	dedicated := tenant.Rule{Filter: "a/#", Stream: tenant.StreamDedicated}
	steps := [][]tenant.Rule{
		kept(dedicated),
		kept(shared("a/#", "one")),
		kept(shared("a/+", "two"), dedicated),
		kept(shared("a/#", "one")),
		kept(shared("a/+", "one"), shared("a/+/deep", "two")),
		kept(shared("a/+", "two"), shared("a/+/deep", "one")),
		kept(dedicated),
	}
	topics := []string{"a/1", "a/2", "a/1/deep"}
	setAll := func(rules []tenant.Rule) {
		for _, l := range logs {
			setQuotas(l.store, smallBacklogs, rules...)
		}
	}
	setAll(steps[0])
	c := subscribe(t, js, "a/#", "mapper")
	next, sent := map[string]int{}, 0
	publish := func(n int) {
		for range n {
			for _, topic := range topics {
				send(t, js, topic, strconv.Itoa(sent))
			}
			sent++
		}
	}
	consume := func(n int) {
		for range n * len(topics) {
			d := c.take(ack)
			if string(d.Payload) != strconv.Itoa(next[d.Topic]) {
				t.Fatalf("%s: %s from %s instead of %d", d.Topic, d.Payload, d.Stream, next[d.Topic])
			}
			next[d.Topic]++
		}
	}
	for i, rules := range steps[1:] {
		publish(5)
		consume(2) // some stay behind in the former stream
		if i%2 == 1 {
			c.end() // and the service is away while the topics move
		}
		setAll(rules)
		publish(5)
		if i%2 == 1 {
			c = subscribe(t, js, "a/#", "mapper")
		}
		consume(4)
	}
	consume(sent - 2*6 - 4*6)
	c.end()
	for _, topic := range topics {
		if next[topic] != sent {
			t.Errorf("%s: %d of %d", topic, next[topic], sent)
		}
	}
}

// A stream that somebody deletes is followed by another, whose messages come.
func TestServiceOutlivesDeletion(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{l}, tenant.Rule{Filter: "s/#", Stream: tenant.StreamShared, Name: "s"})
	js := dialService(t, l)
	c := subscribe(t, js, "#", "mapper")
	for _, topic := range []string{"s/1", "d"} {
		message1 := topic + " first"
		sendUntil(t, c, js, topic, message1)
		if err := l.link.js.DeleteStream(ctxOf(t), streamOf(t, l, topic).CachedInfo().Config.Name); err != nil {
			t.Fatal(err)
		}
		sendUntil(t, c, js, topic, topic+" second")
	}
	// A consumer that somebody deletes comes again, behind what was consumed.
	name := streamOf(t, l, "d").CachedInfo().Config.Name
	if err := l.link.js.DeleteConsumer(ctxOf(t), name, message.ConsumerName("mapper")); err != nil {
		t.Fatal(err)
	}
	sendUntil(t, c, js, "d", "third")
	c.end()
}

// sendUntil publishes the same message until the service has got one of them: what is stored before it has a consumer is lost. The rest comes and is taken.
func sendUntil(t *testing.T, c *consumption, js natsjs.JetStream, topic, payload string) {
	t.Helper()
	got := make(chan struct{})
	published := make(chan int, 1)
	go func() {
		n := 0
		defer func() { published <- n }()
		for {
			if _, err := message.Publish(ctxOf(t), js, "acme", message.New(topic, []byte(payload))); err == nil {
				n++
			}
			select {
			case <-got:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	d := c.want(topic, payload)
	close(got)
	<-published
	send(t, js, topic, "end of "+payload)
	for string(d.Payload) == payload {
		d = c.take(ack)
	}
	if string(d.Payload) != "end of "+payload {
		t.Fatalf("got %q", d.Payload)
	}
}

// A service that works longer on a message than JetStream waits for a dead one gets it once.
func TestServiceTakesItsTime(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	js := dialService(t, l)
	c := subscribe(t, js, "a", "mapper")
	send(t, js, "a", "long")
	send(t, js, "a", "next")
	d := c.next()
	other := subscribe(t, js, "a", "mapper") // would get it again
	select {
	case again := <-other.took:
		t.Errorf("%q is delivered again", again.Payload)
	case <-time.After(7 * time.Second):
	}
	other.end()
	if err := d.Ack(); err != nil {
		t.Error(err)
	}
	c.goOn <- struct{}{}
	if d := c.want("a", "next"); d.Delivered != 1 {
		t.Errorf("%+v", d)
	}
	c.end()
}

// The NATS server goes and comes back: the service goes on where it was.
func TestServiceOutlivesRestart(t *testing.T) {
	dir := t.TempDir()
	srv := startServer(t, dir, -1, nil)
	l := openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{l}, tenant.Rule{Filter: "s/#", Stream: tenant.StreamShared, Name: "s"})
	js := dialService(t, l)
	c := subscribe(t, js, "+/1", "mapper")
	for _, topic := range []string{"s/1", "d/1"} {
		sendUntil(t, c, js, topic, topic)
	}
	for _, topic := range []string{"s/1", "d/1"} {
		send(t, js, topic, "before")
	}
	first := c.next() // under way while the server is away
	port := srv.Addr().(*net.TCPAddr).Port
	srv.Shutdown()
	srv.WaitForShutdown()
	startServer(t, dir, port, nil)
	if err := first.Ack(); err != nil { // what is lost comes again
		t.Log(err)
	}
	c.goOn <- struct{}{}
	last := map[string]string{}
	for _, topic := range []string{"s/1", "d/1"} {
		for {
			if _, err := message.Publish(ctxOf(t), js, "acme", message.New(topic, []byte("after"))); err == nil {
				break
			}
			<-time.After(20 * time.Millisecond) // nobody serves the tenant yet
		}
	}
	for last["s/1"] != "after" || last["d/1"] != "after" {
		d := c.take(ack)
		if last[d.Topic] == "after" && string(d.Payload) == "before" {
			t.Errorf("%s: out of order", d.Topic)
		}
		last[d.Topic] = string(d.Payload)
	}
	c.end()
}

// codeOf is the reason of a refusal, empty for other errors.
func codeOf(err error) reason.Reason {
	if e, ok := errors.AsType[*reason.Error](err); ok {
		return e.Reason
	}
	return ""
}
