package jetstream

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// Each topic is refused at its own limit, whatever bridge it is published on, and no other topic for it.
func TestSharedBacklogIsPerTopic(t *testing.T) {
	const room = 10
	logs := two(t, sharedRule(func(r *tenant.Rule) { r.BacklogMessages = room }))
	s, r := attach(t, logs[0], "t/slow", "")
	for round := range 3 {
		var slow []reader.Delivery
		for i := range room {
			slow = append(slow, storeNext(t, logs[i%2], "t/slow", i, s))
		}
		for i := range 3 * room {
			wantRefused(t, publishTo(t, logs[i%2], "t/slow", "more"), reason.BacklogFull, `backlog_messages of the rule "t/#"`)
			r.Ack(storeNext(t, logs[i%2], fmt.Sprint("t/fast/", i%3), i, s))
			awaitMessages(t, logs[0], "t/x", room)
		}
		r.Ack(slow[round])
		awaitMessages(t, logs[0], "t/x", room-1)
		last := storeNext(t, logs[1], "t/slow", room, s)
		wantRefused(t, publishTo(t, logs[0], "t/slow", "more"), reason.BacklogFull)
		for _, d := range append(slow, last) {
			r.Ack(d)
		}
		awaitMessages(t, logs[0], "t/x", 0)
	}
}

func awaitMessages(t *testing.T, l *Log, topic string, n uint64) {
	t.Helper()
	awaitStream(t, l, topic, fmt.Sprint(n, " messages"), func(s natsjs.StreamState) bool { return s.Msgs == n })
}

// Bytes are counted for the rule as a whole, and the text says so.
func TestSharedBytesAreOfTheRule(t *testing.T) {
	const room = 10_000
	logs := two(t, sharedRule(func(r *tenant.Rule) { r.BacklogBytes = room }))
	l := logs[0]
	attach(t, l, "t/x", "")
	large := string(make([]byte, room-2*tenant.MaxSubjectBytes))
	mustStore(t, l, "t/x", large)
	wantRefused(t, publishTo(t, logs[1], "t/y", large), reason.BacklogFull, `the topics of the rule "t/#" together`, "backlog_bytes")
	wantRefused(t, publishTo(t, logs[1], "t/y", string(make([]byte, room))), reason.MessageTooLarge, `the rule "t/#"`, "backlog_bytes")
	mustStore(t, logs[1], "t/y", "small")
}

// A ring does not discard everything for a message that it could not hold.
func TestSharedMessageThatNeverFits(t *testing.T) {
	const room = 10_000
	logs := two(t, sharedRule(func(r *tenant.Rule) {
		r.BacklogBytes, r.WhenFull, r.Keep = room, tenant.WhenFullDiscardOldest, tenant.KeepUntilExpired
	}))
	l := logs[0]
	mustStore(t, l, "t/x", numbered(0))
	subject := message.Subject("acme", "t/"+string(slices.Repeat([]byte("x"), 1000)))
	for size := range room {
		if size%500 != 0 {
			continue
		}
		_, err := l.link.js.Publish(ctxOf(t), subject, make([]byte, size))
		info := streamOf(t, l, "t/x").CachedInfo()
		if err == nil && info.State.Msgs == 0 {
			t.Fatalf("%d bytes were confirmed, and are gone with all others", size)
		}
		if err != nil && !hasCode(err, 10054) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// All topics of a rule lie in one stream, without anything that is kept for each of them.
func TestHundredThousandTopics(t *testing.T) {
	topics := 100_000
	if raceEnabled {
		topics = 20_000
	}
	logs := two(t, sharedRule(func(r *tenant.Rule) { r.BacklogMessages, r.BacklogBytes = 2, 100<<20 }))
	s := &sink{deliveries: make(chan reader.Delivery, topics)}
	r, err := logs[0].Attach(ctxOf(t), logs[0].currentRouting().policies.Place("t/x"), "", 0, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, l := range logs {
		wg.Go(func() {
			answers := make(answers, topics)
			sent := 0
			for n := i; n < topics; n += len(logs) {
				topic := fmt.Sprint("t/", n)
				route, err := l.Topic(ctxOf(t), topic)
				if err == nil {
					err = route.Wait(ctxOf(t))
				}
				if err != nil {
					t.Error(err)
					return
				}
				route.Publish(textMessage(topic, numbered(n)), answers, 0)
				sent++
			}
			for range sent {
				if result := answers.next(t); result.Outcome != publisher.Stored {
					t.Errorf("publish: %v", result)
					return
				}
			}
		})
	}
	wg.Wait()
	info, err := streamOf(t, logs[0], "t/x").Info(ctxOf(t))
	if err != nil || info.State.NumSubjects != uint64(topics) {
		t.Errorf("%d topics are in the stream, %v", info.State.NumSubjects, err)
	}
	if n := len(logs[0].register.all()) + len(logs[1].register.all()); n != 0 {
		t.Errorf("%d topics are in the register", n)
	}
	delivered := make(map[string]bool)
	for range topics {
		d := s.next(t)
		delivered[d.Topic] = true
		r.Ack(d)
	}
	if len(delivered) != topics {
		t.Errorf("%d topics were delivered", len(delivered))
	}
	awaitMessages(t, logs[0], "t/x", 0)
}

// What the rules reserve counts against storage_bytes with the dedicated topics, in the order of the rules.
func TestStorageOfSharedRules(t *testing.T) {
	l := openLog(t, newStore(t, newServer(t, nil), nil))
	rules := func(second int64) []tenant.Rule {
		return []tenant.Rule{
			sharedRule(func(r *tenant.Rule) { r.BacklogBytes = 2000 }),
			sharedRule(func(r *tenant.Rule) { r.Filter, r.Name, r.BacklogBytes = "u/#", "u", second }),
			dedicated(func(r *tenant.Rule) { r.Filter, r.BacklogBytes = "#", 1000 }),
		}
	}
	set := func(storage, second int64) {
		setQuotas(l.store, func(q *tenant.Quotas) { q.StorageBytes = storage }, rules(second)...)
	}
	set(4500, 1000)
	if _, err := l.applyLimits(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Topic(ctxOf(t), "d/1"); err != nil {
		t.Fatal(err)
	}
	_, err := l.Topic(ctxOf(t), "d/2")
	wantReason(t, err, reason.StorageFull)

	// The second rule would grow beyond it: it keeps what it has, and the first goes on.
	set(4500, 2000)
	_, err = l.applyLimits(ctxOf(t))
	wantReason(t, err, reason.StorageFull)
	for _, text := range []string{`"u/#"`, "backlog_bytes", "storage_bytes of 4500 has 1500 left"} {
		if !containsText(err, text) {
			t.Errorf("%q does not say %s", err, text)
		}
	}
	if got := streamOf(t, l, "u/x").CachedInfo().Config.MaxBytes; got != 1000 {
		t.Errorf("the stream reserves %d", got)
	}
	mustStore(t, l, "u/x", "goes on")

	// A rule whose stream there is no room for refuses.
	if err := l.link.js.DeleteStream(ctxOf(t), streamOf(t, l, "u/x").CachedInfo().Config.Name); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, publishTo(t, l, "u/x", "none"), reason.StorageFull, `"u/#"`, "storage_bytes")
	mustStore(t, l, "t/x", "goes on")
	set(5000, 2000)
	mustStore(t, l, "u/x", "again")
}

// The server's own limit is told as such.
func TestSharedRuleLargerThanTheServer(t *testing.T) {
	s := newStore(t, newServer(t, nil), nil)
	setQuotas(s, func(*tenant.Quotas) {}, sharedRule(func(r *tenant.Rule) { r.BacklogBytes = 1 << 40 }))
	l := openLog(t, s)
	_, err := l.Topic(ctxOf(t), "t/x")
	wantReason(t, err, reason.StorageFull)
	for _, text := range []string{"max_file", "backlog_bytes", "1099511627776"} {
		if !containsText(err, text) {
			t.Errorf("%q does not say %s", err, text)
		}
	}
}

// Looking up a dedicated topic costs nothing, whatever the rules are; one of a shared rule costs its name.
func TestLookupAllocates(t *testing.T) {
	l := openLog(t, newStore(t, newServer(t, nil), nil))
	setQuotas(l.store, func(*tenant.Quotas) {}, sharedRule(func(*tenant.Rule) {}))
	dedicated, shared := []byte("d/"+numbered(1)+numbered(2)+numbered(3)), []byte("t/"+numbered(1)+numbered(2)+numbered(3))
	for name, most := range map[string]float64{string(dedicated): 0, string(shared): 1} {
		if _, err := l.Topic(ctxOf(t), name); err != nil {
			t.Fatal(err)
		}
		topic := []byte(name)
		if n := testing.AllocsPerRun(100, func() {
			if route, _ := l.Lookup(topic); route == nil {
				t.Error("not found")
			}
		}); n > most {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
