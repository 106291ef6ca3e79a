package microservice

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// TestExclusive: a second connection of a subscriber is refused while the first one answers pings, and replaces it, with what it has not acknowledged, when it
// does not.
func TestExclusive(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	pub := r.jsonProducer()
	token := r.token("svc", "a")
	first := r.jsonConsumer(token)
	pub.mustPublish(1, "a", "one")
	pub.mustPublish(2, "a", "two")
	one := first.receive()
	first.ack(one.id)
	two := first.receive()
	reading := make(chan error)
	go func() { // so that pings are answered
		_, err := first.next()
		reading <- err
	}()
	if _, status, code := r.dial("consumer", token, "", nil); status != 409 || code != string(reason.SubscriberInUse) {
		t.Errorf("%d %s", status, code)
	}
	if _, status, code := r.dial("consumer", r.token("svc", "a", shared), "", nil); status != 409 || code != string(reason.SubscriberInUse) {
		t.Errorf("%d %s", status, code)
	}
	pub.mustPublish(3, "a", "three")
	if err := <-reading; err != nil {
		t.Fatal(err)
	}
	second := r.jsonConsumer(token) // now that nobody reads at the other end of the first
	if again := second.receive(); again.id != two.id || again.payload != "two" {
		t.Errorf("got %+v, want %+v", again, two)
	}
	second.ack(two.id)
	second.expectMessages("three")
	first.expectEnd(1008, reason.TakenOver)
	r.expectStored(0)
	r.jsonConsumer(r.token("svc", "b")).synced() // another subscription of the same name
}

// TestExclusiveBesideAnotherBridge: the same holds for a connection that comes to another bridge, and what waits for an acknowledgement comes there.
func TestExclusiveBesideAnotherBridge(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	other := r.beside()
	token := r.token("svc", "a", persistent)
	first := r.jsonConsumer(token)
	reading := make(chan error)
	go func() {
		_, err := first.next()
		reading <- err
	}()
	if _, status, code := other.dial("consumer", token, "", nil); status != 409 || code != string(reason.SubscriberInUse) {
		t.Errorf("%d %s", status, code)
	}
	pub := r.jsonProducer()
	pub.mustPublish(1, "a", "one")
	if err := <-reading; err != nil {
		t.Fatal(err)
	}
	second := other.jsonConsumer(token) // now that nobody reads at the other end of the first
	second.expectMessages("one")
	first.expectEnd(1008, reason.TakenOver)
	pub.mustPublish(2, "a", "two")
	second.expectMessages("two")
	r.expectStored(0)
	if err := second.ws.Close(); err != nil {
		t.Error(err)
	}
	r.expectUnserved()
	pub.mustPublish(3, "a", "three")
	other.jsonConsumer(token).expectMessages("three") // it serves the subscriber itself now
	if n := len(other.served()); n != 1 {
		t.Errorf("the other bridge serves %d subscribers", n)
	}
}

// TestSharedBesideAnotherBridge: connections on two bridges share the messages, and what one has not acknowledged when it goes comes to the other
// at once.
func TestSharedBesideAnotherBridge(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	other := r.beside()
	token := r.token("svc", "a", shared, persistent)
	stays, goes := r.jsonConsumer(token), other.jsonConsumer(token)
	pub := r.jsonProducer()
	const n = 100
	for i := range n {
		pub.mustPublish(i, "a", fmt.Sprint(i))
	}
	seen := map[string]int{}
	for range n / 2 {
		m := stays.receive()
		seen[m.payload]++
		stays.ack(m.id)
		seen[goes.receive().payload]--
	}
	_ = goes.ws.Close()
	for range n / 2 {
		m := stays.receive()
		seen[m.payload] += 2
		stays.ack(m.id)
	}
	for i := range n {
		if seen[fmt.Sprint(i)] != 1 {
			t.Errorf("message %d: %d", i, seen[fmt.Sprint(i)])
		}
	}
	r.expectStored(0)
}

// TestRemovedBesideAnotherBridge: a subscriber that is removed on one bridge has no connection on another.
func TestRemovedBesideAnotherBridge(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	other := r.beside()
	c := r.jsonConsumer(r.token("svc", "a", persistent))
	log, err := other.store.Tenant(r.context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if removed, err := log.RemoveSubscriber(r.context(), jetstream.SubscriberKey{Name: "svc", Filter: "a"}); err != nil || !removed {
		t.Errorf("removed: %v, %v", removed, err)
	}
	c.expectEnd(1008, reason.TakenOver)
	r.jsonProducer().mustPublish(1, "a", "one")
	r.expectStored(0)
}

// TestShared: each message goes to one of the connections, and what one has not acknowledged when it goes comes to the others at once, before
// anything new.
func TestShared(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	pub := r.jsonProducer()
	token := r.token("svc", "a", shared)
	stays, goes := r.jsonConsumer(token), r.open("consumer", token, frame.Protocol)
	const n = 100
	for i := range n {
		pub.mustPublish(i, "a", fmt.Sprint(i))
	}
	seen := map[string]int{}
	var unacknowledged []string
	for range n / 2 {
		m := stays.receive()
		seen[m.payload]++
		stays.ack(m.id)
		m = goes.receive()
		unacknowledged = append(unacknowledged, m.payload)
	}
	_ = goes.ws.Close()
	for _, want := range unacknowledged {
		m := stays.receive()
		if m.payload != want {
			t.Fatalf("got %s, want %s", m.payload, want)
		}
		seen[m.payload]++
		stays.ack(m.id)
	}
	if len(seen) != n {
		t.Errorf("%d of %d", len(seen), n)
	}
	pub.mustPublish(n, "a", "last")
	stays.expectMessages("last")
	r.expectStored(0)
}

// TestSharedStuck: a connection that does not read keeps what was sent to it from nobody else for longer than it is there, and holds up nothing.
func TestSharedStuck(t *testing.T) {
	r := newRig(t, tenant.Quotas{Inflight: 10})
	pub := r.jsonProducer()
	token := r.token("svc", "a", shared)
	stuck, stays := r.jsonConsumer(token), r.jsonConsumer(token)
	const n = 500
	seen := map[string]bool{}
	for i := range n {
		pub.mustPublish(i, "a", fmt.Sprint(i))
	}
	for range n - 10 {
		m := stays.receive()
		seen[m.payload] = true
		stays.ack(m.id)
	}
	_ = stuck.ws.Close()
	for range 10 {
		m := stays.receive()
		seen[m.payload] = true
		stays.ack(m.id)
	}
	if len(seen) != n {
		t.Errorf("%d of %d", len(seen), n)
	}
	r.expectStored(0)
}

// expectUnserved waits until the bridge serves no subscriber.
func (r *rig) expectUnserved() {
	r.t.Helper()
	for _, sub := range r.served() {
		select {
		case <-sub.gone:
		case <-r.context().Done():
			r.t.Fatal("a subscriber is served still")
		}
	}
}

func (r *rig) served() []*subscriber {
	r.sockets.mu.Lock()
	defer r.sockets.mu.Unlock()
	return slices.Collect(maps.Values(r.sockets.subscribers))
}
