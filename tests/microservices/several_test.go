package microservices

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// take receives and acknowledges so many messages, and returns the payloads by topic.
func take(t *testing.T, s *socket, count int) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for range count {
		d := s.mustNext(t)
		all[d.topic] = append(all[d.topic], d.payload)
		if err := s.ack(d.id); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func numbers(from, to int) (all []string) {
	for n := range to - from {
		all = append(all, strconv.Itoa(from+n))
	}
	return all
}

// Two subscribers with a wildcard get everything each: of topics that exist, of those that another bridge creates while they are away, of a shared rule, and
// while they are there of a transient one.
func TestTwoSubscribersGetEverything(t *testing.T) {
	const few = 20
	p := weirtest.StartPair(t, weirtest.DemoRules(
		`{filter: "w/s/#", stream: shared, name: s, backlog_bytes: 1048576}`, `{filter: "w/t/#", stream: transient}`))
	device := weirtest.Device(t, p.B, codec.V5, "device")
	publish := func(from, to int, topics ...string) {
		t.Helper()
		for n := range to - from {
			for _, topic := range topics {
				if ack := device.Publish(topic, strconv.Itoa(from+n)); ack.Code >= 0x80 {
					t.Fatalf("%s: %+v", topic, ack)
				}
			}
		}
	}
	tokens := map[string]string{"one": "", "two": ""}
	sockets := map[string]*socket{}
	openAll := func(weirs ...*weirtest.Weir) {
		t.Helper()
		for i, name := range []string{"one", "two"} {
			sockets[name] = mustOpen(t, weirs[i], consumers, tokens[name], []encoding{asAvro, asJSON}[i])
		}
	}
	expectAll := func(from, to int, topics ...string) {
		t.Helper()
		for name, s := range sockets {
			all := take(t, s, len(topics)*(to-from))
			for _, topic := range topics {
				if !slices.Equal(all[topic], numbers(from, to)) {
					t.Errorf("%s received %v on %s", name, all[topic], topic)
				}
			}
		}
	}
	for name := range tokens {
		tokens[name] = tokenFor(t, p.A, grant{Subscriber: name, Subscription: "w/#"})
	}
	openAll(p.A, p.B)
	publish(0, few, "w/old", "w/s/a", "w/t/a")
	expectAll(0, few, "w/old", "w/s/a", "w/t/a")
	for _, s := range sockets {
		if err := s.cut(false); err != nil {
			t.Fatal(err)
		}
	}
	for _, weir := range []*weirtest.Weir{p.A, p.B} {
		weirtest.Until(t, "they are away", func() bool { return weir.Metric("weir_sockets") == 0 })
	}
	publish(few, 2*few, "w/old", "w/s/a", "w/t/a", "w")
	publish(few, 2*few, "w/new/1", "w/new/2", "w/s/new")
	openAll(p.B, p.A)
	expectAll(few, 2*few, "w/old", "w/s/a", "w", "w/new/1", "w/new/2", "w/s/new")
	publish(2*few, 3*few, "w/old", "w/s/a", "w/t/a", "w/t/new", "w/newer")
	expectAll(2*few, 3*few, "w/old", "w/s/a", "w/t/a", "w/t/new", "w/newer")
}

// share is what several connections of one subscriber have got, together.
type share struct {
	mu     sync.Mutex
	seen   map[int]int // connections by number
	counts []int
	news   chan struct{} // closed with the next message, and replaced
}

// receive takes and acknowledges until the connection ends.
func (s *share) receive(t *testing.T, conn *socket, i int) {
	for {
		d, err := conn.next()
		if err != nil {
			return
		}
		n, err := strconv.Atoi(d.payload)
		s.mu.Lock()
		if _, twice := s.seen[n]; err != nil || twice {
			t.Errorf("%d received %+v, which %d has had", i, d, s.seen[n])
		}
		s.seen[n] = i
		s.counts[i]++
		close(s.news)
		s.news = make(chan struct{})
		s.mu.Unlock()
		if conn.ack(d.id) != nil {
			return
		}
	}
}

// await waits until so many different messages have come.
func (s *share) await(t *testing.T, count int) {
	t.Helper()
	ctx := weirtest.Context(t)
	for {
		s.mu.Lock()
		enough, news := len(s.seen) >= count, s.news
		s.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			t.Fatalf("%d of %d messages", len(s.seen), count)
		}
	}
}

// Connections of one subscriber at two bridges share what comes: each message goes to one of them.
func TestConnectionsShare(t *testing.T) {
	const many = 600
	p := weirtest.StartPair(t, plenty)
	token := tokenFor(t, p.A, grant{Subscriber: "pool", Subscription: "d/+", Shared: true})
	all := &share{seen: map[int]int{}, counts: make([]int, 4), news: make(chan struct{})}
	var work sync.WaitGroup
	var conns []*socket
	for i, weir := range []*weirtest.Weir{p.A, p.B, p.B, p.A} {
		conn := mustOpen(t, weir, consumers, token, []encoding{asAvro, asJSON}[i%2])
		conns = append(conns, conn)
		work.Go(func() { all.receive(t, conn, i) })
	}
	device := weirtest.Device(t, p.B, codec.V5, "device")
	var messages []*codec.Publish
	for n := range many {
		messages = append(messages, &codec.Publish{Topic: fmt.Append(nil, "d/", n%3), Payload: []byte(strconv.Itoa(n))})
	}
	if err := device.PublishAll(messages); err != nil {
		t.Fatal(err)
	}
	all.await(t, many)
	for _, conn := range conns {
		conn.ws.Close()
	}
	work.Wait()
	if n := slices.Min(all.counts); n < many/20 {
		t.Errorf("messages per connection: %v", all.counts)
	}
	t.Logf("messages per connection: %v", all.counts)
}

// A bridge with connections of a shared subscriber is killed, be it the one that serves the subscriber or the other one: the connection to the bridge that
// stays gets the rest.
func TestBridgeOfASharedSubscriberIsKilled(t *testing.T) {
	for _, killed := range []string{"serves", "passes on"} {
		t.Run(killed, func(t *testing.T) {
			p := weirtest.StartPair(t, plenty)
			token := tokenFor(t, p.A, grant{Subscriber: "pool", Subscription: "#", Shared: true})
			var silent *socket
			if killed == "serves" {
				silent = mustOpen(t, p.A, consumers, token, asJSON)
			}
			f := follow(t, "the connection that stays", token, asJSON, p.B.HTTP())
			weirtest.Until(t, "it is connected", func() bool { return f.address() >= 0 })
			if silent == nil {
				silent = mustOpen(t, p.A, consumers, token, asJSON)
			}
			work := load.Start(t, publishers(p.B.MQTT())...)
			_ = silent.mustNext(t) // and acknowledges nothing
			f.await(t, 100)
			p.A.Kill()
			t.Logf("it receives again after %s", f.await(t, 1))
			work.AwaitEach(200)
			acknowledged := work.Finish()
			weirtest.Until(t, "everything has come", func() bool { return f.Missing(acknowledged) == 0 })
		})
	}
}
