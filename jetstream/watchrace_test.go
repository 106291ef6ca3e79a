package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
)

// A thousand times a topic is created on one bridge, and published to without a pause, at the moment when another subscribes with
// a wildcard. What is published after the subscription is delivered, once and in order, and so is all of a topic that
// was created after it. Every third time the subscriber goes at once, and no consumer is left over.
func TestWildcardRace(t *testing.T) {
	srv := natsprocess.New(t)
	a, b := manyTopics(t, newStoreAt(t, srv, nil)), manyTopics(t, newStoreAt(t, srv, nil))
	w := watch(b)
	rounds, lanes := 400, 4
	if testing.Short() {
		rounds = 100
	}
	var adopted, attached, left atomic.Int64
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for round := range rounds / lanes {
				race := wildcardRace{
					w: w, creator: a, spread: 8 * time.Millisecond,
					topic: fmt.Sprintf("race/%d/%d/x", lane, round), filter: fmt.Sprintf("race/%d/%d/#", lane, round),
				}
				var err error
				if round%3 == 2 {
					left.Add(1)
					err = race.leave()
				} else {
					var own bool
					if own, err = race.stay(); own {
						attached.Add(1)
					} else {
						adopted.Add(1)
					}
				}
				if err != nil {
					t.Errorf("lane %d round %d: %v", lane, round, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := w.wait(); err != nil {
		t.Error(err)
	}
	if adopted.Load() == 0 || attached.Load() == 0 {
		t.Error("one side was always first: the race did not take place")
	}
	t.Logf("%d adopted, %d attached, %d left", adopted.Load(), attached.Load(), left.Load())
	// The filters go some seconds later. What was made for them meanwhile has gone before, or goes now.
	registerUntil(t, b, func() bool { return !b.filters.has(b.store.config.Bridge) })
	for _, top := range b.register.all() {
		deletion(t, b, top.name, func() {})
	}
	if names := consumersOf(t, b); len(names) != 0 {
		t.Errorf("left over: %q", names)
	}
}

type wildcardRace struct {
	w             *watcher
	creator       *Log
	topic, filter string
	spread        time.Duration // that creating and subscribing take
	removed       bool          // somebody removes the topic when it is not used
}

// run creates and subscribes at the same moment, spread over the time that either takes. It returns how many messages the publisher
// has stored before it went on after the subscription, at least three more.
func (r *wildcardRace) run(ctx context.Context) (before, stored int, err error) {
	subscribed := make(chan struct{})
	var wg sync.WaitGroup
	var subscribing error
	delays := []time.Duration{rand.N(r.spread), rand.N(r.spread)}
	wg.Go(func() {
		<-time.After(delays[0])
		subscribing = r.w.subscribe(ctx, r.filter, r.topic)
		close(subscribed)
	})
	<-time.After(delays[1])
	for after := 0; after < 3 && err == nil; stored++ {
		select {
		case <-subscribed:
			after++
		case <-time.After(rand.N(time.Millisecond)):
			before = stored + 1
		}
		err = publishOnce(ctx, r.creator, r.topic, numbered(stored))
	}
	wg.Wait()
	return before, stored, errors.Join(err, subscribing)
}

// stay takes everything that must come. own tells that the subscriber has attached itself, as it was later than the
// creator.
func (r *wildcardRace) stay() (own bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	before, stored, err := r.run(ctx)
	if err != nil {
		return false, err
	}
	// With the topic created after the subscription, its feed comes in the background.
	f, err := r.w.feed(ctx, r.topic)
	if err != nil {
		return false, err
	}
	own = !f.reader.Adopted()
	next := -1
	for next < stored {
		select {
		case d := <-f.deliveries:
			f.reader.Ack(d)
			n := numberOf(string(d.Payload))
			switch {
			case next < 0 && (n > before || !own && n > 0 && !r.removed):
				return own, fmt.Errorf("begins with %d, subscribed at %d, adopted %v", n, before, !own)
			case next >= 0 && n != next:
				return own, fmt.Errorf("%d where %d is due", n, next)
			}
			next = n + 1
		case <-ctx.Done():
			return own, fmt.Errorf("%d of %d was stored and is not delivered, subscribed at %d, adopted %v", next, stored, before, !own)
		}
	}
	return own, r.w.unsubscribe(ctx, r.filter, r.topic)
}

// leave subscribes and unsubscribes at once.
func (r *wildcardRace) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	var leaving error
	wg.Go(func() {
		<-time.After(rand.N(r.spread))
		leaving = errors.Join(r.w.subscribe(ctx, r.filter, r.topic), r.w.unsubscribe(ctx, r.filter, r.topic))
	})
	<-time.After(rand.N(r.spread))
	err := publishOnce(ctx, r.creator, r.topic, numbered(0))
	wg.Wait()
	return errors.Join(err, leaving)
}

// The same topic is made, watched, left and removed again and again, while the records of the filters come and go: what is published
// after a subscription is delivered.
func TestWildcardCleanupRace(t *testing.T) {
	srv := natsprocess.New(t)
	a, b := manyTopics(t, newStoreAt(t, srv, nil)), manyTopics(t, newStoreAt(t, srv, func(c *Config) { c.linger = 3 * time.Millisecond }))
	w := watch(b)
	rounds, lanes := 400, 2
	if testing.Short() {
		rounds = 40
	}
	var removals atomic.Int64
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for round := range rounds / lanes {
				race := wildcardRace{
					w: w, creator: a, spread: 12 * time.Millisecond, removed: true,
					topic: fmt.Sprintf("race/%d", lane), filter: fmt.Sprintf("race/%d/#", lane),
				}
				if err := race.remove(&removals); err != nil {
					t.Errorf("lane %d round %d: %v", lane, round, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := w.wait(); err != nil {
		t.Error(err)
	}
	if removals.Load() == 0 {
		t.Error("nothing was ever removed: the race did not take place")
	}
	t.Logf("%d removals in %d rounds", removals.Load(), rounds)
}

// remove removes the topic on both sides while it is watched.
func (r *wildcardRace) remove(removals *atomic.Int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	for _, l := range []*Log{r.creator, r.w.log} {
		wg.Go(func() {
			<-time.After(rand.N(r.spread))
			removed, err := l.RemoveIfUnused(ctx, r.topic)
			if removed {
				removals.Add(1)
			}
			errs <- err
		})
	}
	_, err := r.stay()
	wg.Wait()
	return errors.Join(err, <-errs, <-errs)
}
