package jetstream

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// sharedPlace is that of sharedRule.
var sharedPlace = tenant.Place{Stream: tenant.StreamShared, Name: "t"}

// choosy wants only the topics that a filter matches.
type choosy struct {
	*sink
	filter string
}

func (c choosy) Wants(topic string) bool { return filter.Match(c.filter, topic) }

// What the sink does not want is acknowledged and does not reach it.
func TestSharedReaderChooses(t *testing.T) {
	logs := two(t, sharedRule(func(*tenant.Rule) {}))
	s := choosy{newSink(), "t/+/wanted"}
	r, err := logs[0].Attach(ctxOf(t), sharedPlace, "", 0, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		mustStore(t, logs[1], fmt.Sprint("t/", i), "not")
		mustStore(t, logs[1], fmt.Sprintf("t/%d/wanted", i), numbered(i))
	}
	awaitMessages(t, logs[0], "t/x", 50)
	for i := range 50 {
		d := s.next(t)
		if string(d.Payload) != numbered(i) {
			t.Errorf("%q on %s", d.Payload, d.Topic)
		}
		r.Ack(d)
	}
	awaitMessages(t, logs[0], "t/x", 0)
}

// A session's own consumer has what its filters match, from where it begins, and holds nothing else.
func TestOwnConsumerOfSharedStream(t *testing.T) {
	logs := two(t, sharedRule(func(*tenant.Rule) {}))
	l := logs[0]
	s, r := attach(t, l, "t/x", "")
	topics := []string{"t/a", "t/b", "t/a/1", "t/b/1", "t/c", "t"}
	var all []reader.Delivery
	for round := range 3 {
		for _, topic := range topics {
			all = append(all, storeNext(t, logs[1], topic, round, s))
		}
	}
	from := all[len(topics)].Sequence
	for name, filters := range map[string][]string{
		"1": {"t/a"},
		"2": {"t/a", "t/a", "t/+"},
		"3": {"t/+/1", "t/b/+"}, // overlap
		"4": {"t/#"},
		"5": {"#", "+/b"},
		"6": {"t/b/#", "t/b", "t"},
		"7": nil,
	} {
		own := newSink()
		ro, err := l.Attach(ctxOf(t), sharedPlace, name, from, filters, own)
		if err != nil {
			t.Fatalf("%s: %v", filters, err)
		}
		for _, want := range all[len(topics):] {
			if !slices.ContainsFunc(filters, func(f string) bool { return filter.Match(f, want.Topic) }) && filters != nil {
				continue
			}
			d := own.next(t)
			for name == "3" && d.Sequence != want.Sequence {
				d = own.next(t) // a consumer that covers both has more
			}
			if d.Sequence != want.Sequence || d.Topic != want.Topic {
				t.Errorf("%s: %d of %s, want %d of %s", filters, d.Sequence, d.Topic, want.Sequence, want.Topic)
			}
		}
		closeReader(t, ro)
	}
	// The shared one lets go of everything; what the own one is for stays.
	own := newSink()
	ro, err := l.Attach(ctxOf(t), sharedPlace, "8", from, []string{"t/b/1"}, own)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		r.Ack(d)
	}
	awaitMessages(t, l, "t/x", 2)
	for range 2 {
		ro.Ack(own.next(t))
	}
	awaitMessages(t, l, "t/x", 0)
}

// The server takes no more filters than are useful.
func TestCoverOfManyFilters(t *testing.T) {
	l := openLog(t, newStore(t, newServer(t, nil), nil))
	var exact, wild []string
	for i := range 64 {
		exact = append(exact, fmt.Sprint("t/", i))
		wild = append(wild, fmt.Sprintf("t/%d/#", i))
	}
	if n := len(l.coverSubjects(exact, "#")); n != 64 {
		t.Errorf("64 topics have %d subjects", n)
	}
	if got := l.coverSubjects(append(exact, "t/x"), "#"); got != nil {
		t.Errorf("65 topics have %d subjects", len(got))
	}
	if got := l.coverSubjects(wild, "#"); got != nil {
		t.Errorf("64 filters have %d subjects", len(got))
	}
	if got := l.coverSubjects([]string{"t/x", "t/#"}, "t/#"); got != nil {
		t.Errorf("the whole rule: %q", got)
	}
	if got := l.coverSubjects(append(wild, "t/#"), "#"); !slices.Equal(got, []string{"mqtt.acme.t", "mqtt.acme.t.>"}) {
		t.Errorf("subjects %q", got)
	}
	if got := l.coverSubjects(slices.Repeat(exact, 100), "#"); got != nil {
		t.Errorf("subjects %q", got)
	}
}

// await waits for a delivery with a payload and acknowledges what comes before it.
func await(t *testing.T, s *sink, r Reader, payload string) reader.Delivery {
	t.Helper()
	for {
		d := s.next(t)
		r.Ack(d)
		if string(d.Payload) == payload {
			return d
		}
	}
}

// A stream that somebody deletes is made again by whoever needs it, and its sequences go on. Readers that have nothing to do with
// the topics published on notice as well.
func TestSharedStreamIsDeleted(t *testing.T) {
	logs := two(t, sharedRule(func(*tenant.Rule) {}))
	a, b := logs[0], logs[1]
	onA, ra := attach(t, a, "t/x", "")
	onB, rb := attach(t, b, "t/x", "")
	own := newSink()
	ro, err := a.Attach(ctxOf(t), sharedPlace, "1", 0, []string{"t/y"}, own)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for round := range 4 {
		for i := range 10 {
			mustStore(t, logs[i%2], fmt.Sprint("t/", i), numbered(i))
		}
		for range 9 {
			ra.Ack(onA.next(t))
			rb.Ack(onB.next(t))
		}
		d := onA.next(t) // not acknowledged
		if d.Sequence <= last {
			t.Fatalf("sequence %d came after %d", d.Sequence, last)
		}
		last = d.Sequence
		if newest, err := b.LastSequence(ctxOf(t), sharedPlace); err != nil || newest != last {
			t.Errorf("the last sequence is %d, want %d: %v", newest, last, err)
		}
		rb.Ack(onB.next(t))
		if err := a.link.js.DeleteStream(ctxOf(t), streamOf(t, a, "t/x").CachedInfo().Config.Name); err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 {
			mustStore(t, logs[round%2], "t/y", "made again") // by a publisher, and it may come before the readers
		}
		for _, c := range []string{"t/z", "t/y"} {
			awaitConsumers(t, a, "t/x", 3)
			mustStore(t, b, c, fmt.Sprint(c, round))
			if d := await(t, onA, ra, fmt.Sprint(c, round)); d.Sequence <= last {
				t.Errorf("sequence %d came after %d", d.Sequence, last)
			}
			await(t, onB, rb, fmt.Sprint(c, round))
		}
		if d := await(t, own, ro, fmt.Sprint("t/y", round)); d.Topic != "t/y" {
			t.Errorf("the own consumer has %s", d.Topic)
		}
		ra.Ack(d) // of a stream that is gone
		awaitMessages(t, a, "t/x", 0)
		if last, err = a.LastSequence(ctxOf(t), sharedPlace); err != nil {
			t.Fatal(err)
		}
	}
}

func awaitConsumers(t *testing.T, l *Log, topic string, n int) {
	t.Helper()
	ctx := ctxOf(t)
	for {
		if s, err := l.link.js.Stream(ctx, streamName(l, topic)); err == nil && s.CachedInfo().State.Consumers == n {
			return
		} else if ctx.Err() != nil {
			t.Fatalf("%d consumers: %v", s.CachedInfo().State.Consumers, err)
		}
	}
}

// awaitAnother waits until a reader has another consumer: with replicas the stream counts it before it is there.
func awaitAnother(t *testing.T, l *Log, r Reader, was string) {
	t.Helper()
	ctx := ctxOf(t)
	for {
		if _, is, ok := r.(*attachment).Consumer(); ok && is != was {
			return
		}
		if err := l.link.nc.FlushWithContext(ctx); err != nil { // for want of anything to wait for
			t.Fatalf("the consumer %s is not made again: %v", was, err)
		}
	}
}

// A consumer that somebody deletes is made again where it was; what the deletion has cost is counted, at most.
func TestSharedConsumerIsDeleted(t *testing.T) {
	logs := two(t, sharedRule(func(*tenant.Rule) {}))
	a, b := logs[0], logs[1]
	s := choosy{newSink(), "t/wanted"}
	r, err := a.Attach(ctxOf(t), sharedPlace, "", 0, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		mustStore(t, b, "t/other", "not")
		mustStore(t, b, "t/wanted", numbered(round))
		d := s.next(t)
		stream := streamOf(t, a, "t/x")
		name := <-stream.ConsumerNames(ctxOf(t)).Name()
		if err := stream.DeleteConsumer(ctxOf(t), name); err != nil {
			t.Fatal(err)
		}
		awaitConsumers(t, a, "t/x", 1)
		r.Ack(d)
		mustStore(t, b, "t/wanted", "goes on")
		await(t, s.sink, r, "goes on")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != 0 {
		t.Errorf("lost %d", s.lost)
	}
}

// Publishes with many in flight when the stream is deleted are answered once each, stored, and those of each topic are in order.
func TestSharedPublishesAreRepeatedInOrder(t *testing.T) {
	logs := two(t, sharedRule(func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired }))
	const rounds, publishers, topics, messages = 5, 2, 5, 100
	for range rounds {
		name := streamName(logs[0], "t/x")
		if err := logs[0].link.js.DeleteStream(ctxOf(t), name); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range publishers {
			wg.Go(func() {
				ends := make([]*ordered, topics)
				for i := range ends {
					ends[i] = &ordered{all: make(chan struct{}), expected: messages}
				}
				for i := range messages {
					for j, o := range ends {
						topic := fmt.Sprintf("t/%d/%d", n, j)
						route, _ := logs[0].Lookup([]byte(topic))
						if route == nil {
							var err error
							if route, err = logs[0].Topic(ctxOf(t), topic); err != nil {
								t.Error(err)
								return
							}
						}
						route.Publish(textMessage(topic, numbered(i)), o, uint64(i+1))
					}
				}
				for j, o := range ends {
					select {
					case <-o.all:
					case <-time.After(patience):
					}
					o.mu.Lock()
					if o.expected != 0 || o.disorder != 0 || len(o.bad) != 0 {
						t.Errorf("%d: %d answers missing, %d out of order, bad %v", j, o.expected, o.disorder, o.bad)
					}
					o.mu.Unlock()
				}
			})
		}
		wg.Wait()
		for n := range publishers {
			for j := range topics {
				got := held(t, logs[1], fmt.Sprintf("t/%d/%d", n, j))
				want := make([]string, messages)
				for i := range want {
					want[i] = numbered(i)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("topic %d of %d has %d messages, %v", j, n, len(got), got)
				}
			}
		}
	}
}

// A server that starts again brings everything back.
func TestSharedStreamOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	srv := startServer(t, dir, -1, nil)
	port := portOf(srv)
	logs := []*Log{openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))}
	enforce(t, logs, sharedRule(func(*tenant.Rule) {}))
	s, r := attach(t, logs[0], "t/x", "")
	held := storeNext(t, logs[1], "t/x", 0, s)
	before := streamOf(t, logs[0], "t/x").CachedInfo().State
	srv.Shutdown()
	srv.WaitForShutdown()
	startServer(t, dir, port, nil)
	for _, l := range logs {
		closeInTheEnd(t, l.store)
	}
	for a := make(answers, 1); ; {
		sendTo(t, logs[1], "t/y", "again", a)
		if a.next(t).Outcome == publisher.Stored {
			break
		}
	}
	d := s.next(t)
	if string(d.Payload) != "again" || d.Sequence <= held.Sequence {
		t.Errorf("%q with sequence %d came after %d", d.Payload, d.Sequence, held.Sequence)
	}
	r.Ack(d)
	if after := streamOf(t, logs[0], "t/x").CachedInfo().State; before.FirstSeq != after.FirstSeq || after.LastSeq != d.Sequence {
		t.Errorf("sequences %d to %d became %d to %d", before.FirstSeq, before.LastSeq, after.FirstSeq, after.LastSeq)
	}
	r.Ack(held)
	awaitMessages(t, logs[0], "t/x", 0)
}

// The consumers of a bridge that dies go with it.
func TestSharedConsumersOfDeadBridge(t *testing.T) {
	logs := two(t, sharedRule(func(*tenant.Rule) {}))
	a, b := logs[0], logs[1]
	attach(t, a, "t/x", "")
	if _, err := a.Attach(ctxOf(t), sharedPlace, "1", 0, []string{"t/x"}, newSink()); err != nil {
		t.Fatal(err)
	}
	s, _ := attach(t, b, "t/x", "")
	storeNext(t, b, "t/x", 0, s)
	if err := b.cleanUpAfter(ctxOf(t), a.store.config.Bridge); err != nil {
		t.Fatal(err)
	}
	names := streamOf(t, b, "t/x").ConsumerNames(ctxOf(t))
	for name := range names.Name() {
		if strings.Contains(name, a.store.config.Bridge) && name == consumerName(a.store.config.Bridge, "1") {
			t.Errorf("%s is there", name)
		}
	}
}

// A native service that asks for a shared topic has its answer, and the stream where somebody has deleted it.
func TestEnsureOfSharedTopic(t *testing.T) {
	logs := two(t, sharedRule(func(*tenant.Rule) {}))
	l := logs[0]
	ask := func() {
		t.Helper()
		m, err := l.link.nc.RequestWithContext(ctxOf(t), "weir.topic.ensure.acme", []byte("t/x"))
		if err != nil || string(m.Data) != "{}" {
			t.Fatalf("%s, %v", m.Data, err)
		}
	}
	ask()
	if err := l.link.js.DeleteStream(ctxOf(t), streamName(l, "t/x")); err != nil {
		t.Fatal(err)
	}
	ask()
	if _, err := l.link.js.Publish(ctxOf(t), "mqtt.acme.t.x", nil); err != nil {
		t.Error(err)
	}
	if n := len(l.register.all()); n != 0 {
		t.Errorf("%d topics are in the register", n)
	}
}

// With three replicas the same things hold.
func TestSharedStreamOnThreeReplicas(t *testing.T) {
	servers := newCluster(t)
	var logs []*Log
	for i := range 2 {
		logs = append(logs, openLog(t, newStore(t, servers[i], func(c *Config) { c.Replicas = 3 })))
	}
	rule := sharedRule(func(r *tenant.Rule) { r.BacklogMessages = 10 })
	enforce(t, logs, rule)
	s, r := attach(t, logs[0], "t/x", "")
	var last uint64
	for i := range 10 {
		d := storeNext(t, logs[1], "t/x", i, s)
		last = d.Sequence
		if i < 7 {
			r.Ack(d)
		}
	}
	awaitMessages(t, logs[0], "t/x", 3)
	rule.BacklogMessages = 2
	enforce(t, logs, rule)
	awaitMessages(t, logs[0], "t/x", 3)
	rule.BacklogMessages = 3
	enforce(t, logs, rule)
	awaitMessages(t, logs[0], "t/x", 3)
	if got := streamOf(t, logs[0], "t/x").CachedInfo().Config.MaxMsgsPerSubject; got != 3 {
		t.Errorf("%d messages are in force", got)
	}
	if result := publishTo(t, logs[1], "t/x", "more"); result.Outcome != publisher.Refused {
		t.Errorf("%v", result)
	}
	_, was, _ := r.(*attachment).Consumer()
	if err := logs[0].link.js.DeleteStream(ctxOf(t), streamName(logs[0], "t/x")); err != nil {
		t.Fatal(err)
	}
	mustStore(t, logs[1], "t/y", "made again")
	awaitAnother(t, logs[0], r, was)
	mustStore(t, logs[1], "t/y", "goes on")
	if d := await(t, s, r, "goes on"); d.Sequence <= last {
		t.Errorf("sequence %d came after %d", d.Sequence, last)
	}
}
