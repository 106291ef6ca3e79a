package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// dedicated is a rule for the topics below t.
func dedicated(change func(*tenant.Rule)) tenant.Rule {
	r := tenant.Rule{Filter: "t/#", Stream: tenant.StreamDedicated}
	change(&r)
	return r
}

// sharedRule is a rule that puts the topics below t into one stream.
func sharedRule(change func(*tenant.Rule)) tenant.Rule {
	r := tenant.Rule{Filter: "t/#", Stream: tenant.StreamShared, Name: "t"}
	change(&r)
	return r
}

// enforce puts rules in force on all bridges, and returns when every stream is as they say.
func enforce(t *testing.T, logs []*Log, rules ...tenant.Rule) {
	t.Helper()
	for _, l := range logs {
		setQuotas(l.store, func(*tenant.Quotas) {}, rules...)
		ctx := ctxOf(t)
		_, err := l.applyLimits(ctx)
		for errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			_, err = l.applyLimits(ctx) // a cluster leaves a request without its answer at times, and Weir asks again, too
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// two are the logs of two bridges with the same rules.
func two(t *testing.T, rules ...tenant.Rule) []*Log {
	t.Helper()
	srv := natsprocess.New(t)
	logs := []*Log{openLog(t, newStoreAt(t, srv, nil)), openLog(t, newStoreAt(t, srv, nil))}
	enforce(t, logs, rules...)
	return logs
}

func streamOf(t *testing.T, l *Log, topic string) natsjs.Stream {
	t.Helper()
	if err := l.register.settle(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	s, err := l.link.js.Stream(ctxOf(t), streamName(l, topic))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// streamName is that of the topic's stream.
func streamName(l *Log, topic string) string {
	if place := l.currentRouting().policies.Place(topic); place.Stream == tenant.StreamShared {
		return naming.SharedStream(l.tenant, place.Name)
	}
	return l.register.topic(topic).stream()
}

// held returns the payloads that the topic's stream, which may be shared, holds, in order.
func held(t *testing.T, l *Log, topic string) []string {
	t.Helper()
	s := streamOf(t, l, topic)
	var payloads []string
	for next := uint64(1); ; {
		m, err := s.GetMsg(ctxOf(t), next, natsjs.WithGetMsgSubject(message.Subject(l.tenant, topic)))
		if errors.Is(err, natsjs.ErrMsgNotFound) {
			return payloads
		}
		if err != nil {
			t.Fatal(err)
		}
		payloads, next = append(payloads, string(m.Data)), m.Sequence+1
	}
}

func wantHeld(t *testing.T, l *Log, topic string, from, to int) {
	t.Helper()
	var want []string
	for i := from; i < to; i++ {
		want = append(want, numbered(i))
	}
	if got := held(t, l, topic); !slices.Equal(got, want) {
		t.Errorf("the stream holds %q, want %q", got, want)
	}
}

// awaitStream waits until the topic's stream is in a state.
func awaitStream(t *testing.T, l *Log, topic string, what string, is func(natsjs.StreamState) bool) {
	t.Helper()
	ctx := ctxOf(t)
	for s := streamOf(t, l, topic); !is(s.CachedInfo().State); {
		if _, err := s.Info(ctx); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func isEmpty(s natsjs.StreamState) bool { return s.Msgs == 0 }

// awaitAcknowledged waits until the server has the acknowledgements of everything that a reader was given.
func awaitAcknowledged(t *testing.T, l *Log, topic string) {
	t.Helper()
	ctx := ctxOf(t)
	c, err := streamOf(t, l, topic).PushConsumer(ctx, consumerName(l.store.config.Bridge, ""))
	if err != nil {
		t.Fatal(err)
	}
	for info := c.CachedInfo(); info.NumAckPending > 0 || info.NumPending > 0; {
		if info, err = c.Info(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func wantRefused(t *testing.T, r publisher.Result, name reason.Reason, texts ...string) {
	t.Helper()
	if r.Outcome != publisher.Refused {
		t.Fatalf("outcome %v", r)
	}
	wantReason(t, r.Err, name)
	for _, text := range texts {
		if !strings.Contains(r.Err.Error(), text) {
			t.Errorf("%q does not say %s", r.Err, text)
		}
	}
}

// storeNext stores numbered(i) and waits until the only subscriber has it: what is discarded before that, it does not get.
func storeNext(t *testing.T, l *Log, topic string, i int, s *sink) reader.Delivery {
	t.Helper()
	mustStore(t, l, topic, numbered(i))
	d := s.next(t)
	if string(d.Payload) != numbered(i) {
		t.Fatalf("%q came instead of %q", d.Payload, numbered(i))
	}
	return d
}

// Each way to be full with each way to keep, filled, consumed and expired, through two bridges.
func TestEachCombination(t *testing.T) {
	for kind, ruleOf := range map[string]func(func(*tenant.Rule)) tenant.Rule{"dedicated": dedicated, "shared": sharedRule} {
		t.Run(kind, func(t *testing.T) { eachCombination(t, ruleOf) })
	}
}

func eachCombination(t *testing.T, ruleOf func(func(*tenant.Rule)) tenant.Rule) {
	const room = 5
	for _, whenFull := range []tenant.WhenFull{tenant.WhenFullReject, tenant.WhenFullDiscardOldest} {
		for _, keep := range []tenant.Keep{tenant.KeepUntilConsumed, tenant.KeepUntilExpired} {
			for _, key := range []string{"backlog_messages", "backlog_bytes"} {
				t.Run(fmt.Sprint(whenFull, " ", keep, " ", key), func(t *testing.T) {
					t.Parallel()
					rule := ruleOf(func(r *tenant.Rule) {
						r.WhenFull, r.Keep, r.TTL = whenFull, keep, time.Hour
						if key == "backlog_messages" {
							r.BacklogMessages = room
						} else {
							r.BacklogBytes = room*messageSize(t) + messageSize(t)/2
						}
					})
					rejects, expires := whenFull == tenant.WhenFullReject, keep == tenant.KeepUntilExpired
					logs := two(t, rule)
					a, b := logs[0], logs[1]
					s, r := attach(t, a, "t/x", "")
					awaitStream(t, a, "t/x", "without the mark of the move", isEmpty)

					// Full.
					var unacknowledged []reader.Delivery
					for i := range room {
						unacknowledged = append(unacknowledged, storeNext(t, logs[i%2], "t/x", i, s))
					}
					next := room
					if rejects {
						wantRefused(t, publishTo(t, b, "t/x", numbered(next)), reason.BacklogFull, key, `"t/#"`)
						wantHeld(t, a, "t/x", 0, room)
					} else {
						for ; next < 2*room+1; next++ {
							unacknowledged = append(unacknowledged, storeNext(t, logs[next%2], "t/x", next, s))
						}
						wantHeld(t, a, "t/x", next-room, next)
					}

					// Consumed.
					for _, d := range unacknowledged {
						r.Ack(d)
					}
					awaitAcknowledged(t, a, "t/x")
					switch {
					case !expires:
						awaitStream(t, a, "t/x", "consumed", isEmpty)
					case rejects:
						wantHeld(t, a, "t/x", 0, room)
						wantRefused(t, publishTo(t, a, "t/x", numbered(next)), reason.BacklogFull, key, `"t/#"`)
					}
					if !expires || !rejects {
						storeNext(t, b, "t/x", next, s)
					}

					// Expired, acknowledged or not.
					rule.TTL = time.Second
					enforce(t, logs, rule)
					awaitStream(t, a, "t/x", "expired", isEmpty)
					for i := range room {
						mustStore(t, logs[i%2], "t/x", numbered(i))
					}
				})
			}
		}
	}
}

// messageSize is what numbered messages take of backlog_bytes.
func messageSize(t *testing.T) int64 {
	t.Helper()
	l := openLog(t, newStore(t, newServer(t, nil), nil))
	attach(t, l, "t/x", "")
	mustStore(t, l, "t/x", numbered(1))
	return int64(streamOf(t, l, "t/x").CachedInfo().State.Bytes)
}

// A ring of 5,000: nothing is refused, the newest 5,000 remain, and who was slow gets all of these.
func TestRing(t *testing.T) {
	const room, published = 5000, 12_000
	logs := two(t, dedicated(func(r *tenant.Rule) { r.WhenFull, r.BacklogMessages = tenant.WhenFullDiscardOldest, room }))
	s := &sink{deliveries: make(chan reader.Delivery, published)}
	r, err := logs[0].Attach(ctxOf(t), tenant.Dedicated("t/x"), "", 0, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	top, err := logs[1].Topic(ctxOf(t), "t/x")
	if err != nil {
		t.Fatal(err)
	}
	results := make(answers, published)
	for i := range published {
		if err := top.Wait(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
		top.Publish(textMessage("t/x", numbered(i)), results, 0)
	}
	for range published {
		if result := results.next(t); result.Outcome != publisher.Stored {
			t.Fatalf("publish: %v", result)
		}
	}
	if state := streamOf(t, logs[0], "t/x").CachedInfo().State; state.Msgs != room || state.FirstSeq != published-room+1 {
		t.Errorf("state %+v", state)
	}
	delivered := make(map[uint64]bool)
	for last := uint64(0); last < published; {
		d := s.next(t)
		if d.Sequence <= last {
			t.Fatalf("%d delivered after %d", d.Sequence, last)
		}
		if want := numbered(int(d.Sequence) - 1); string(d.Payload) != want {
			t.Fatalf("%d is %q", d.Sequence, d.Payload)
		}
		last = d.Sequence
		delivered[last] = true
		r.Ack(d)
	}
	for sequence := uint64(published - room + 1); sequence <= published; sequence++ {
		if !delivered[sequence] {
			t.Fatalf("%d was not delivered", sequence)
		}
	}
	awaitStream(t, logs[0], "t/x", "consumed", isEmpty)
	if s.lost != 0 {
		t.Errorf("lost %d", s.lost)
	}
}

// A log keeps what nobody waits for: a native service reads it all, a subscriber gets what comes after its SUBSCRIBE.
func TestLog(t *testing.T) {
	logs := two(t, dedicated(func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired }))
	a, b := logs[0], logs[1]
	for i := range 10 {
		mustStore(t, logs[i%2], "t/x", numbered(i))
	}
	s, r := attach(t, a, "t/x", "")
	mustStore(t, b, "t/x", numbered(10))
	d := s.next(t)
	if string(d.Payload) != numbered(10) {
		t.Errorf("the subscriber gets %q", d.Payload)
	}
	r.Ack(d)
	awaitAcknowledged(t, a, "t/x")
	closeReader(t, r)
	wantHeld(t, a, "t/x", 0, 11)
	if n, err := a.LastSequence(ctxOf(t), tenant.Dedicated("t/x")); err != nil || n != 11 {
		t.Errorf("last sequence %d, %v", n, err)
	}
	c, err := streamOf(t, a, "t/x").CreateConsumer(ctxOf(t), natsjs.ConsumerConfig{AckPolicy: natsjs.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 11 {
		m, err := c.Next()
		if err != nil || string(m.Data()) != numbered(i) {
			t.Fatalf("native message %d: %v, %v", i, m, err)
		}
	}
	// From a position, as a subscription that was detached has it.
	back := newSink()
	r, err = b.Attach(ctxOf(t), tenant.Dedicated("t/x"), "1", 4, nil, back)
	if err != nil {
		t.Fatal(err)
	}
	for i := 3; i < 11; i++ {
		d := back.next(t)
		if string(d.Payload) != numbered(i) {
			t.Errorf("from position 4 comes %q, want %q", d.Payload, numbered(i))
		}
		r.Ack(d)
	}
}

// What could never fit is refused as such, and a ring does not discard what it holds for it. That holds for native services, too.
func TestMessageThatNeverFits(t *testing.T) {
	for _, whenFull := range []tenant.WhenFull{tenant.WhenFullReject, tenant.WhenFullDiscardOldest} {
		t.Run(string(whenFull), func(t *testing.T) {
			const room = 1000
			logs := two(t, dedicated(func(r *tenant.Rule) {
				r.Keep, r.WhenFull, r.BacklogBytes = tenant.KeepUntilExpired, whenFull, room
			}))
			l := logs[0]
			mustStore(t, l, "t/x", numbered(0))
			wantRefused(t, publishTo(t, l, "t/x", strings.Repeat("x", room)), reason.MessageTooLarge, "backlog_bytes", `"t/#"`)
			const subject = "mqtt.acme.t.x"
			fits := room - messageOverhead - len(subject)
			_, err := l.link.js.Publish(ctxOf(t), subject, make([]byte, fits+1))
			if !hasCode(err, 10054) {
				t.Errorf("a native service is told %v", err)
			}
			wantHeld(t, l, "t/x", 0, 1)
			if _, err := l.link.js.Publish(ctxOf(t), "mqtt.acme.t.y", nil); err == nil {
				t.Error("a topic exists that nobody asked for")
			}
			if _, err := l.Topic(ctxOf(t), "t/y"); err != nil {
				t.Fatal(err)
			}
			if _, err := l.link.js.Publish(ctxOf(t), "mqtt.acme.t.y", make([]byte, fits)); err != nil {
				t.Errorf("the largest that fits: %v", err)
			}
			if n := streamOf(t, l, "t/y").CachedInfo().State.Msgs; n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// storage_bytes is held against what each topic's own rule reserves.
func TestStorageFollowsTheRules(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	setQuotas(l.store, func(q *tenant.Quotas) { q.StorageBytes = 4500 },
		dedicated(func(r *tenant.Rule) { r.Filter, r.BacklogBytes = "small/#", 1000 }),
		dedicated(func(r *tenant.Rule) { r.Filter, r.BacklogBytes = "large/#", 2000 }),
		dedicated(func(r *tenant.Rule) { r.Filter, r.BacklogBytes, r.BacklogMessages = "#", -1, 10 }),
	)
	for _, topic := range []string{"small/1", "large/1", "unreserved/1", "small/2"} {
		if _, err := l.Topic(ctxOf(t), topic); err != nil {
			t.Errorf("%s: %v", topic, err)
		}
	}
	_, err := l.Topic(ctxOf(t), "small/3")
	wantReason(t, err, reason.StorageFull)
	if _, err := l.Topic(ctxOf(t), "unreserved/2"); err != nil {
		t.Error(err)
	}
	if got := l.register.sums().reserved; got != 4000 {
		t.Errorf("%d bytes are reserved", got)
	}
}

// The register tells what a stream was made for, and of the defaults no more than the first release did.
func TestRecordOfThePolicy(t *testing.T) {
	policies := tenant.Rules{
		dedicated(func(r *tenant.Rule) { r.WhenFull, r.Keep = tenant.WhenFullDiscardOldest, tenant.KeepUntilExpired }),
	}.Resolve(tenant.Quotas{})
	const first = `{"v":1,"topic":"x","state":"live","generation":3,"bridge":"b","presence":1,"bytes":26214400,"messages":9223372036854775807,"ttl_ns":129600000000000}`
	var rec topicRecord
	if err := json.Unmarshal([]byte(first), &rec); err != nil {
		t.Fatal(err)
	}
	if !rec.hasPolicy(policies[1]) || rec.hasPolicy(policies[0]) {
		t.Errorf("the first release's record is not of the default policy: %+v", rec)
	}
	if data, err := json.Marshal(rec.withPolicy(policies[1])); err != nil || string(data) != first {
		t.Errorf("%s, %v", data, err)
	}
	ring := rec.withPolicy(policies[0])
	data, err := json.Marshal(ring)
	if want := strings.TrimSuffix(first, "}") + `,"when_full":"discard_oldest","keep":"until_expired"}`; err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
	if !ring.hasPolicy(policies[0]) || ring.hasPolicy(policies[1]) {
		t.Errorf("%+v", ring)
	}
}

func containsText(err error, text string) bool {
	return err != nil && strings.Contains(err.Error(), text)
}
