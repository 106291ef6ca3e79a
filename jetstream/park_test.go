package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/tenant"
)

// A log is in use as long as it holds messages, whether or not there are subscribers or publishers.
func TestLogThatHoldsMessagesIsNotRemoved(t *testing.T) {
	rule := dedicated(func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired })
	logs := two(t, rule)
	a, b := logs[0], logs[1]
	mustStore(t, a, "t/x", "one")
	for range 2 {
		if removed, err := b.RemoveIfUnused(ctxOf(t), "t/x"); err != nil || removed {
			t.Fatalf("removed %v: %v", removed, err)
		}
	}
	rule.TTL = time.Second
	enforce(t, logs, rule)
	awaitStream(t, a, "t/x", "expired", isEmpty)
	if removed, err := b.RemoveIfUnused(ctxOf(t), "t/x"); err != nil || !removed {
		t.Fatalf("removed %v: %v", removed, err)
	}
	mustStore(t, a, "t/x", "again")
}

// Logs are being removed at the moment when somebody publishes. What was acknowledged is in the stream afterwards.
func TestRemovalTakesNoMessageOfALog(t *testing.T) {
	logs := two(t, dedicated(func(r *tenant.Rule) { r.Keep, r.BacklogBytes = tenant.KeepUntilExpired, 10_000 }))
	rounds, lanes := 160, 4
	if testing.Short() {
		rounds = 40
	}
	var mu sync.Mutex
	var removals, inUse int
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			takes := 100 * time.Millisecond // a removal, as far as this lane knows
			for round := range rounds / lanes {
				took, err := removeWhilePublishing(fmt.Sprint("t/", lane, "/", round), rand.N(takes*3/2), logs[round%2], logs[round/2%2])
				if err != nil {
					t.Errorf("lane %d, round %d: %v", lane, round, err)
					return
				}
				mu.Lock()
				if took > 0 {
					takes = took
					removals++
				} else {
					inUse++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if removals == 0 || inUse == 0 {
		t.Errorf("no race: %d removed, %d in use", removals, inUse)
	}
	t.Logf("%d removed, %d in use", removals, inUse)
}

// removeWhilePublishing returns how long the removal of a topic took; 0: it was in use.
func removeWhilePublishing(topic string, delay time.Duration, publishing, removing *Log) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	top, err := dedicatedTopic(ctx, publishing, topic)
	if err != nil {
		return 0, err
	}
	result := make(answers, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		<-time.After(delay)
		top.Publish(textMessage(topic, "kept"), result, 0)
	})
	begin := time.Now()
	removed, err := removing.RemoveIfUnused(ctx, topic)
	if removed {
		took = time.Since(begin)
	}
	wg.Wait()
	if err != nil {
		return took, err
	}
	select {
	case r := <-result:
		if r.Outcome != publisher.Stored {
			return took, fmt.Errorf("publish: %v", r)
		}
	case <-ctx.Done():
		return took, errors.New("no answer to a publish")
	}
	if _, err := publishing.Topic(ctx, topic); err != nil {
		return took, err
	}
	stream, err := publishing.link.js.Stream(ctx, publishing.register.topic(topic).stream())
	if err != nil {
		return took, err
	}
	if _, err := stream.GetLastMsgForSubject(ctx, top.subject); err != nil {
		return took, fmt.Errorf("the message: %w", err)
	}
	return took, nil
}

// A bridge that dies while it removes a topic leaves a stream without its subject. Whoever needs the topic puts that right.
func TestParkedStreamIsOpenedAgain(t *testing.T) {
	logs := two(t, dedicated(func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired }))
	l := logs[0]
	for name, state := range map[string]state{"that is live": live, "that is being removed": removing} {
		t.Run(name, func(t *testing.T) {
			topic := "t/" + name
			mustStore(t, l, topic, numbered(0))
			s, _ := attach(t, l, topic, "")
			before := streamOf(t, l, topic).CachedInfo().Config
			if err := l.park(ctxOf(t), before.Name); err != nil {
				t.Fatal(err)
			}
			e, _, _ := l.register.topic(topic).look()
			if state != live {
				if _, err := l.register.write(ctxOf(t), e.Value.with(state), e); err != nil {
					t.Fatal(err)
				}
			}
			mustStore(t, l, topic, numbered(1))
			wantHeld(t, logs[1], topic, 0, 2)
			after := streamOf(t, l, topic).CachedInfo().Config
			if after.Name != before.Name || after.Subjects[0] != before.Subjects[0] || after.MaxMsgSize != before.MaxMsgSize {
				t.Errorf("stream %+v", after)
			}
			if d := s.next(t); string(d.Payload) != numbered(1) {
				t.Errorf("delivered %q", d.Payload)
			}
		})
	}
}

func TestSeal(t *testing.T) {
	for name, c := range map[string]struct {
		rule func(*tenant.Rule)
		last uint64
		want bool
	}{
		"backlog":              {func(*tenant.Rule) {}, 2, true},
		"backlog, later":       {func(*tenant.Rule) {}, 1, false},
		"log":                  {func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired }, 2, true},
		"log, later":           {func(r *tenant.Rule) { r.Keep = tenant.KeepUntilExpired }, 1, false},
		"full log":             {func(r *tenant.Rule) { r.Keep, r.BacklogMessages = tenant.KeepUntilExpired, 2 }, 2, true},
		"full log, later":      {func(r *tenant.Rule) { r.Keep, r.BacklogMessages = tenant.KeepUntilExpired, 2 }, 1, false},
		"tiny backlog":         {func(r *tenant.Rule) { r.BacklogBytes = 160 }, 2, true},
		"ring":                 {func(r *tenant.Rule) { r.WhenFull, r.BacklogMessages = tenant.WhenFullDiscardOldest, 1 }, 2, true},
		"ring for ever":        {func(r *tenant.Rule) { r.WhenFull, r.BacklogMessages, r.TTL = tenant.WhenFullDiscardOldest, 1, -1 }, 2, true},
		"ring for ever, later": {func(r *tenant.Rule) { r.WhenFull, r.BacklogMessages, r.TTL = tenant.WhenFullDiscardOldest, 1, -1 }, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := two(t, dedicated(c.rule))[0]
			mustStore(t, l, "t/x", "1")
			mustStore(t, l, "t/x", "2")
			stream := streamOf(t, l, "t/x").CachedInfo().Config.Name
			if got, err := l.seal(ctxOf(t), stream, c.last); err != nil || got != c.want {
				t.Errorf("sealed %v, %v", got, err)
			}
			if _, err := l.link.js.Publish(ctxOf(t), "mqtt.acme.t.x", nil); err == nil {
				t.Error("the stream takes messages")
			}
			if err := l.reopen(ctxOf(t), l.register.topic("t/x").entry.Value); err != nil {
				t.Fatal(err)
			}
		})
	}
	l := two(t)[0]
	if sealed, err := l.seal(ctxOf(t), "MQTT_acme_t_none_1", 5); err != nil || !sealed {
		t.Errorf("a stream that is not there: %v, %v", sealed, err)
	}
}
