package microservice

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// TestOpenFails: whatever a subscriber cannot get, it is refused by name, and what it had by then is given back.
func TestOpenFails(t *testing.T) {
	r := newRig(t, tenant.Quotas{Topics: 1})
	taken := func(context.Context, Grant, func()) (func(), error) {
		return nil, reason.New(reason.SubscriberInUse, "")
	}
	full := func(context.Context, Grant) (*View, error) { return nil, reason.New(reason.StorageFull, "") }
	away := func(context.Context, Grant) (*View, error) { return nil, reason.New(reason.NATSUnavailable, "") }
	faulty := func(context.Context, Grant, func()) (func(), error) { panic("a fault") }
	r.jsonConsumer(r.token("svc", "a")).synced()
	claim, durable := r.sockets.Claim, r.sockets.Durable
	for name, one := range map[string]struct {
		topic   string
		claim   func(context.Context, Grant, func()) (func(), error)
		durable func(context.Context, Grant) (*View, error)
		status  int
		code    reason.Reason
	}{
		"claimed elsewhere": {"a", taken, durable, 409, reason.SubscriberInUse},
		"no storage":        {"a", claim, full, 507, reason.StorageFull},
		"a fault":           {"a", faulty, durable, 500, reason.InternalError},
		"no NATS":           {"a", claim, away, 503, reason.NATSUnavailable},
		"one topic more":    {"b", claim, durable, 507, reason.TopicQuota},
	} {
		t.Run(name, func(t *testing.T) {
			r.sockets.Claim, r.sockets.Durable = one.claim, one.durable
			_, status, code := r.dial("consumer", r.token("svc", one.topic, persistent), "", nil)
			if status != one.status || code != string(one.code) {
				t.Errorf("%d %s, want %d %s", status, code, one.status, one.code)
			}
		})
	}
	r.sockets.Claim, r.sockets.Durable = claim, durable
	if n := len(r.sockets.subscribers); n != 1 {
		t.Errorf("%d subscribers are left", n)
	}
}

// TestUnsubscribeFails: a subscriber that cannot be removed has left nevertheless, and its connection ends with the reason.
func TestRemoveFails(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	c := r.jsonConsumer(r.token("svc", "a"))
	r.sockets.Unsubscribe = func(context.Context, Grant) error { return reason.New(reason.NATSUnavailable, "") }
	c.send(`{"unsubscribe":true}`)
	c.expectEnd(1011, reason.NATSUnavailable)
}

// TestOpenAtOnce: of many connections that want a subscriber at once one gets it, or, where they share it, all do.
func TestOpenAtOnce(t *testing.T) {
	const n = 8
	for _, share := range []bool{false, true} {
		t.Run(fmt.Sprint("shared ", share), func(t *testing.T) {
			r := newRig(t, tenant.Quotas{})
			token := r.token("svc", "a", func(g *Grant) { g.Shared = share })
			var mu sync.Mutex
			var open []*client
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					ws, status, code := r.dial("consumer", token, "", nil)
					if ws == nil {
						if status != 409 || share {
							t.Errorf("%d %s", status, code)
						}
						return
					}
					c := &client{t: t, ws: ws}
					go func() { _, _ = c.next() }() // answers pings
					mu.Lock()
					defer mu.Unlock()
					open = append(open, c)
				})
			}
			wg.Wait()
			if want := map[bool]int{false: 1, true: n}[share]; len(open) != want {
				t.Errorf("%d are open, want %d", len(open), want)
			}
			for _, c := range open {
				_ = c.ws.Close()
			}
		})
	}
}

// TestSharedChurn: connections that share a subscriber come and are killed while messages flow. As long as one is left, every message is acknowledged by one of them
// in the end.
func TestSharedChurn(t *testing.T) {
	const n, workers = 600, 4
	r := newRig(t, tenant.Quotas{Inflight: 50})
	token := r.token("svc", "a", shared)
	stays := r.jsonConsumer(token)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := r.jsonConsumer(token)
				for range rand.IntN(20) {
					c.send(`{"nak":"0"}`) // so that there is an answer, if no message
					if _, err := c.next(); err != nil {
						t.Error(err)
						return
					}
				}
				kill(c) // it has acknowledged nothing
			}
		})
	}
	wg.Go(func() {
		defer close(stop)
		pub := r.jsonProducer()
		for i := range n {
			pub.mustPublish(i, "a", fmt.Sprint(i))
		}
	})
	seen := map[string]bool{}
	for len(seen) < n {
		m := stays.receive()
		if seen[m.payload] {
			t.Fatalf("got %s again, which was acknowledged", m.payload)
		}
		seen[m.payload] = true
		stays.ack(m.id)
	}
	wg.Wait()
	r.expectStored(0)
}
