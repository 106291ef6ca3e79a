package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// audience reads everything that a filter matches, wherever it is, as the fan-out does without its order.
type audience struct {
	t      *testing.T
	log    *Log
	filter string

	work sync.WaitGroup
	mu   sync.Mutex
	open map[tenant.Place]bool
	got  map[string]int // by topic and number: how often
	from map[string][]string
	more chan struct{} // closed when got grows, and replaced
}

func listenTo(t *testing.T, l *Log, filter string) *audience {
	t.Helper()
	a := &audience{t: t, log: l, filter: filter, open: map[tenant.Place]bool{}, got: map[string]int{}, from: map[string][]string{}, more: make(chan struct{})}
	l.OnMove(a)
	l.OnCreated(func(topic string) {
		a.work.Go(func() {
			if err := a.attach(ctxOf(t), tenant.Dedicated(topic)); err != nil {
				t.Errorf("attach to %s: %v", topic, err)
			}
		})
	})
	if _, err := l.Watch(ctxOf(t), filter); err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(ctxOf(t), tenant.Move{}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *audience) Prepare(ctx context.Context, _ tenant.Move) error {
	places, dedicated := a.log.Places(a.filter)
	for _, p := range places {
		if err := a.attach(ctx, p); err != nil {
			return err
		}
	}
	if !dedicated {
		return nil
	}
	topics, err := a.log.Watch(ctx, a.filter)
	if err != nil {
		return err
	}
	defer a.log.Unwatch(a.filter)
	for _, topic := range topics {
		if err := a.attach(ctx, tenant.Dedicated(topic)); err != nil && !errors.Is(err, reader.ErrMoved) {
			return err
		}
	}
	return nil
}

func (*audience) Hold(tenant.Move) {}

// Release forgets the dedicated topics that have moved: they may come back in other streams.
func (a *audience) Release(m tenant.Move, _ map[tenant.Place]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.open, func(p tenant.Place, _ bool) bool { return p.Stream == tenant.StreamDedicated && m.Loses(p) })
}

func (a *audience) attach(ctx context.Context, p tenant.Place) error {
	a.mu.Lock()
	if a.open[p] {
		a.mu.Unlock()
		return nil
	}
	a.open[p] = true
	a.mu.Unlock()
	s := newSink()
	r, err := a.log.Attach(ctx, p, "", 0, nil, s)
	if err != nil {
		a.mu.Lock()
		delete(a.open, p)
		a.mu.Unlock()
		return err
	}
	a.work.Go(func() {
		for {
			select {
			case d := <-s.deliveries:
				r.Ack(d)
				a.take(d, p)
			case <-a.log.store.ctx.Done():
				return
			}
		}
	})
	return nil
}

func (a *audience) take(d reader.Delivery, p tenant.Place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := d.Topic + " " + string(d.Payload)
	a.got[key]++
	a.from[key] = append(a.from[key], fmt.Sprint(p.Stream, p.Name, " ", d.Stream, d.Sequence))
	close(a.more)
	a.more = make(chan struct{})
}

// want waits until everything has come, and tells what came more than once.
func (a *audience) want(acknowledged map[string]bool, twice bool) {
	a.t.Helper()
	deadline := time.After(patience)
	for {
		a.mu.Lock()
		var missing []string
		for key := range acknowledged {
			if a.got[key] == 0 {
				missing = append(missing, key)
			}
		}
		more := a.more
		a.mu.Unlock()
		if len(missing) == 0 {
			break
		}
		select {
		case <-more:
		case <-deadline:
			a.t.Errorf("%d of %d acknowledged messages have not come: %.300q", len(missing), len(acknowledged), missing)
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, n := range a.got {
		if n > 1 && !twice {
			a.t.Errorf("%q came %d times: %q", key, n, a.from[key])
		}
	}
}

// load publishes numbers to topics, each by one goroutine, until it is stopped.
type load struct {
	stop chan struct{}
	work sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]bool
	errs         []error
}

func publishAll(t *testing.T, logs []*Log, topics []string) *load {
	l := &load{stop: make(chan struct{}), acknowledged: map[string]bool{}}
	for i, topic := range topics {
		l.work.Go(func() { l.publish(t, logs[i%len(logs)], topic) })
	}
	return l
}

func (l *load) publish(t *testing.T, log *Log, topic string) {
	answer := make(answers, 1)
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-log.store.ctx.Done():
			return
		case <-time.After(500 * time.Microsecond):
		}
		route, _ := log.Lookup([]byte(topic))
		if route == nil {
			var err error
			if route, err = log.Topic(ctxOf(t), topic); err != nil {
				l.note("", fmt.Errorf("topic %s: %w", topic, err))
				continue
			}
		}
		payload := fmt.Sprint(n)
		route.Publish(textMessage(topic, payload), answer, 0)
		switch r := answer.next(t); r.Outcome {
		case publisher.Stored:
			l.note(topic+" "+payload, nil)
		default:
			l.note("", fmt.Errorf("publish %s %s: %v %w", topic, payload, r.Outcome, r.Err))
		}
	}
}

func (l *load) note(key string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	l.acknowledged[key] = true
}

func (l *load) end() {
	close(l.stop)
	l.work.Wait()
}

// check ends the load, and closes the stores once every audience has got what was acknowledged.
func (l *load) check(t *testing.T, audiences []*audience, stores []*Store) {
	t.Helper()
	l.end()
	for _, err := range l.errs {
		t.Error(err)
	}
	t.Logf("%d messages", len(l.acknowledged))
	for _, a := range audiences {
		a.want(l.acknowledged, false)
	}
	for _, s := range stores {
		if err := s.Close(ctxOf(t)); err != nil {
			t.Error(err)
		}
	}
	for _, a := range audiences {
		a.work.Wait()
	}
}

// movingRules are the rules that a test moves its topics to and fro with.
var movingRules = map[string][]tenant.Rule{
	"dedicated": {{Filter: "b/#", Stream: tenant.StreamDedicated}},
	"shared":    {{Filter: "a/#", Stream: tenant.StreamShared, Name: "one"}},
	"renamed":   {{Filter: "a/#", Stream: tenant.StreamShared, Name: "two"}},
	"narrower":  {{Filter: "a/+", Stream: tenant.StreamShared, Name: "two"}},
	"two": {
		{Filter: "a/+", Stream: tenant.StreamShared, Name: "one"},
		{Filter: "a/+/deep", Stream: tenant.StreamShared, Name: "two"},
	},
	"swapped": {
		{Filter: "a/+", Stream: tenant.StreamShared, Name: "two"},
		{Filter: "a/+/deep", Stream: tenant.StreamShared, Name: "one"},
	},
	"transient": {{Filter: "a/#", Stream: tenant.StreamTransient}},
	"mixed": {
		{Filter: "a/1/#", Stream: tenant.StreamDedicated},
		{Filter: "a/2/#", Stream: tenant.StreamTransient},
		{Filter: "+/+/deep", Stream: tenant.StreamTransient},
	},
}

var movingTopics = []string{"a/1", "a/2", "a/3", "a/1/deep", "a/2/deep", "a/3/deep"}

func twoForMoves(t *testing.T, change func(*Config)) (stores []*Store, logs []*Log) {
	t.Helper()
	url := natsprocess.New(t)
	for range 2 {
		s := newStoreAt(t, url, change)
		stores, logs = append(stores, s), append(logs, openLog(t, s))
	}
	return stores, logs
}

// smallBacklogs is for many moves after each other: what was parked is reserved until it has drained.
func smallBacklogs(q *tenant.Quotas) { q.BacklogBytes = 4 << 20 }

// Topics move in every direction while two bridges publish and read: nothing that was acknowledged is lost, and nothing comes twice.
func TestMoves(t *testing.T) {
	stores, logs := twoForMoves(t, nil)
	audiences := []*audience{listenTo(t, logs[0], "a/#"), listenTo(t, logs[1], "a/#")}
	l := publishAll(t, logs, movingTopics)
	for _, name := range []string{
		"shared", "dedicated", "shared", "renamed", "narrower", "two", "swapped", "transient", "mixed", "renamed", "transient", "dedicated", "transient",
		"narrower", "mixed", "shared",
	} {
		started := time.Now()
		setQuotas(stores[0], smallBacklogs, movingRules[name]...)
		setQuotas(stores[1], smallBacklogs, movingRules[name]...)
		t.Logf("%s after %v", name, time.Since(started))
	}
	l.check(t, audiences, stores)
}

// Two shared rules change their topics for each other's. Who has not heard of it publishes to one line what belongs to the other, in both
// directions at once.
func TestRoutesThatAreLate(t *testing.T) {
	stores, logs := twoForMoves(t, nil)
	rules := func(a, b string) []tenant.Rule {
		return []tenant.Rule{
			{Filter: "a/#", Stream: tenant.StreamShared, Name: a, Keep: tenant.KeepUntilExpired},
			{Filter: "b/#", Stream: tenant.StreamShared, Name: b, Keep: tenant.KeepUntilExpired},
		}
	}
	enforce(t, logs, rules("one", "two")...)
	const topics, messages = 4, 500
	routes := map[string]Route{}
	for n := range topics {
		for _, of := range []string{"a", "b"} {
			topic := fmt.Sprint(of, "/", n)
			mustStore(t, logs[0], topic, "before")
			routes[topic], _ = logs[0].Lookup([]byte(topic))
		}
	}
	tell(stores, rules("two", "one"))
	for _, l := range logs {
		awaitRules(l)
	}
	var wg sync.WaitGroup
	for topic, route := range routes {
		wg.Go(func() {
			all := make(answers, messages)
			for i := range messages {
				route.Publish(textMessage(topic, numbered(i)), all, 0)
			}
			for range messages {
				if r := all.next(t); r.Outcome != publisher.Stored {
					t.Errorf("publish to %s: %v", topic, r)
					return
				}
			}
		})
	}
	wg.Wait()
	for topic := range routes {
		wantHeld(t, logs[1], topic, 0, messages)
	}
}

// tell puts rules in force on bridges, as one revision.
func tell(stores []*Store, rules []tenant.Rule) {
	revision := uint64(time.Now().UnixNano())
	var q tenant.Quotas
	smallBacklogs(&q)
	for _, s := range stores {
		s.SetLimits("acme", revision, q.Resolve(), tenant.Rules(rules).Resolve(q))
	}
}

// The bridge that moves topics is killed at some moment, in whatever phase: another one goes on.
func TestMoverDies(t *testing.T) {
	url := natsprocess.New(t)
	var stores []*Store
	var logs []*Log
	for range 2 {
		s := newStoreAt(t, url, shortLease)
		stores, logs = append(stores, s), append(logs, openLog(t, s))
	}
	audiences := []*audience{listenTo(t, logs[0], "a/#"), listenTo(t, logs[1], "a/#")}
	l := publishAll(t, logs, movingTopics)
	names := slices.Sorted(maps.Keys(movingRules))
	for round := range 12 {
		victim := newStoreAt(t, url, shortLease)
		dying := openLog(t, victim)
		name := names[rand.IntN(len(names))]
		begun := dying.rules.now.Load().changed
		tell([]*Store{victim}, movingRules[name])
		select {
		case <-begun: // else nothing is to be moved
		case <-time.After(100 * time.Millisecond):
		}
		<-time.After(rand.N(30 * time.Millisecond))
		phase := dying.rules.now.Load().Value.Phase
		started := time.Now()
		kill(victim)
		tell(stores, movingRules[name])
		for _, log := range logs {
			awaitRules(log)
		}
		t.Logf("round %d: %s, killed while %s, settled after %v", round, name, phase, time.Since(started).Round(time.Millisecond))
	}
	l.check(t, audiences, stores)
}
