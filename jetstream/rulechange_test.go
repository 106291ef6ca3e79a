package jetstream

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// A change of each setting reaches the stream of a topic that has messages, in place: seven are stored, three of them are
// acknowledged by the only subscriber.
func TestChangeOfEachSetting(t *testing.T) {
	const stored, acknowledged = 7, 3
	set := func(change func(*tenant.Rule)) func(*tenant.Rule) { return change }
	defaults := set(func(*tenant.Rule) {})
	ring := set(func(r *tenant.Rule) { r.WhenFull = tenant.WhenFullDiscardOldest })
	log := set(func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired })
	messages := func(n int64, also func(*tenant.Rule)) func(*tenant.Rule) {
		return func(r *tenant.Rule) {
			also(r)
			r.BacklogMessages = n
		}
	}
	bytes := func(n int64, also func(*tenant.Rule)) func(*tenant.Rule) {
		return func(r *tenant.Rule) {
			also(r)
			r.BacklogBytes = n
		}
	}
	size := messageSize(t)
	for name, c := range map[string]struct {
		before, after func(*tenant.Rule)
		holds         int // the first that is left of the seven
		refuses       bool
	}{
		"reject to discard_oldest":                     {defaults, ring, acknowledged, false},
		"discard_oldest to reject":                     {ring, defaults, acknowledged, false},
		"until_consumed to until_expired":              {defaults, log, acknowledged, false},
		"until_expired to until_consumed":              {log, defaults, acknowledged, false}, // what nobody waits for goes
		"fewer messages, refusing":                     {defaults, messages(2, defaults), acknowledged, true},
		"fewer messages, refusing, a log":              {log, messages(5, log), 0, true},
		"fewer messages, discarding":                   {ring, messages(2, ring), 5, false},
		"more messages":                                {messages(4, defaults), messages(9, defaults), acknowledged, false},
		"fewer bytes, refusing":                        {defaults, bytes(2*size, defaults), acknowledged, true},
		"fewer bytes, discarding, a log":               {bytes(1<<20, log), bytes(2*size, func(r *tenant.Rule) { log(r); ring(r) }), 5, false},
		"reject to discard_oldest with fewer messages": {defaults, messages(1, ring), 6, false},
		"discard_oldest to reject with fewer messages": {messages(9, ring), messages(2, defaults), acknowledged, true},
		"a work backlog to a full log of refusal":      {defaults, messages(4, log), acknowledged, true},
		"ttl":    {defaults, func(r *tenant.Rule) { r.TTL = time.Second }, stored, false},
		"no ttl": {defaults, func(r *tenant.Rule) { r.TTL = -1 }, acknowledged, false},
		"ring of the last to a log of the last, for ever": {messages(9, ring), messages(9, func(r *tenant.Rule) { log(r); ring(r); r.TTL = -1 }), acknowledged, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logs := two(t, dedicated(c.before))
			a, b := logs[0], logs[1]
			s, r := attach(t, a, "t/x", "")
			var unacknowledged []reader.Delivery
			for i := range stored {
				if d := storeNext(t, b, "t/x", i, s); i < acknowledged {
					r.Ack(d)
				} else {
					unacknowledged = append(unacknowledged, d)
				}
				if i+1 == acknowledged {
					awaitAcknowledged(t, a, "t/x")
				}
			}
			before := streamOf(t, a, "t/x").CachedInfo()

			after := dedicated(c.after)
			enforce(t, logs[:1], after)
			if name == "ttl" {
				awaitStream(t, a, "t/x", "expired", isEmpty)
			}
			wantHeld(t, b, "t/x", c.holds, stored)
			first, _, _ := a.register.topic("t/x").look()
			enforce(t, logs[1:], after)
			if second, _, _ := a.register.topic("t/x").look(); second.Sequence != first.Sequence {
				t.Error("the second bridge changed again what the first had changed")
			}

			now := streamOf(t, b, "t/x").CachedInfo()
			if now.Config.Name != before.Config.Name || !now.Created.Equal(before.Created) {
				t.Errorf("stream %s took the place of %s", now.Config.Name, before.Config.Name)
			}
			want := b.dedicatedStream("t/x", first.Value.Generation, b.policyOf("t/x"))
			want.Metadata = now.Config.Metadata
			if diff := cmp.Diff(updated(now.Config, want), now.Config); diff != "" {
				t.Error(diff)
			}

			result := publishTo(t, b, "t/x", numbered(stored))
			if c.refuses {
				wantRefused(t, result, reason.BacklogFull)
			} else if result.Err != nil {
				t.Error(result)
			}
			// The subscriber goes on: what it had is acknowledged, and what is new comes.
			for _, d := range unacknowledged {
				r.Ack(d)
			}
			if !c.refuses {
				if d := s.next(t); string(d.Payload) != numbered(stored) {
					t.Errorf("then comes %q", d.Payload)
				}
			}
			if s.lost != 0 {
				t.Errorf("lost %d", s.lost)
			}
		})
	}
}

// Without a subscriber nobody waits for what a log holds: when it becomes a work backlog it is empty.
func TestLogBecomesBacklogWithoutSubscriber(t *testing.T) {
	logs := two(t, dedicated(func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired }))
	mustStore(t, logs[0], "t/x", numbered(0))
	enforce(t, logs, dedicated(func(*tenant.Rule) {}))
	wantHeld(t, logs[0], "t/x", 0, 0)
	mustStore(t, logs[1], "t/x", numbered(1))
	wantHeld(t, logs[0], "t/x", 0, 0)
}

// Rules in another order, or one more, put a topic under another rule: its stream stays and is brought to it.
func TestTopicComesUnderAnotherRule(t *testing.T) {
	wide := dedicated(func(r *tenant.Rule) { r.BacklogMessages = 3 })
	narrow := dedicated(func(r *tenant.Rule) {
		r.Filter, r.BacklogMessages, r.WhenFull = "t/x/+", 2, tenant.WhenFullDiscardOldest
	})
	logs := two(t, wide)
	s, r := attach(t, logs[0], "t/x/y", "")
	var unacknowledged []reader.Delivery
	store := func(i int) { unacknowledged = append(unacknowledged, storeNext(t, logs[1], "t/x/y", i, s)) }
	for i := range 3 {
		store(i)
	}
	wantRefused(t, publishTo(t, logs[1], "t/x/y", numbered(3)), reason.BacklogFull, `backlog_messages of the rule "t/#"`)
	name := streamOf(t, logs[0], "t/x/y").CachedInfo().Config.Name

	enforce(t, logs, narrow, wide)
	wantHeld(t, logs[0], "t/x/y", 1, 3)
	store(3)
	wantHeld(t, logs[0], "t/x/y", 2, 4)

	enforce(t, logs, wide)
	wantHeld(t, logs[0], "t/x/y", 2, 4)
	store(4)
	wantRefused(t, publishTo(t, logs[1], "t/x/y", numbered(5)), reason.BacklogFull, `backlog_messages of the rule "t/#"`)

	enforce(t, logs)
	store(5)
	if now := streamOf(t, logs[0], "t/x/y").CachedInfo().Config.Name; now != name {
		t.Errorf("stream %s took the place of %s", now, name)
	}
	for _, d := range unacknowledged {
		r.Ack(d)
	}
	awaitStream(t, logs[0], "t/x/y", "consumed", isEmpty)
}

// Rules that change while a topic is being made are in force for it all the same.
func TestRulesChangeDuringCreation(t *testing.T) {
	logs := two(t)
	l := logs[0]
	for i := range 20 {
		topic := "t/" + numbered(i)
		made := make(chan error, 1)
		go func() {
			_, err := l.Topic(ctxOf(t), topic)
			made <- err
		}()
		rule := dedicated(func(r *tenant.Rule) { r.BacklogMessages = int64(i + 1) })
		setQuotas(l.store, func(*tenant.Quotas) {}, rule)
		if err := <-made; err != nil {
			t.Fatal(err)
		}
		top := l.register.topic(topic)
		for {
			e, _, changed := top.look()
			if e.Value.hasPolicy(l.policyOf(topic)) {
				break
			}
			select {
			case <-changed:
			case <-ctxOf(t).Done():
				t.Fatalf("topic %d was made for %+v", i, e.Value)
			}
		}
	}
}
