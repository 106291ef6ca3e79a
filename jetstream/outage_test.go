package jetstream

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
)

// madeAt is when a bridge's shared consumer on a topic was made.
func madeAt(t *testing.T, l *Log, topic, bridge string) time.Time {
	t.Helper()
	c, err := l.link.js.PushConsumer(ctxOf(t), l.register.topic(topic).stream(), consumerName(bridge, ""))
	if err != nil {
		t.Fatalf("consumer of %s: %v", bridge, err)
	}
	return c.CachedInfo().Created
}

// The store is away for longer than a lease. When it is back nobody takes the others for dead, whose leases nobody could
// renew: neither those that were there, nor a bridge that has just started.
func TestOutageLongerThanALeaseKillsNobody(t *testing.T) {
	const leaseTime = 2 * time.Second
	dir := t.TempDir()
	srv := startServer(t, dir, -1, nil)
	port := portOf(srv)
	lease := func(c *Config) { c.leaseTime = leaseTime }
	first, second := newStore(t, srv, lease), newStore(t, srv, lease)
	a, b := openLog(t, first), openLog(t, second)
	sa, ra := attach(t, a, "x", "")
	sb, rb := attach(t, b, "x", "")
	claim(t, a, newHolder("id", "u").prompt())
	mustStore(t, a, "x", "0")
	madeA, madeB := madeAt(t, a, "x", first.config.Bridge), madeAt(t, a, "x", second.config.Bridge)

	srv.Shutdown()
	srv.WaitForShutdown()
	<-time.After(leaseTime * 3 / 2)
	srv = startServer(t, dir, port, nil)
	third := newStore(t, srv, lease)
	closeInTheEnd(t, first)
	closeInTheEnd(t, second)
	openLog(t, third)

	stored := []string{"0"}
	answered := make(answers, 1)
	// Longer than anybody would need to be taken for dead.
	for n, end := 1, time.After(2*leaseTime); ; n++ {
		sendTo(t, a, "x", fmt.Sprint(n), answered)
		if answered.next(t).Outcome == publisher.Stored {
			stored = append(stored, fmt.Sprint(n))
		}
		select {
		case <-end:
		case <-time.After(leaseTime / 20):
			continue
		}
		break
	}
	for _, r := range []struct {
		s *sink
		r Reader
	}{{sa, ra}, {sb, rb}} {
		for _, want := range stored {
			d := r.s.next(t)
			for string(d.Payload) != want { // one of unknown outcome
				d = r.s.next(t)
			}
			r.r.Ack(d)
		}
	}
	for _, s := range []*Store{first, second, third} {
		if n := testutil.ToFloat64(s.metrics.leaseLost); n != 0 {
			t.Errorf("bridge %s has lost its lease", s.config.Bridge)
		}
		if n := testutil.ToFloat64(s.metrics.bridgesEnded); n != 0 {
			t.Errorf("bridge %s has cleaned up after %v others", s.config.Bridge, n)
		}
	}
	if !madeAt(t, a, "x", first.config.Bridge).Equal(madeA) || !madeAt(t, a, "x", second.config.Bridge).Equal(madeB) {
		t.Error("a consumer was made again")
	}
	if n := b.sessions.count(); n != 1 {
		t.Errorf("%d claims, want 1", n)
	}
}

// A topic's stream is deleted by hand while a native client listens on its subject: JetStream does not say that nobody stores
// what is published. After the first publish without an answer the topic is mended.
func TestMissingStreamIsNoticedThoughSomebodyListens(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, func(c *Config) { c.publishTimeout = time.Second }))
	mustStore(t, l, "x", "one")
	if _, err := l.link.nc.Subscribe(message.Subject("acme", "x"), func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	made := make(chan *nats.Msg, 1)
	if _, err := l.link.nc.ChanSubscribe("$JS.EVENT.ADVISORY.STREAM.CREATED.>", made); err != nil {
		t.Fatal(err)
	}
	old := l.register.topic("x").stream()
	if err := l.link.js.DeleteStream(ctxOf(t), old); err != nil {
		t.Fatal(err)
	}
	if r := publishTo(t, l, "x", "two"); r.Outcome != publisher.Unknown {
		t.Fatalf("publish without a stream: %v", r)
	}
	select {
	case <-made:
	case <-time.After(patience):
		t.Fatal("the stream is not made again")
	}
	mustStore(t, l, "x", "three")
	if now := l.register.topic("x").stream(); now == old {
		t.Error("the topic has its old generation")
	}
}

// Connections that take nothing for longer than a lease, without being lost, have the same effect as an outage.
func TestStallLongerThanALeaseKillsNobody(t *testing.T) {
	const leaseTime = 2 * time.Second
	srv := newServer(t, nil)
	g := newGate()
	stalling := func(c *Config) {
		c.leaseTime = leaseTime
		c.Options = through(srv, g)
	}
	stores := []*Store{newStore(t, srv, stalling), newStore(t, srv, stalling), newStore(t, srv, stalling)}
	for _, s := range stores {
		openLog(t, s)
	}
	g.set(true)
	<-time.After(leaseTime * 3 / 2)
	g.set(false)
	<-time.After(leaseTime * 3 / 2)
	for _, s := range stores {
		if lost, ended := testutil.ToFloat64(s.metrics.leaseLost), testutil.ToFloat64(s.metrics.bridgesEnded); lost+ended > 0 {
			t.Errorf("bridge %s: %v leases lost, %v bridges ended", s.config.Bridge, lost, ended)
		}
		if err := s.Ready(); err != nil {
			t.Error(err)
		}
	}
}
