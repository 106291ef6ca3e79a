package jetstream

import (
	"context"
	"strings"
	"testing"
	"time"
)

// kill ends a store as a killed process ends: nothing is given back.
func kill(s *Store) {
	links := []*link{s.own}
	for _, l := range s.open() {
		links = append(links, l.link)
	}
	for _, l := range links {
		l.nc.Close()
		for _, d := range l.shards {
			d.conn.Close()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(ctx)
}

func shortLease(c *Config) { c.leaseTime = time.Second }

func TestDeadBridgeLeavesNothing(t *testing.T) {
	srv := newServer(t, nil)
	dead := newStore(t, srv, shortLease)
	a, b := openLog(t, dead), openLog(t, newStore(t, srv, shortLease))
	claim(t, a, newHolder("id", "u").prompt())
	_, _ = attach(t, a, "x", "")
	_, _ = attach(t, a, "x", "7")
	if _, err := a.AttachErrors(ctxOf(t), "id", "u", newSink()); err != nil {
		t.Fatal(err)
	}
	settleSessions(t, b)
	wantConsumers(t, b, "x", 2)
	loseConsumer(t, b, "x", consumerName(dead.config.Bridge, ""))
	wantConsumers(t, b, "x", 2)
	ended := b.store.lease.ended(dead.config.Bridge)
	select {
	case <-ended:
		t.Fatal("the lease of a living bridge has ended")
	default:
	}
	kill(dead)
	awaitClosed(t, b.store.lease, dead.config.Bridge)
	if n := b.sessions.count(); n != 0 {
		t.Errorf("%d claims are left", n)
	}
	wantConsumers(t, b, "x", 0)
	s, err := b.link.js.Stream(ctxOf(t), b.names.errors)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers of the error stream are left", n)
	}
}

// A bridge that was taken for dead loses its claims, takes a new lease and reads on.
func TestBridgeThatLostItsLeaseComesBack(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	h := newHolder("id", "u").prompt()
	claim(t, a, h)
	s, r := attach(t, a, "x", "")
	settleSessions(t, b)
	bridge := a.store.config.Bridge
	ours := a.store.lease.copy.Get(leasePrefix + bridge)
	rec := leaseRecord{Version: recordVersion, State: leaseEnded, By: b.store.config.Bridge}
	sequence, err := b.store.lease.set(ctxOf(t), leasePrefix+bridge, rec, ours, 0)
	if err != nil {
		t.Fatal(err)
	}
	<-b.store.lease.ended(bridge)
	b.store.lease.cleanUp(bridge, leaseEntry{Sequence: sequence, Live: true})
	h.awaitRevoked(t, false)
	deadline := time.After(patience)
	for !b.store.lease.alive(bridge) {
		if err := b.store.lease.copy.Wait(ctxOf(t), b.store.lease.copy.Position()+1); err != nil {
			t.Fatal(err)
		}
	}
	// The reader has attached again when its consumer is there.
	for {
		mustStore(t, b, "x", "hello")
		select {
		case d := <-s.deliveries:
			r.Ack(d)
			if err := a.store.Ready(); err != nil {
				t.Error(err)
			}
			return
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("the reader does not come back")
		}
	}
}

// awaitClosed waits until somebody has cleaned up after the bridge.
func awaitClosed(t *testing.T, l *lease, bridge string) {
	t.Helper()
	ctx := ctxOf(t)
	for {
		if e := l.copy.Get(leasePrefix + bridge); e.Value.State == leaseClosed {
			return
		}
		if err := l.copy.Wait(ctx, l.copy.Position()+1); err != nil {
			t.Fatal(err)
		}
	}
}

// loseConsumer deletes a consumer by hand, and waits until its reader has another, by another name.
func loseConsumer(t *testing.T, l *Log, topic, name string) {
	t.Helper()
	top, err := dedicatedTopic(ctxOf(t), l, topic)
	if err != nil {
		t.Fatal(err)
	}
	made, err := l.link.nc.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.CREATED." + top.stream() + ".*")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.link.js.DeleteConsumer(ctxOf(t), top.stream(), name); err != nil {
		t.Fatal(err)
	}
	m, err := made.NextMsgWithContext(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if again := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]; again == name {
		t.Errorf("the consumer has its name %s again", name)
	}
}
