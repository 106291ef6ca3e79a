package microservice

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// TestReturn: what was not acknowledged comes again at once when the subscriber returns, and what was published meanwhile.
func TestReturn(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	token := r.token("svc", "a/+", persistent)
	c, pub := r.jsonConsumer(token), r.jsonProducer()
	for i := range 10 {
		pub.mustPublish(i, "a/b", fmt.Sprint(i))
	}
	c.expectMessages("0", "1", "2")
	for range 7 {
		c.receive()
	}
	c.synced()
	_ = c.ws.Close()
	r.expectUnserved()
	pub.mustPublish(10, "a/b", "10")
	pub.mustPublish(11, "a/new", "11")
	c = r.jsonConsumer(token)
	rest := map[string]bool{}
	for i := range 9 {
		m := c.receive()
		if m.topic == "a/b" && m.payload != fmt.Sprint(3+i-len(rest)) {
			t.Errorf("got %s as number %d", m.payload, i)
		}
		if m.topic == "a/new" {
			rest[m.payload] = true
		}
		c.ack(m.id)
	}
	r.expectStored(0)
}

// TestMove: a subscriber gets everything once and in order while its topics move from streams of their own to a shared one and back.
func TestMove(t *testing.T) {
	const n = 600
	q := tenant.Quotas{}
	r := newRig(t, q)
	c, pub := r.jsonConsumer(r.token("svc", "a/+")), r.jsonProducer()
	one := tenant.Rules{{Filter: "a/#", Stream: tenant.StreamShared, Name: "one", BacklogBytes: 1 << 24}}
	go func() {
		for i := range n {
			switch i {
			case n / 3:
				r.store.SetLimits("acme", 2, q.Resolve(), one.Resolve(q))
			case 2 * n / 3:
				r.store.SetLimits("acme", 3, q.Resolve(), tenant.Rules(nil).Resolve(q))
			}
			pub.send(jsonFrame(i, fmt.Sprintf("a/%d", i%3), fmt.Sprint(i)))
			if _, err := pub.next(); err != nil {
				return // the test has failed
			}
		}
	}()
	next := map[string]int{"a/0": 0, "a/1": 1, "a/2": 2}
	for range n {
		m := c.receive()
		if m.payload != fmt.Sprint(next[m.topic]) {
			t.Fatalf("%s: got %s, want %d", m.topic, m.payload, next[m.topic])
		}
		next[m.topic] += 3
		c.ack(m.id)
	}
	r.expectStored(0)
}

// TestOverflow: what is let go because the subscriber holds too much is counted.
func TestOverflow(t *testing.T) {
	r := newRig(t, tenant.Quotas{Inflight: 5},
		tenant.Rule{Filter: "a", Stream: tenant.StreamDedicated, HoldWhenFull: tenant.HoldDiscardOldest, HoldMessages: 10, BacklogMessages: 1000})
	c, pub := r.jsonConsumer(r.token("svc", "a")), r.jsonProducer()
	var sent []string
	for i := range 100 {
		pub.mustPublish(i, "a", fmt.Sprint(i))
		if i < 5 {
			sent = append(sent, c.receive().id)
		}
	}
	r.expectStored(10)
	for _, id := range sent {
		c.ack(id)
	}
	c.expectMessages("90", "91", "92", "93", "94", "95", "96", "97", "98", "99")
	_ = c.ws.Close()
	second := r.jsonConsumer(r.token("svc", "b"))
	second.synced()
	if err := r.sockets.Shutdown(r.context()); err != nil { // what is left to tell is told when the subscriber leaves
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(r.sockets.Metrics.drops.WithLabelValues(string(reason.SessionOverflow))); got != 85 {
		t.Errorf("%g let go, want 85", got)
	}
}

func TestUnwanted(t *testing.T) {
	now := time.Now()
	for want, m := range map[reason.Reason][]message.Message{
		"": {{}, {HasExpiry: true, Expiry: 2}, {HasExpiry: true, Expiry: 2, Stored: now.Add(-time.Second)}, {HasExpiry: true, Stored: now}},
		reason.MessageExpired: {
			{HasExpiry: true, Expiry: 2, Stored: now.Add(-2 * time.Second)}, {HasExpiry: true, Stored: now.Add(-time.Second)},
		},
		reason.OtherClient: {{To: "thermostat-7"}},
	} {
		for i := range m {
			if got := unwanted(&m[i], now); got != want {
				t.Errorf("%+v: %q, want %q", m[i], got, want)
			}
		}
	}
}
