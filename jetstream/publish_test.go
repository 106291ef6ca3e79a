package jetstream

import (
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// ordered takes the answers to the publishes of one connection, which have ascending tokens.
type ordered struct {
	all chan struct{} // closed with the last answer

	mu       sync.Mutex
	expected int
	last     uint64
	disorder int
	bad      []publisher.Result
}

func (o *ordered) Published(token uint64, r publisher.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if token <= o.last {
		o.disorder++
	}
	o.last = token
	if r.Outcome != publisher.Stored {
		o.bad = append(o.bad, r)
	}
	if o.expected--; o.expected == 0 {
		close(o.all)
	}
}

// Publishers come back with many messages in flight when another bridge has just removed the topic: each is answered
// exactly once, stored, and those of one connection in their order.
func TestPublishesAreRepeatedInOrder(t *testing.T) {
	a, b := twoBridges(t)
	const rounds, publishers, messages = 30, 3, 200
	mustStore(t, a, "x", "first")
	for range rounds {
		waitLookup(t, b, "x", true)
		top := known(a, "x")
		if removed, err := b.RemoveIfUnused(ctxOf(t), "x"); err != nil || !removed {
			t.Fatalf("removed %v: %v", removed, err)
		}
		var wg sync.WaitGroup
		for range publishers {
			wg.Go(func() {
				o := &ordered{all: make(chan struct{}), expected: messages}
				for i := range messages {
					top.Publish(textMessage("x", numbered(i)), o, uint64(i+1))
				}
				select {
				case <-o.all:
				case <-time.After(patience):
				}
				o.mu.Lock()
				defer o.mu.Unlock()
				if o.expected != 0 || o.disorder != 0 || len(o.bad) != 0 {
					t.Errorf("%d answers missing, %d out of order, bad %v", o.expected, o.disorder, o.bad)
				}
			})
		}
		wg.Wait()
	}
	top := known(a, "x")
	s, err := a.link.js.Stream(ctxOf(t), top.stream())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.LastSeq; n != publishers*messages {
		t.Errorf("%d messages went through the stream, want %d", n, publishers*messages)
	}
}

// A topic that cannot be made again refuses what waited for it, each with the reason.
func TestRepeatedPublishIsRefused(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	mustStore(t, a, "x", "one")
	top := known(a, "x")
	if removed, err := b.RemoveIfUnused(ctxOf(t), "x"); err != nil || !removed {
		t.Fatalf("removed %v: %v", removed, err)
	}
	for _, l := range []*Log{a, b} {
		setQuotas(l.store, func(q *tenant.Quotas) { q.Topics = 1 })
	}
	mustStore(t, b, "y", "takes the last place")
	results := make(answers, 10)
	for range 10 {
		top.Publish(textMessage("x", "again"), results, 0)
	}
	for range 10 {
		r := results.next(t)
		if r.Outcome != publisher.Refused {
			t.Errorf("outcome %v", r)
		}
		wantReason(t, r.Err, reason.TopicQuota)
	}
}

// A publish that a later one has overtaken is not stored behind it.
func TestOvertakenPublishIsUnknown(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	top, err := dedicatedTopic(ctxOf(t), l, "x")
	if err != nil {
		t.Fatal(err)
	}
	results := make(answers, 2)
	first := &pending{line: &top.line, message: &message.Message{Topic: "x"}, done: results, order: 1}
	second := &pending{line: &top.line, message: &message.Message{Topic: "x"}, done: results, order: 2}
	top.mu.Lock()
	top.queue.inflight, top.queue.orders = 2, 2
	top.mu.Unlock()
	first.Published(0, publisher.Result{Outcome: publisher.NoStream})
	second.Published(0, publisher.Result{Outcome: publisher.Stored})
	if r := results.next(t); r.Outcome != publisher.Stored {
		t.Errorf("the second: %v", r)
	}
	if r := results.next(t); r.Outcome != publisher.Unknown {
		t.Errorf("the first: %v", r)
	}
}
