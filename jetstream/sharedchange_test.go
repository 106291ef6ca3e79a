package jetstream

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// A change of each setting reaches the stream of a rule in place: seven messages are stored in one topic and three in another, of the seven
// three are acknowledged by the only subscriber.
func TestSharedChangeOfEachSetting(t *testing.T) {
	const stored, acknowledged, others = 7, 3, 3
	type change = func(*tenant.Rule)
	both := func(a, b change) change {
		return func(r *tenant.Rule) {
			a(r)
			b(r)
		}
	}
	defaults := func(*tenant.Rule) {}
	ring := func(r *tenant.Rule) { r.WhenFull = tenant.WhenFullDiscardOldest }
	log := func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired }
	messages := func(n int64) change { return func(r *tenant.Rule) { r.BacklogMessages = n } }
	bytes := func(n int64) change { return func(r *tenant.Rule) { r.BacklogBytes = n } }
	size := messageSize(t)
	for name, c := range map[string]struct {
		before, after change
		holds         int  // the first that is left of the seven
		loose         bool // the former limit per topic stays in force
		refuses       bool // one more
	}{
		"reject to discard_oldest":                     {before: defaults, after: ring, holds: acknowledged},
		"discard_oldest to reject":                     {before: ring, after: defaults, holds: acknowledged},
		"until_consumed to until_expired":              {before: defaults, after: log, holds: acknowledged},
		"until_expired to until_consumed":              {before: log, after: defaults, holds: acknowledged},
		"fewer messages, refusing":                     {before: messages(9), after: messages(2), holds: acknowledged, loose: true},
		"fewer messages, refusing, that fit":           {before: messages(9), after: messages(4), holds: acknowledged, refuses: true},
		"fewer messages, refusing, a log":              {before: both(log, messages(7)), after: both(log, messages(5)), loose: true, refuses: true},
		"limited messages, refusing":                   {before: messages(-1), after: messages(2), holds: acknowledged, loose: true},
		"unlimited messages":                           {before: messages(9), after: messages(-1), holds: acknowledged},
		"fewer messages, discarding":                   {before: ring, after: both(ring, messages(2)), holds: 5},
		"more messages":                                {before: messages(7), after: messages(9), holds: acknowledged},
		"fewer bytes, refusing":                        {before: defaults, after: bytes(2 * size), holds: acknowledged, refuses: true},
		"reject to discard_oldest with fewer messages": {before: defaults, after: both(ring, messages(1)), holds: 6},
		"discard_oldest to reject with fewer messages": {before: both(ring, messages(9)), after: messages(2), holds: acknowledged, loose: true},
		"a work backlog to a log of fewer messages":    {before: defaults, after: both(log, messages(4)), holds: acknowledged, refuses: true},
		"ttl":    {before: defaults, after: func(r *tenant.Rule) { r.TTL = time.Second }, holds: stored},
		"no ttl": {before: defaults, after: func(r *tenant.Rule) { r.TTL = -1 }, holds: acknowledged},
		"filter": {before: defaults, after: func(r *tenant.Rule) { r.Filter = "+/#" }, holds: acknowledged},
	} {
		t.Run(name, func(t *testing.T) {
			logs := two(t, sharedRule(c.before))
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
			for i := range others {
				unacknowledged = append(unacknowledged, storeNext(t, a, "t/other", i, s))
			}
			before := streamOf(t, a, "t/x").CachedInfo()

			after := sharedRule(c.after)
			enforce(t, logs, after)
			if name == "ttl" {
				awaitStream(t, a, "t/x", "expired", isEmpty)
			}
			wantHeld(t, b, "t/x", c.holds, stored)
			switch name {
			case "ttl":
			case "fewer messages, discarding":
				wantHeld(t, b, "t/other", 1, others)
			case "reject to discard_oldest with fewer messages":
				wantHeld(t, b, "t/other", 2, others)
			default:
				wantHeld(t, b, "t/other", 0, others)
			}

			now := streamOf(t, b, "t/x").CachedInfo()
			if !now.Created.Equal(before.Created) {
				t.Error("the stream was made again")
			}
			want := updatedShared(now.Config, b.sharedStream(b.policyOf("t/x")))
			if c.loose {
				want.MaxMsgsPerSubject = before.Config.MaxMsgsPerSubject
				want.DiscardNewPerSubject = refusesPerTopic(want)
			}
			if diff := cmp.Diff(want, now.Config); diff != "" {
				t.Error(diff)
			}

			result := publishTo(t, b, "t/x", numbered(stored))
			if c.refuses {
				wantRefused(t, result, reason.BacklogFull)
			} else if result.Err != nil {
				t.Error(result)
			}
			for _, d := range unacknowledged {
				r.Ack(d)
			}
			if !c.refuses {
				d := s.next(t)
				if string(d.Payload) != numbered(stored) {
					t.Errorf("then comes %q", d.Payload)
				}
				r.Ack(d)
			}
			if s.lost != 0 {
				t.Errorf("lost %d", s.lost)
			}
			if !c.loose || after.Keep == tenant.KeepUntilExpired {
				return
			}
			awaitMessages(t, a, "t/x", 0)
			enforce(t, logs, after)
			if got := streamOf(t, a, "t/x").CachedInfo().Config; got.MaxMsgsPerSubject != after.BacklogMessages || !got.DiscardNewPerSubject {
				t.Errorf("when it fits, %d messages are in force", got.MaxMsgsPerSubject)
			}
		})
	}
}

// A limit per topic that is lowered while everybody publishes deletes no message, and nobody is told anything but that a backlog is full.
func TestSharedLimitIsLoweredUnderLoad(t *testing.T) {
	const topics, hold, former, lower, changes = 4, 3, 100, 5, 10
	logs := two(t, sharedRule(func(r *tenant.Rule) { r.BacklogMessages = former }))
	s, r := attach(t, logs[0], "t/x", "")
	stream := streamOf(t, logs[0], "t/x")
	var ends sync.WaitGroup
	var lowered atomic.Int64 // how often
	ctx := ctxOf(t)
	going := func() bool { return lowered.Load() < changes && !t.Failed() && ctx.Err() == nil }
	seen := make(map[string]chan struct{}) // a token for each message that the subscriber has
	for n := range topics {
		topic := fmt.Sprint("t/", n)
		came := make(chan struct{}, 4)
		seen[topic] = came
		ends.Go(func() {
			route, err := logs[n%2].Topic(ctxOf(t), topic)
			if err != nil {
				t.Error(err)
				return
			}
			for i := 0; going(); i++ {
				answers, burst := make(answers, 4), 1+rand.N(4)
				for range burst {
					route.Publish(textMessage(topic, numbered(i)), answers, 0)
				}
				for range burst {
					switch result := answers.next(t); {
					case result.Outcome == publisher.Stored:
						select {
						case <-came:
						case <-ctx.Done():
						}
					case !containsText(result.Err, "backlog_messages"):
						t.Errorf("publish: %v", result)
					}
				}
			}
		})
	}
	ends.Go(func() {
		for n := int64(lower); going(); n = former + lower - n {
			setQuotas(logs[0].store, func(*tenant.Quotas) {}, sharedRule(func(r *tenant.Rule) { r.BacklogMessages = n }))
			waits, err := logs[0].applyLimits(ctxOf(t))
			if err != nil {
				t.Error(err)
			}
			if n == lower && !waits {
				lowered.Add(1)
			}
		}
	})
	over := make(chan struct{})
	go func() {
		ends.Wait()
		close(over)
	}()
	// The subscriber holds so many of each topic that the next ones make the difference, and looks for each that it has held.
	held := make(map[string][]reader.Delivery)
	acknowledge := func(d reader.Delivery) {
		if _, err := stream.GetMsg(ctxOf(t), d.Sequence); err != nil {
			t.Errorf("message %d of %s: %v", d.Sequence, d.Topic, err)
		}
		r.Ack(d)
	}
	for running := true; running; {
		select {
		case d := <-s.deliveries:
			seen[d.Topic] <- struct{}{}
			if held[d.Topic] = append(held[d.Topic], d); len(held[d.Topic]) > hold {
				acknowledge(held[d.Topic][0])
				held[d.Topic] = held[d.Topic][1:]
			}
		case <-over:
			running = false
		}
	}
	for _, of := range held {
		for _, d := range of {
			acknowledge(d)
		}
	}
	if lowered.Load() < changes {
		t.Errorf("the limit was lowered %d times", lowered.Load())
	}
}
