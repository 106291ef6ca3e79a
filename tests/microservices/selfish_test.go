package microservices

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// An acknowledgement is for the socket's own messages: those of another socket stay where they are. Whoever asks for a message again and again gets it, and
// the others get theirs.
func TestAcknowledgementsOfOthers(t *testing.T) {
	const few, naks = 10, 2000
	weir := weirtest.Start(t, weirtest.Options{Tenants: plenty})
	token := tokenFor(t, weir, grant{Subscriber: "pool", Subscription: "d/x", Shared: true})
	a, b := mustOpen(t, weir, consumers, token, asJSON), mustOpen(t, weir, consumers, token, asJSON)
	weirtest.NewPublisher(t, weir, codec.V5, "d/x").MustPublish(0, 2*few)
	ids := map[*socket][]string{}
	payloads := map[string]bool{}
	for _, s := range []*socket{a, b} {
		for range few {
			d := s.mustNext(t)
			ids[s], payloads[d.payload] = append(ids[s], d.id), true
		}
	}
	for _, id := range append(ids[a], "0", "18446744073709551615", "-1", "x", "") {
		if err := b.ack(id); err != nil {
			t.Fatal(err)
		}
		if d, err := b.next(); err != nil || d.refused != "unknown_ack" {
			t.Errorf("an acknowledgement of %q: %+v %v", id, d, err)
		}
	}
	for n := range naks {
		if err := b.send(`{"nak":"` + ids[b][n%few] + `"}`); err != nil {
			t.Fatal(err)
		}
		if d := b.mustNext(t); d.id != ids[b][n%few] {
			t.Fatalf("received %+v", d)
		}
	}
	for range 20_000 { // nobody reads what comes of these until they are all sent
		if err := b.send(`{"nak":"` + ids[b][0] + `"}`); err != nil {
			t.Fatal(err)
		}
	}
	for range few {
		if d := b.mustNext(t); d.id != ids[b][0] {
			t.Fatalf("received %+v", d)
		}
	}
	if err := b.cut(true); err != nil {
		t.Fatal(err)
	}
	for range few {
		if err := a.ack(ids[a][0]); err != nil {
			t.Fatal(err)
		}
		ids[a] = ids[a][1:]
		delete(payloads, a.mustNext(t).payload) // what b had
	}
	if len(payloads) != few {
		t.Errorf("%d messages have not come again", len(payloads)-few)
	}
}

// Who removes a subscriber removes it for all who share it, at whatever bridge, and for good.
func TestUnsubscribeWhileOthersShare(t *testing.T) {
	p := weirtest.StartPair(t, plenty)
	token := tokenFor(t, p.A, grant{Subscriber: "pool", Subscription: "d/x", Shared: true})
	device := weirtest.NewPublisher(t, p.A, codec.V5, "d/x")
	for i, by := range []*weirtest.Weir{p.A, p.B, p.A, p.B, nil, nil} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			all := []*socket{mustOpen(t, p.A, consumers, token, asJSON), mustOpen(t, p.A, consumers, token, asAvro), mustOpen(t, p.B, consumers, token, asJSON)}
			device.MustPublish(0, 20)
			if by == nil {
				expect(t, "removed", unsubscribe(t, []*weirtest.Weir{p.A, p.B}[i%2], token), http.StatusOK, "")
			} else {
				one := mustOpen(t, by, consumers, token, asAvro)
				if err := one.unsubscribe(); err != nil {
					t.Fatal(err)
				}
				all = append(all, one)
			}
			for n, s := range all {
				for {
					_, err := s.next()
					if err == nil {
						continue
					}
					if !websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.ClosePolicyViolation) {
						t.Errorf("connection %d: %v", n, err)
					}
					break
				}
			}
			var s *socket
			weirtest.Until(t, "it may be opened again", func() bool {
				s, _, _ = open(weirtest.Context(t), p.B.HTTP(), consumers, token, asJSON)
				return s != nil
			})
			device.MustPublish(100, 101)
			if d := s.mustNext(t); d.payload != "100" {
				t.Errorf("received %+v, which was removed", d)
			}
			if err := s.unsubscribe(); err != nil {
				t.Fatal(err)
			}
			s.mustClose(t, websocket.CloseNormalClosure)
		})
	}
}

// A thousand sockets of a tenant do not read, while messages come for all of them. The memory that they take is bounded, and who reads gets everything.
func TestSocketsThatDoNotRead(t *testing.T) {
	const most, messages = 1000, 1000
	weir := weirtest.Start(t, weirtest.Options{Tenants: plenty, Unchecked: true}) // its memory is measured
	reading := mustOpen(t, weir, consumers, tokenFor(t, weir, grant{Subscriber: "reads", Subscription: "d/x"}), asJSON)
	before := weir.Memory()
	for n := range most - 1 {
		token := tokenFor(t, weir, grant{Subscriber: "lazy-" + strconv.Itoa(n), Subscription: "d/x", NonPersistent: true})
		mustOpen(t, weir, consumers, token, asJSON)
	}
	one := tokenFor(t, weir, grant{Subscriber: "one more", Subscription: "d/x", NonPersistent: true})
	mustRefuse(t, weir, consumers, one, http.StatusServiceUnavailable, "socket_limit")
	idle := weir.Memory()
	device := weirtest.Device(t, weir, codec.V5, "device")
	payload := make([]byte, 4<<10)
	began := time.Now()
	go func() {
		var all []*codec.Publish
		for range messages {
			all = append(all, &codec.Publish{Topic: []byte("d/x"), Payload: payload})
		}
		if err := device.PublishAll(all); err != nil {
			t.Error(err)
		}
	}()
	for range messages {
		if err := reading.ack(reading.mustNext(t).id); err != nil {
			t.Fatal(err)
		}
	}
	after := weir.Memory()
	t.Logf("%d MiB without sockets, %d with them, %d after %d messages of 4 KiB, which took %s", before>>20, idle>>20, after>>20, messages, time.Since(began))
	if after-before > 1<<30 {
		t.Errorf("they take %d MiB", (after-before)>>20)
	}
}

// A subscriber hops between two bridges as fast as it can.
func TestSubscriberHops(t *testing.T) {
	const hopping = 5 * time.Second
	p := weirtest.StartPair(t, plenty)
	token := tokenFor(t, p.A, grant{Subscriber: "hopper", Subscription: "#"})
	mustOpen(t, p.A, consumers, token, asJSON).ws.Close()
	before := []float64{p.A.Metric("go_goroutines"), p.B.Metric("go_goroutines")}
	work := load.Start(t, publishers(p.A.MQTT())...)
	refused, hops := map[string]int{}, 0
	var slowest time.Duration
	for began := time.Now(); time.Since(began) < hopping; hops++ {
		weir := []*weirtest.Weir{p.A, p.B}[hops%2]
		asked := time.Now()
		s, refusal, err := open(context.Background(), weir.HTTP(), consumers, token, asJSON)
		slowest = max(slowest, time.Since(asked))
		switch {
		case err != nil:
			t.Fatal(err)
		case s == nil:
			refused[fmt.Sprint(refusal.status, " ", refusal.code())]++
		default:
			s.ws.Close()
		}
	}
	t.Logf("%d hops, the slowest took %s; refused: %v", hops, slowest, refused)
	for why := range refused {
		if why != "409 subscriber_in_use" {
			t.Errorf("refused: %s", why)
		}
	}
	f := follow(t, "subscriber", token, asJSON, p.B.HTTP(), p.A.HTTP())
	work.AwaitEach(100)
	f.Check(t, work.Finish())
	for i, weir := range []*weirtest.Weir{p.A, p.B} {
		weirtest.Until(t, "nothing is left", func() bool { return weir.Metric("go_goroutines") <= before[i]+50 })
	}
}
