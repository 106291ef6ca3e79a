package jetstream

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// newCluster starts three servers that replicate. Each must know the others before it starts, and none is ready before they
// are.
func newCluster(t *testing.T) (servers []*server.Server) {
	t.Helper()
	var ports []int
	var routes []*url.URL
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("s", i), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 28,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		s.Start()
		servers = append(servers, s)
	}
	for _, s := range servers {
		if !s.ReadyForConnections(patience) {
			t.Fatal("a server does not start")
		}
	}
	return servers
}

// A transient topic's message reaches a bridge at another server.
func TestTransientAcrossServers(t *testing.T) {
	servers := newCluster(t)
	a, b := clusterLog(t, servers[0], func(*tenant.Quotas) {}), clusterLog(t, servers[1], func(*tenant.Quotas) {})
	for _, l := range []*Log{a, b} {
		setQuotas(l.store, func(*tenant.Quotas) {}, transientLive)
	}
	s := newSink()
	listen(t, b, "live/#", s)
	for n := 0; ; n++ {
		publishTransient(t, a, "live/x", "") // the other server may learn of the subscription a moment later
		select {
		case d := <-s.deliveries:
			if d.Topic != "live/x" {
				t.Errorf("topic %s", d.Topic)
			}
			return
		case <-time.After(10 * time.Millisecond):
			if n > 1000 {
				t.Fatal("nothing is delivered")
			}
		}
	}
}

// clusterLog opens the log of a bridge on one server of a cluster, which may take its time to elect a leader.
func clusterLog(t *testing.T, s *server.Server, change func(*tenant.Quotas)) *Log {
	t.Helper()
	store := newStore(t, s, func(c *Config) { c.Replicas = 3 })
	setQuotas(store, change)
	ctx := ctxOf(t)
	for {
		l, err := store.Tenant(ctx, "acme")
		if err == nil {
			return l
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// With three replicas a read from a follower can be stale, and the leader of a stream behind that of the cluster: the quota
// is exact all the same, and a topic that is removed takes no message with it.
func TestThreeReplicas(t *testing.T) {
	const quota, lanes, rounds = 4, 2, 10
	servers := newCluster(t)
	limits := func(q *tenant.Quotas) { q.Topics, q.BacklogBytes = quota, 1<<20 }
	a, b := clusterLog(t, servers[0], limits), clusterLog(t, servers[1], limits)
	logs := []*Log{a, b}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var made []string
	for i := range 3 * quota {
		wg.Go(func() {
			name := fmt.Sprint("t/", i)
			_, err := logs[i%2].Topic(ctxOf(t), name)
			var e *reason.Error
			switch {
			case err == nil:
				mu.Lock()
				made = append(made, name)
				mu.Unlock()
			case !errors.As(err, &e) || e.Reason != reason.TopicQuota:
				t.Errorf("topic %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if len(made) != quota {
		t.Fatalf("%d topics, the quota is %d", len(made), quota)
	}
	for _, name := range made {
		if removed, err := a.RemoveIfUnused(ctxOf(t), name); err != nil || !removed {
			t.Errorf("removed %v: %v", removed, err)
		}
	}
	if err := b.register.settle(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	for lane := range lanes {
		wg.Go(func() {
			for round := range rounds {
				if _, err := cleanupRace(fmt.Sprintf("race/%d", lane), round, a, b); err != nil {
					t.Errorf("lane %d round %d: %v", lane, round, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// The creator's server, the publisher's and the subscriber's are three, and each may be behind the others.
func TestThreeReplicasWildcards(t *testing.T) {
	const lanes, rounds = 2, 12
	servers := newCluster(t)
	limits := func(q *tenant.Quotas) { q.BacklogBytes = 1 << 20 }
	a, b := clusterLog(t, servers[0], limits), clusterLog(t, servers[1], limits)
	w := watch(b)
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for round := range rounds {
				race := wildcardRace{
					w: w, creator: a, spread: 300 * time.Millisecond,
					topic: fmt.Sprintf("race/%d/%d/x", lane, round), filter: fmt.Sprintf("race/%d/%d/#", lane, round),
				}
				if own, err := race.stay(); err != nil {
					t.Errorf("lane %d round %d, attached by itself %v: %v", lane, round, own, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := w.wait(); err != nil {
		t.Error(err)
	}
}

// Rules reach streams with three replicas as they do others: a ring, which discards, then a log, which refuses, then a backlog again, which
// keeps what the subscriber waits for.
func TestRulesOnThreeReplicas(t *testing.T) {
	servers := newCluster(t)
	small := func(q *tenant.Quotas) { q.BacklogBytes = 1 << 20 }
	logs := []*Log{clusterLog(t, servers[0], small), clusterLog(t, servers[1], small)}
	a, b := logs[0], logs[1]
	rule := func(change func(*tenant.Rule)) tenant.Rule {
		return dedicated(func(r *tenant.Rule) {
			r.BacklogBytes = 1 << 20
			change(r)
		})
	}
	enforce(t, logs, rule(func(r *tenant.Rule) { r.WhenFull, r.BacklogMessages = tenant.WhenFullDiscardOldest, 5 }))
	s, r := attach(t, a, "t/x", "")
	var unacknowledged []reader.Delivery
	for i := range 8 {
		unacknowledged = append(unacknowledged, storeNext(t, logs[i%2], "t/x", i, s))
	}
	wantHeld(t, b, "t/x", 3, 8)
	enforce(t, logs, rule(func(r *tenant.Rule) { r.Keep, r.BacklogMessages = tenant.KeepUntilExpired, 6 }))
	last := storeNext(t, b, "t/x", 8, s)
	wantRefused(t, publishTo(t, a, "t/x", numbered(9)), reason.BacklogFull, `backlog_messages of the rule "t/#"`)
	for _, d := range unacknowledged[:7] {
		r.Ack(d)
	}
	enforce(t, logs, rule(func(*tenant.Rule) {}))
	awaitStream(t, b, "t/x", "consumed", func(state natsjs.StreamState) bool { return state.Msgs == 2 })
	wantHeld(t, b, "t/x", 7, 9)
	r.Ack(unacknowledged[7])
	r.Ack(last)
	awaitStream(t, b, "t/x", "consumed", isEmpty)
	closeReader(t, r)
	ctx := ctxOf(t)
	for removed := false; !removed; { // the stream's leader may hear late that the consumer is gone
		var err error
		if removed, err = b.RemoveIfUnused(ctx, "t/x"); err != nil {
			t.Fatal(err)
		}
	}
}
