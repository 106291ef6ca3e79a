package jetstream

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// setQuotas puts quotas, and rules, in force for the tenant of the tests, and returns when what they move has moved.
func setQuotas(s *Store, change func(*tenant.Quotas), rules ...tenant.Rule) {
	var q tenant.Quotas
	change(&q)
	s.SetLimits("acme", uint64(time.Now().UnixNano()), q.Resolve(), tenant.Rules(rules).Resolve(q))
	for _, l := range s.open() {
		awaitRules(l)
	}
}

// awaitRules returns when the rules that a log has been told of place topics.
func awaitRules(l *Log) {
	for {
		r := l.currentRouting()
		if placesAlike(r.policies, l.currentTerms().policies) {
			return
		}
		select {
		case <-r.replaced:
		case <-time.After(patience):
			panic("the rules do not come into force")
		}
	}
}

func TestDedicatedStreamIsAsDesigned(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	top, err := dedicatedTopic(ctxOf(t), l, "sensors/room 1/temp")
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.link.js.Stream(ctxOf(t), top.stream())
	if err != nil {
		t.Fatal(err)
	}
	got := s.CachedInfo().Config
	for key := range got.Metadata {
		if strings.HasPrefix(key, "_nats.") {
			delete(got.Metadata, key)
		}
	}
	want := natsjs.StreamConfig{
		Name:         top.stream(),
		Subjects:     []string{"mqtt.acme.sensors.room%201.temp"},
		Retention:    natsjs.InterestPolicy,
		Discard:      natsjs.DiscardNew,
		MaxBytes:     26214400,
		MaxMsgs:      -1,
		MaxMsgSize:   26214400 - messageOverhead - 31,
		MaxAge:       36 * time.Hour,
		MaxConsumers: maxConsumers,
		Storage:      natsjs.FileStorage,
		Replicas:     1,
		Duplicates:   duplicateWindow,
		AllowMsgTTL:  true,
		Metadata:     map[string]string{"weir.tenant": "acme", "weir.topic": "sensors/room 1/temp"},
	}
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool {
		switch p.Last().String() {
		case ".MaxMsgsPerSubject", ".AllowDirect", ".ConsumerLimits", ".Compression":
			return true // the server's defaults
		}
		return false
	}, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
}

// Of many topics that are made at once on two bridges exactly as many come to be as the quota says.
func TestTopicQuotaIsExact(t *testing.T) {
	srv := newServer(t, nil)
	const quota = 7
	var logs []*Log
	for range 2 {
		s := newStore(t, srv, nil)
		setQuotas(s, func(q *tenant.Quotas) { q.Topics = quota })
		logs = append(logs, openLog(t, s))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 40 {
		wg.Go(func() {
			_, err := logs[i%2].Topic(ctxOf(t), fmt.Sprint("t/", i))
			var e *reason.Error
			switch {
			case err == nil:
				mu.Lock()
				made++
				mu.Unlock()
			case !errors.As(err, &e) || e.Reason != reason.TopicQuota:
				t.Errorf("topic %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if made != quota {
		t.Fatalf("%d topics, the quota is %d", made, quota)
	}
	if n := presences(t, logs[0]); n != quota {
		t.Errorf("%d presence messages", n)
	}
	// Room is used again, and a raised quota holds at once.
	if err := logs[0].register.settle(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	one := logs[0].register.all()[0]
	if removed, err := logs[0].RemoveIfUnused(ctxOf(t), one.name); err != nil || !removed {
		t.Fatalf("removed %v: %v", removed, err)
	}
	if _, err := logs[0].Topic(ctxOf(t), "again"); err != nil {
		t.Fatal(err)
	}
	_, err := logs[0].Topic(ctxOf(t), "too many")
	wantReason(t, err, reason.TopicQuota)
	for _, l := range logs {
		setQuotas(l.store, func(q *tenant.Quotas) { q.Topics = quota + 1 })
		if err := l.limitPresence(ctxOf(t), l.Limits()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := logs[1].Topic(ctxOf(t), "one more"); err != nil {
		t.Fatal(err)
	}
}

// storage_bytes bounds what all topics reserve, also when two bridges ask for the last room.
func TestStorageQuota(t *testing.T) {
	srv := newServer(t, nil)
	var logs []*Log
	for range 2 {
		s := newStore(t, srv, nil)
		setQuotas(s, func(q *tenant.Quotas) { q.BacklogBytes, q.StorageBytes = 1000, 5500 })
		logs = append(logs, openLog(t, s))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 20 {
		wg.Go(func() {
			_, err := logs[i%2].Topic(ctxOf(t), fmt.Sprint("t/", i))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !strings.Contains(err.Error(), "storage_bytes of 5500") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := 20; made < 5; i++ {
		if _, err := logs[0].Topic(ctxOf(t), fmt.Sprint("t/", i)); err != nil {
			t.Fatal(err)
		}
		made++
	}
	if made != 5 {
		t.Errorf("%d topics of 1,000 bytes in 5,500", made)
	}
}

func TestServerWithoutRoomIsStorageFull(t *testing.T) {
	srv := newServer(t, func(o *server.Options) { o.JetStreamMaxStore = 40 << 20 })
	l := openLog(t, newStore(t, srv, nil))
	if _, err := l.Topic(ctxOf(t), "fits"); err != nil {
		t.Fatal(err)
	}
	_, err := l.Topic(ctxOf(t), "does not")
	wantReason(t, err, reason.StorageFull)
	if !strings.Contains(err.Error(), "max_file") {
		t.Errorf("%q does not name max_file", err)
	}
	if n := presences(t, l); n != 1 {
		t.Errorf("%d presence messages, want 1", n)
	}
}

func TestLimitsReachExistingStreams(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	s, r := attach(t, a, "x", "")
	for _, l := range []*Log{a, b} {
		setQuotas(l.store, func(q *tenant.Quotas) { q.BacklogMessages, q.BacklogBytes, q.TTL = 3, 1<<20, time.Hour })
		if _, err := l.applyLimits(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		mustStore(t, b, "x", numbered(i))
	}
	result := publishTo(t, b, "x", "too much")
	if result.Outcome != publisher.Refused {
		t.Errorf("outcome %v", result)
	}
	wantReason(t, result.Err, reason.BacklogFull)
	for range 3 {
		r.Ack(s.next(t))
	}
	info, err := a.link.js.Stream(ctxOf(t), known(a, "x").stream())
	if err != nil {
		t.Fatal(err)
	}
	if c := info.CachedInfo().Config; c.MaxMsgs != 3 || c.MaxBytes != 1<<20 || c.MaxAge != time.Hour {
		t.Errorf("limits %d messages, %d bytes, %v", c.MaxMsgs, c.MaxBytes, c.MaxAge)
	}
}

// A stream that holds the subject and is not the topic's is never changed.
func TestForeignStreamIsAnError(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	config := natsjs.StreamConfig{
		Name: "MINE", Subjects: []string{"mqtt.acme.x"}, Metadata: map[string]string{metaTenant: "acme", metaTopic: "y"},
	}
	before, err := l.link.js.CreateStream(ctxOf(t), config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Topic(ctxOf(t), "x")
	wantReason(t, err, reason.InternalError)
	after, err := l.link.js.Stream(ctxOf(t), "MINE")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.CachedInfo().Config, after.CachedInfo().Config); diff != "" {
		t.Error(diff)
	}
	if n := presences(t, l); n != 0 {
		t.Errorf("%d presence messages", n)
	}
}
