package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

func TestUnusedTopicIsRemovedAndMadeAgain(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	mustStore(t, a, "x", "before")
	waitLookup(t, b, "x", true)
	first := known(a, "x").stream()
	removed, err := b.RemoveIfUnused(ctxOf(t), "x")
	if err != nil || !removed {
		t.Fatalf("removed %v: %v", removed, err)
	}
	waitLookup(t, a, "x", false)
	if _, err := a.link.js.Stream(ctxOf(t), first); !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Errorf("the stream is there: %v", err)
	}
	if n := presences(t, a); n != 0 {
		t.Errorf("%d presence messages, want none", n)
	}
	mustStore(t, a, "x", "after")
	if second := known(a, "x").stream(); second == first {
		t.Errorf("stream %s came again", first)
	}
	if n := presences(t, a); n != 1 {
		t.Errorf("%d presence messages, want 1", n)
	}
}

func TestTopicInUseIsNotRemoved(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	s, r := attach(t, a, "x", "")
	if removed, err := b.RemoveIfUnused(ctxOf(t), "x"); err != nil || removed {
		t.Fatalf("with a consumer: removed %v: %v", removed, err)
	}
	mustStore(t, b, "x", "one")
	r.Ack(s.next(t))
	closeReader(t, r)
	if removed, err := b.RemoveIfUnused(ctxOf(t), "x"); err != nil || !removed {
		t.Fatalf("without: removed %v: %v", removed, err)
	}
}

// Cleanup runs by itself, at the time it should: not before the topic has been unused for so long.
func TestIdleTopicGoesByItself(t *testing.T) {
	srv := newServer(t, nil)
	const idle = 400 * time.Millisecond
	l := openLog(t, newStore(t, srv, func(c *Config) { c.TopicIdle = idle }))
	begin := time.Now()
	mustStore(t, l, "x", "one")
	waitLookup(t, l, "x", false)
	if passed := time.Since(begin); passed < idle {
		t.Errorf("removed after %v", passed)
	}
}

// A thousand times a topic is being removed at the moment when a subscriber and publishers come back. What is published
// after Attach returned is delivered, and every publish is stored.
func TestCleanupRace(t *testing.T) {
	srv := natsprocess.New(t)
	a, b := openLog(t, newStoreAt(t, srv, nil)), openLog(t, newStoreAt(t, srv, nil))
	rounds, lanes := 1000, 4
	if testing.Short() {
		rounds = 100
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	removals := 0
	for lane := range lanes {
		wg.Go(func() {
			topic := fmt.Sprintf("race/%d", lane)
			for round := range rounds / lanes {
				n, err := cleanupRace(topic, round, a, b)
				if err != nil {
					t.Errorf("lane %d round %d: %v", lane, round, err)
					return
				}
				mu.Lock()
				removals += n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if removals == 0 {
		t.Error("nothing was ever removed: the race did not take place")
	}
	t.Logf("%d removals in %d rounds", removals, rounds)
}

func cleanupRace(topic string, round int, a, b *Log) (removals int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	logs := []*Log{a, b}
	if round%2 == 1 {
		logs = []*Log{b, a}
	}
	if err := publishOnce(ctx, logs[0], topic, "make"); err != nil {
		return 0, fmt.Errorf("make: %w", err)
	}
	// Spread over the time that a removal takes.
	delays := []time.Duration{rand.N(time.Millisecond), rand.N(12 * time.Millisecond), rand.N(12 * time.Millisecond)}
	errs := make(chan error, 4)
	var wg sync.WaitGroup
	wg.Go(func() {
		<-time.After(delays[0])
		errs <- persist(ctx, func() error {
			removed, err := logs[0].RemoveIfUnused(ctx, topic)
			if removed {
				removals++
			}
			return err
		})
	})
	wg.Go(func() {
		<-time.After(delays[1])
		errs <- publishOnce(ctx, logs[round/2%2], topic, "beside")
	})
	wg.Go(func() {
		<-time.After(delays[2])
		s := newSink()
		var r Reader
		if err := persist(ctx, func() (err error) {
			r, err = logs[1].Attach(ctx, tenant.Dedicated(topic), "", 0, nil, s)
			return err
		}); err != nil {
			errs <- fmt.Errorf("attach: %w", err)
			return
		}
		for i, l := range []*Log{a, b} {
			payload := fmt.Sprintf("after %d.%d", round, i)
			if err := publishOnce(ctx, l, topic, payload); err != nil {
				errs <- err
				return
			}
			for {
				select {
				case d := <-s.deliveries:
					r.Ack(d)
					if string(d.Payload) != payload {
						continue
					}
				case <-ctx.Done():
					errs <- fmt.Errorf("%q was acknowledged and not delivered", payload)
					return
				}
				break
			}
		}
		errs <- r.Close(ctx)
	})
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return removals, err
}

// persist does again what JetStream has not answered in time, as clients do: three servers on a busy machine can be late.
func persist(ctx context.Context, do func() error) error {
	for {
		err := do()
		e, ok := errors.AsType[*reason.Error](err)
		unanswered := ok && e.Reason == reason.NATSUnavailable || errors.Is(err, context.DeadlineExceeded)
		if !unanswered || ctx.Err() != nil {
			return err
		}
	}
}

func publishOnce(ctx context.Context, l *Log, topic, payload string) error {
	top, err := dedicatedTopic(ctx, l, topic)
	if err != nil {
		return fmt.Errorf("topic: %w", err)
	}
	a := make(answers, 1)
	top.Publish(textMessage(topic, payload), a, 0)
	select {
	case r := <-a:
		if r.Outcome != publisher.Stored {
			return fmt.Errorf("publish %q: %v %w", payload, r.Outcome, r.Err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("publish %q: %w", payload, ctx.Err())
	}
}

// waitLookup waits until a bridge knows, or does not know any more, a topic.
func waitLookup(t *testing.T, l *Log, topic string, want bool) {
	t.Helper()
	ctx := ctxOf(t)
	for {
		top := l.register.topic(topic)
		_, _, changed := top.look()
		if (known(l, topic) != nil) == want {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("topic %s known: %v, want %v", topic, !want, want)
		}
	}
}

func presences(t *testing.T, l *Log) uint64 {
	t.Helper()
	s, err := l.link.js.Stream(ctxOf(t), l.names.presence)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}
