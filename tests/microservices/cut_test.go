package microservices

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// plenty are rules by which no topic of a test is ever full: dedicated topics, and s/# in a shared stream.
var plenty = weirtest.DemoRules(
	`{filter: "s/#", stream: shared, name: s, backlog_messages: -1, backlog_bytes: 268435456}`,
	`{filter: "#", stream: dedicated, backlog_messages: -1, backlog_bytes: 268435456}`,
)

// publishers publish on a dedicated topic each at one of the addresses, and both on two topics of the shared stream.
func publishers(addresses ...string) (all []*load.Publisher) {
	for i, v := range []codec.Version{codec.V311, codec.V5} {
		n := strconv.Itoa(i)
		first := i % len(addresses)
		all = append(all, &load.Publisher{
			Addresses: append(slices.Clone(addresses[first:]), addresses[:first]...),
			Version:   v, ClientID: "publisher-" + n, Topics: []string{"d/" + n, "s/" + n, "s/x" + n}, Patience: 2 * time.Second, Every: 250 * time.Microsecond,
		})
	}
	return all
}

// soon is when what was not acknowledged must have come again: the store would wait for much longer.
const soon = 5 * time.Second

// fickle is a subscriber whose connections end before it has acknowledged everything.
type fickle struct {
	t         *testing.T
	addresses []string
	token     string
	record    *load.Record

	turn    int
	pending map[string]map[int64]bool // came and was not acknowledged, by topic
	refused int
	slowest time.Duration
	again   int
}

// connect opens a socket at the next address. The connection before may be found dead only after a while.
func (f *fickle) connect() *socket {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), weirtest.Patience)
	defer cancel()
	as := []encoding{asAvro, asJSON}[f.turn/len(f.addresses)%2]
	for {
		f.turn++
		s, refusal, err := open(ctx, f.addresses[f.turn%len(f.addresses)], consumers, f.token, as)
		if s != nil {
			return s
		}
		if ctx.Err() != nil || err == nil && refusal.status != http.StatusConflict {
			f.t.Fatalf("no socket: %+v %v", refusal, err)
		}
		f.refused++
	}
}

// take receives so many messages, and until everything has come again, in order per topic. It acknowledges some of them.
func (f *fickle) take(s *socket, count int, since time.Time) {
	f.t.Helper()
	missing := f.pending
	f.pending = map[string]map[int64]bool{}
	last := map[string]int64{}
	waiting := func() (n int) {
		for _, of := range missing {
			n += len(of)
		}
		return n
	}
	f.again += waiting()
	var unread []delivery
	for taken := 0; taken < count || waiting() > 0; taken++ {
		d := s.mustNext(f.t)
		n, err := strconv.ParseInt(d.payload, 10, 64)
		if before, ok := last[d.topic]; err != nil || ok && n <= before {
			f.t.Fatalf("received %q on %s after %d on the same connection", d.payload, d.topic, before)
		}
		last[d.topic] = n
		f.record.Add(d.topic, n)
		unread = append(unread, d)
		if f.pending[d.topic] == nil {
			f.pending[d.topic] = map[int64]bool{}
		}
		f.pending[d.topic][n] = true
		if missing[d.topic][n] {
			delete(missing[d.topic], n)
			if waiting() == 0 {
				f.slowest = max(f.slowest, time.Since(since))
			}
		}
		if len(unread) > 20 {
			f.acknowledge(s, unread, 0.9)
			unread = nil
		}
	}
	f.acknowledge(s, unread, 0.5)
}

// acknowledge acknowledges some, the rest never.
func (f *fickle) acknowledge(s *socket, all []delivery, share float64) {
	f.t.Helper()
	for _, d := range all {
		if rand.Float64() >= share {
			continue
		}
		if err := s.ack(d.id); err != nil {
			f.t.Fatal(err)
		}
		n, _ := strconv.ParseInt(d.payload, 10, 64) // it is a number
		delete(f.pending[d.topic], n)
	}
}

// takeAll acknowledges everything, until this is the last that has come of each topic.
func (f *fickle) takeAll(s *socket, acknowledged map[string][]int64) {
	f.t.Helper()
	last := maps.Collect(maps.All(acknowledged))
	for len(last) > 0 {
		d := s.mustNext(f.t)
		n, err := strconv.ParseInt(d.payload, 10, 64)
		if err != nil || s.ack(d.id) != nil {
			f.t.Fatalf("received %+v", d)
		}
		f.record.Add(d.topic, n)
		if want := last[d.topic]; len(want) > 0 && n == want[len(want)-1] {
			delete(last, d.topic)
		}
	}
}

// The connection of a durable subscriber is cut off 100 times in mid-stream, through two bridges in turn, while devices publish: nothing is lost, what
// was not acknowledged comes again at once, and everything in order.
func TestSubscriberIsCutOff(t *testing.T) {
	const cuts = 100
	p := weirtest.StartPair(t, plenty)
	f := &fickle{
		t: t, addresses: []string{p.A.HTTP(), p.B.HTTP()}, record: load.NewRecord("subscriber"),
		token: tokenFor(t, p.A, grant{Subscriber: "fickle", Subscription: "#"}),
	}
	s := f.connect() // from now on everything is kept
	work := load.Start(t, publishers(p.A.MQTT(), p.B.MQTT())...)
	cut := time.Now()
	for i := range cuts {
		f.take(s, 1+rand.IntN(50), cut)
		if err := s.cut(i%2 == 0); err != nil {
			t.Fatal(err)
		}
		cut = time.Now()
		s = f.connect()
	}
	defer s.ws.Close()
	acknowledged := work.Finish()
	f.takeAll(s, acknowledged)
	f.record.Check(t, acknowledged)
	t.Logf("%d messages had to come again, after %s at most; the subscriber was in use %d times", f.again, f.slowest, f.refused)
	if f.slowest > soon {
		t.Errorf("messages have come again after %s", f.slowest)
	}
}
