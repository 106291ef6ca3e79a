package jetstream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// limited is a shared rule that may have so many topics.
func limited(topics int64) tenant.Rule {
	return sharedRule(func(r *tenant.Rule) { r.Topics = topics })
}

// twoWithIdle is two with another idle time.
func twoWithIdle(t *testing.T, idle time.Duration, rules ...tenant.Rule) []*Log {
	t.Helper()
	srv := natsprocess.New(t)
	change := func(c *Config) { c.TopicIdle = idle }
	logs := []*Log{openLog(t, newStoreAt(t, srv, change)), openLog(t, newStoreAt(t, srv, change))}
	enforce(t, logs, rules...)
	return logs
}

// listState is the state of the rule's list; nil where it has none.
func listState(t *testing.T, l *Log) *natsjs.StreamInfo {
	t.Helper()
	s, err := l.link.js.Stream(ctxOf(t), l.names.listStream("t"))
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo()
}

func wantListed(t *testing.T, l *Log, n uint64) {
	t.Helper()
	if info := listState(t, l); info == nil || info.State.Msgs != n {
		t.Errorf("list %+v, want %d topics", info, n)
	}
}

func listOf(l *Log) *topicList { return l.currentRouting().sharedRule("t").list.Load() }

// Two bridges race for the last places of a rule, time and again: it never has more topics than it may, nor fewer.
func TestRaceForTheLastTopics(t *testing.T) {
	const rounds, perRound, racers = 100, 3, 6
	logs := two(t, limited(1))
	mustStore(t, logs[0], "t/0", "first")
	for round := 1; round <= rounds; round++ {
		limit := int64(1 + round*perRound)
		enforce(t, logs, limited(limit))
		var g errgroup.Group
		refused := make(chan error, racers)
		for i := range racers {
			g.Go(func() error {
				// Each topic is asked for on both bridges, by two.
				topic := fmt.Sprintf("t/%d/%d", round, i)
				var each errgroup.Group
				for n := range 4 {
					each.Go(func() error {
						_, err := logs[n%2].Topic(ctxOf(t), topic)
						return err
					})
				}
				err := each.Wait()
				if err != nil {
					refused <- err
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		close(refused)
		n := 0
		for err := range refused {
			wantReason(t, err, reason.TopicQuota)
			if want := fmt.Sprintf(`topic_quota: the rule "t/#" has as many topics as it may (its topics: %d)`, limit); err.Error() != want {
				t.Fatalf("%q instead of %q", err, want)
			}
			n++
		}
		if n != racers-perRound {
			t.Fatalf("round %d: %d topics refused", round, n)
		}
		wantListed(t, logs[0], uint64(limit))
	}
}

// What is not listed at a bridge is looked up as unknown, and what is costs nothing.
func TestListedTopicsAreKnownEverywhere(t *testing.T) {
	logs := two(t, limited(2))
	name := "t/" + numbered(1) + numbered(2) + numbered(3)
	if route, _ := logs[1].Lookup([]byte(name)); route != nil {
		t.Error("known before it was used")
	}
	mustStore(t, logs[0], name, "one")
	info := listState(t, logs[0])
	if err := listOf(logs[1]).follow().Wait(ctxOf(t), info.State.LastSeq); err != nil {
		t.Fatal(err)
	}
	topic := []byte(name)
	for _, l := range logs {
		if n := testing.AllocsPerRun(100, func() {
			if route, _ := l.Lookup(topic); route == nil {
				t.Error("not found")
			}
		}); n > 0 {
			t.Errorf("%v allocations", n)
		}
	}
	if _, err := logs[1].Topic(ctxOf(t), "t/two"); err != nil {
		t.Error(err)
	}
	_, err := logs[0].Topic(ctxOf(t), "t/three")
	wantReason(t, err, reason.TopicQuota)
	if _, err := logs[1].Topic(ctxOf(t), name); err != nil {
		t.Error(err)
	}
}

// A native service that asks for a topic takes a place, or is told that there is none.
func TestEnsureListsTopics(t *testing.T) {
	l := two(t, limited(1))[0]
	ask := func(topic string) string {
		m, err := l.link.nc.RequestWithContext(ctxOf(t), message.EnsureSubject(l.tenant), []byte(topic))
		if err != nil {
			t.Fatal(err)
		}
		return string(m.Data)
	}
	for range 2 {
		if got := ask("t/one"); got != "{}" {
			t.Error(got)
		}
	}
	want := `{"error":{"code":"topic_quota","message":"the rule \"t/#\" has as many topics as it may (its topics: 1)"}}`
	if got := ask("t/two"); got != want {
		t.Error(got)
	}
	wantListed(t, l, 1)
}

// A place is free again when its topic has not been used for the idle time, and no sooner.
func TestUnusedTopicLeavesItsPlace(t *testing.T) {
	const idle = time.Second
	logs := twoWithIdle(t, idle, limited(1))
	mustStore(t, logs[0], "t/one", "one")
	begin := time.Now()
	for {
		_, err := logs[1].Topic(ctxOf(t), "t/two")
		if err == nil {
			break
		}
		wantReason(t, err, reason.TopicQuota)
	}
	if passed := time.Since(begin); passed < idle {
		t.Errorf("left after %v", passed)
	}
	_, err := logs[0].Topic(ctxOf(t), "t/one")
	wantReason(t, err, reason.TopicQuota)
}

// What is published to, or subscribed to by name, keeps its place on both bridges for as long as that lasts.
func TestUsedTopicsAreRenewed(t *testing.T) {
	const idle = time.Second
	logs := twoWithIdle(t, idle, limited(2))
	mustStore(t, logs[0], "t/published", "first")
	release, err := logs[1].KeepTopic(ctxOf(t), "t/subscribed")
	if err != nil {
		t.Fatal(err)
	}
	_, err = logs[1].KeepTopic(ctxOf(t), "t/third")
	wantReason(t, err, reason.TopicQuota)
	for n, begin := 0, time.Now(); time.Since(begin) < 6*idle; n++ {
		mustStore(t, logs[0], "t/published", numbered(n))
		if n%100 == 0 {
			_, err := logs[n/100%2].Topic(ctxOf(t), "t/third")
			wantReason(t, err, reason.TopicQuota)
		}
	}
	wantListed(t, logs[0], 2)
	release()
	for {
		mustStore(t, logs[0], "t/published", "goes on")
		if _, err = logs[0].Topic(ctxOf(t), "t/third"); err == nil {
			break
		}
		wantReason(t, err, reason.TopicQuota)
	}
	_, err = logs[1].KeepTopic(ctxOf(t), "t/subscribed")
	wantReason(t, err, reason.TopicQuota)
	if n := len(listOf(logs[1]).kept); n != 0 {
		t.Errorf("%d topics are kept", n)
	}
}

// A limit is raised, lowered and taken away in place; the list goes with it, or with its rule.
func TestTopicLimitChanges(t *testing.T) {
	logs := two(t, sharedRule(func(*tenant.Rule) {}))
	topics := func(n int) (made int) {
		t.Helper()
		for i := range n {
			_, err := logs[i%2].Topic(ctxOf(t), fmt.Sprint("t/", i))
			if err == nil {
				made++
			} else {
				wantReason(t, err, reason.TopicQuota)
			}
		}
		return made
	}
	want := func(tried, made int) {
		t.Helper()
		if got := topics(tried); got != made {
			t.Errorf("%d of %d topics, want %d", got, tried, made)
		}
	}
	want(10, 10)
	if info := listState(t, logs[0]); info != nil {
		t.Error("a rule without a limit has a list")
	}
	enforce(t, logs, limited(3))
	want(10, 3)
	enforce(t, logs, limited(5))
	want(10, 5)
	enforce(t, logs, limited(2))
	want(10, 5) // those that are there stay, and no new one comes
	if info := listState(t, logs[0]); info.Config.MaxMsgs != 2 || info.State.Msgs != 5 {
		t.Errorf("%+v", info)
	}
	enforce(t, logs, sharedRule(func(*tenant.Rule) {}))
	want(10, 10)
	if info := listState(t, logs[0]); info != nil {
		t.Error("the list is there without a limit")
	}
	enforce(t, logs, limited(4))
	want(10, 4)
	enforce(t, logs)
	if info := listState(t, logs[0]); info != nil {
		t.Error("the list is there without its rule")
	}
}

// A list that is deleted by hand is made again: who uses his topic takes a place in it.
func TestListDeletedByHand(t *testing.T) {
	logs := two(t, limited(2))
	mustStore(t, logs[0], "t/one", "one")
	mustStore(t, logs[0], "t/two", "two")
	last := listState(t, logs[0]).State.LastSeq
	if err := logs[0].link.js.DeleteStream(ctxOf(t), logs[0].names.listStream("t")); err != nil {
		t.Fatal(err)
	}
	for _, l := range logs { // each makes it again, or follows the one that the other has made
		if err := listOf(l).copy.Wait(ctxOf(t), last+1); err != nil {
			t.Fatal(err)
		}
	}
	mustStore(t, logs[1], "t/three", "three")
	mustStore(t, logs[0], "t/one", "again")
	_, err := logs[0].Topic(ctxOf(t), "t/two")
	wantReason(t, err, reason.TopicQuota)
	wantListed(t, logs[0], 2)
}

// The stream of a list that no rule has is deleted once it is empty.
func TestLeftListGoes(t *testing.T) {
	logs := two(t, limited(1))
	js := logs[0].link.js
	left := logs[0].listStream("former", 1)
	full := logs[0].listStream("full", 1)
	for _, config := range []natsjs.StreamConfig{left, full} {
		if _, err := js.CreateStream(ctxOf(t), config); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(ctxOf(t), logs[0].names.listSubject("full", "x"), nil); err != nil {
		t.Fatal(err)
	}
	if err := logs[0].deleteEmptyLists(ctxOf(t), 0); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{left.Name: natsjs.ErrStreamNotFound, full.Name: nil, logs[0].names.listStream("t"): nil} {
		if _, err := js.Stream(ctxOf(t), name); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Ten thousand topics are listed by many at once, and a bridge that starts later knows them.
func TestTenThousandListedTopics(t *testing.T) {
	const topics, lanes = 10_000, 32
	logs := two(t, limited(topics))
	begin := time.Now()
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for n := lane; n < topics; n += lanes {
				if _, err := logs[lane%2].Topic(context.Background(), fmt.Sprint("t/", n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	_, err := logs[0].Topic(ctxOf(t), "t/more")
	wantReason(t, err, reason.TopicQuota)
	wantListed(t, logs[0], topics)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	list := newTopicList(logs[0].currentRouting().sharedRule("t"), topics)
	begin = time.Now()
	if err := list.follow().WaitSynced(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	synced := time.Since(begin)
	defer list.close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := len(list.topics); n != topics {
		t.Errorf("%d topics are known", n)
	}
	t.Logf("%d topics: %v, %v of each; known again in %v, with %d bytes each", topics, took.Round(time.Millisecond), took/topics, synced.Round(time.Millisecond),
		(after.HeapAlloc-before.HeapAlloc)/topics)
}

// With three replicas JetStream replaces no message of a full list: the topics that are used keep their places all the same, and nobody
// gets one too many.
func TestRenewalOnThreeReplicas(t *testing.T) {
	const idle = 2 * time.Second
	var logs []*Log
	for _, srv := range newCluster(t)[:2] {
		store := newStore(t, srv, func(c *Config) { c.Replicas, c.TopicIdle = 3, idle })
		ctx := ctxOf(t)
		for {
			l, err := store.Tenant(ctx, "acme")
			if err == nil {
				logs = append(logs, l)
				break
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	enforce(t, logs, limited(2))
	for n, begin := 0, time.Now(); time.Since(begin) < 3*idle; n++ {
		for i, topic := range []string{"t/one", "t/two"} {
			mustStore(t, logs[(n+i)%2], topic, numbered(n))
		}
	}
	_, err := logs[0].Topic(ctxOf(t), "t/three")
	wantReason(t, err, reason.TopicQuota)
	wantListed(t, logs[0], 2)
}
