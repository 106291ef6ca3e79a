package microservices

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

const (
	bridgeKills   = 3
	embeddedKills = 3
	natsKills     = 3
	// bridgeReturn is how soon a subscriber receives again whose bridge was killed: long before the bridge's lease of 10 s has ended.
	bridgeReturn = 8 * time.Second
)

// faithful is a subscriber that acknowledges everything and connects again, to the next address, whatever happens.
type faithful struct {
	*load.Record
	addresses []string
	token     string
	as        encoding

	mu   sync.Mutex
	seen int64         // messages
	news chan struct{} // closed with the next message, and replaced
	at   int           // index of the address that it is connected to; -1: none
}

// follow receives until the end of the test.
func follow(t *testing.T, name, token string, as encoding, addresses ...string) *faithful {
	t.Helper()
	f := &faithful{Record: load.NewRecord(name), addresses: addresses, token: token, as: as, news: make(chan struct{}), at: -1}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { f.run(ctx, t) })
	t.Cleanup(func() {
		cancel()
		work.Wait()
	})
	return f
}

func (f *faithful) run(ctx context.Context, t *testing.T) {
	for turn := 0; ctx.Err() == nil; turn++ {
		at := turn % len(f.addresses)
		s, _, err := open(ctx, f.addresses[at], consumers, f.token, f.as)
		if s == nil || err != nil {
			select { // before the next attempt
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		stop := context.AfterFunc(ctx, func() { s.ws.Close() })
		f.connected(at)
		f.receive(t, s)
		f.connected(-1)
		stop()
		s.ws.Close()
	}
}

func (f *faithful) connected(at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
}

func (f *faithful) receive(t *testing.T, s *socket) {
	for {
		d, err := s.within(time.Hour)
		if err != nil {
			return
		}
		n, err := strconv.ParseInt(d.payload, 10, 64)
		if err != nil || d.refused != "" {
			t.Errorf("received %+v", d)
			return
		}
		f.Add(d.topic, n)
		f.mu.Lock()
		f.seen++
		close(f.news)
		f.news = make(chan struct{})
		f.mu.Unlock()
		if s.ack(d.id) != nil {
			return
		}
	}
}

// await waits until so many more messages have come, and returns how long it took.
func (f *faithful) await(t *testing.T, more int64) time.Duration {
	t.Helper()
	began := time.Now()
	f.mu.Lock()
	target := f.seen + more
	f.mu.Unlock()
	timer := time.NewTimer(weirtest.Patience)
	defer timer.Stop()
	for {
		f.mu.Lock()
		reached, news := f.seen >= target, f.news
		f.mu.Unlock()
		if reached {
			return time.Since(began)
		}
		select {
		case <-news:
		case <-timer.C:
			t.Fatalf("no %d messages", more)
		}
	}
}

// address is the index of the one that it is connected to.
func (f *faithful) address() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// The bridge that serves a durable subscriber is killed, each of the two in turn. The subscriber goes on at the other one, long before the lease of the
// dead one has ended, and misses nothing.
func TestBridgeIsKilled(t *testing.T) {
	p := weirtest.StartPair(t, plenty)
	bridges := []*weirtest.Weir{p.A, p.B}
	f := follow(t, "subscriber", tokenFor(t, p.A, grant{Subscriber: "faithful", Subscription: "#"}), asJSON, p.A.HTTP(), p.B.HTTP())
	weirtest.Until(t, "it is connected", func() bool { return f.address() >= 0 })
	work := load.Start(t, publishers(p.A.MQTT(), p.B.MQTT())...)
	for range bridgeKills {
		f.await(t, 200+rand.Int64N(500))
		killed := bridges[max(f.address(), 0)]
		killed.Kill()
		if after := f.await(t, 100); after > bridgeReturn {
			t.Errorf("it receives again after %s", after)
		} else {
			t.Logf("it receives again after %s", after)
		}
		killed.Restart()
	}
	work.AwaitEach(200)
	f.Check(t, work.Finish())
}

// An embedded server goes with its bridge.
func TestEmbeddedIsKilled(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: plenty})
	f := follow(t, "subscriber", tokenFor(t, weir, grant{Subscriber: "faithful", Subscription: "#"}), asAvro, weir.HTTP())
	weirtest.Until(t, "it is connected", func() bool { return f.address() >= 0 })
	work := load.Start(t, publishers(weir.MQTT())...)
	for range embeddedKills {
		f.await(t, 200+rand.Int64N(500))
		weir.Kill()
		weir.Restart()
	}
	work.AwaitEach(200)
	f.Check(t, work.Finish())
}

// The server is killed. Two subscribers, at a bridge each, miss nothing.
func TestNATSIsKilled(t *testing.T) {
	p := weirtest.StartPair(t, plenty)
	var all []*faithful
	for name, weir := range map[string]*weirtest.Weir{"a": p.A, "b": p.B} {
		all = append(all, follow(t, name, tokenFor(t, p.A, grant{Subscriber: name, Subscription: "#"}), asJSON, weir.HTTP()))
	}
	for _, f := range all {
		weirtest.Until(t, "it is connected", func() bool { return f.address() >= 0 })
	}
	work := load.Start(t, publishers(p.A.MQTT(), p.B.MQTT())...)
	for range natsKills {
		for _, f := range all {
			f.await(t, 200+rand.Int64N(500))
		}
		p.NATS.Kill()
		p.NATS.Restart()
	}
	work.AwaitEach(200)
	acknowledged := work.Finish()
	for _, f := range all {
		f.Check(t, acknowledged)
	}
}
