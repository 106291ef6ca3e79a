// Package durability kills what can be killed and looks for acknowledged messages that are gone.
package durability

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// maxLoad is how long publishers may take for all that they publish.
const maxLoad = 8 * time.Minute

// load is several publishers at work.
type load struct {
	t          *testing.T
	publishers []*publisher
	cancel     context.CancelFunc
	stop       chan struct{}
	wg         sync.WaitGroup
	mu         sync.Mutex
	failures   []error
}

// newPublishers are three with a topic each, one that turns over three topics, and one that leaves it to the server to end
// a connection that does not answer.
func newPublishers(address string) []*publisher {
	versions := []codec.Version{codec.V31, codec.V311, codec.V5}
	var ps []*publisher
	for i, v := range versions {
		ps = append(ps, &publisher{
			address: address, version: v, clientID: fmt.Sprintf("publisher-%d", i), topics: []string{fmt.Sprintf("one/%d", i)},
			patience: 2 * time.Second,
		})
	}
	ps = append(ps, &publisher{
		address: address, version: codec.V5, clientID: "publisher-of-three", topics: []string{"three/0", "three/1", "three/2"},
		patience: 2 * time.Second,
	})
	return append(ps, &publisher{
		address: address, version: codec.V5, clientID: "patient-publisher", topics: []string{"patient"}, patience: weirtest.Patience,
	})
}

func startLoad(t *testing.T, publishers []*publisher) *load {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), maxLoad)
	l := &load{t: t, publishers: publishers, cancel: cancel, stop: make(chan struct{})}
	for _, p := range publishers {
		l.wg.Go(func() {
			if err := p.run(ctx, l.stop); err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.failures = append(l.failures, err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		l.wg.Wait()
	})
	return l
}

// acked is how many messages all publishers together have acknowledged.
func (l *load) acked() (n int64) {
	for _, p := range l.publishers {
		n += p.acked.Load()
	}
	return n
}

// await waits until so many more messages are acknowledged.
func (l *load) await(more int64) {
	l.t.Helper()
	target := l.acked() + more
	weirtest.Until(l.t, fmt.Sprintf("%d more acknowledged", more), func() bool { return l.acked() >= target })
}

// finish stops the publishers when what they have sent is acknowledged.
func (l *load) finish() {
	l.t.Helper()
	close(l.stop)
	l.wg.Wait()
	l.cancel()
	for _, err := range l.failures {
		l.t.Error(err)
	}
	for _, p := range l.publishers {
		for _, err := range p.wrong {
			l.t.Error(err)
		}
		l.t.Logf("%s: %d acknowledged, %d connections lost", p.clientID, p.acked.Load(), p.losses)
	}
}

// topics are those of all publishers, with the numbers that were published on each of them up to the last that was acknowledged.
func (l *load) topics() map[string][]int64 {
	all := map[string][]int64{}
	for _, p := range l.publishers {
		for n := range p.acked.Load() {
			topic := p.topic(n)
			all[topic] = append(all[topic], n)
		}
	}
	return all
}

// names are the topics of all publishers.
func names(publishers []*publisher) (topics []string) {
	for _, p := range publishers {
		topics = append(topics, p.topics...)
	}
	return topics
}

// received is what one receiver got of one topic.
type received struct {
	who string

	mu   sync.Mutex
	seen map[int64]bool
	list []int64 // in the order of first occurrences
	all  int
}

func newReceived(who string) *received { return &received{who: who, seen: map[int64]bool{}} }

func (r *received) add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all++
	if !r.seen[n] {
		r.seen[n] = true
		r.list = append(r.list, n)
	}
}

// check compares what has come with the numbers that were acknowledged.
func (r *received) check(t *testing.T, topic string, want []int64) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: nothing was acknowledged on %s", r.who, topic)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var lost []int64
	for _, n := range want {
		if !r.seen[n] {
			lost = append(lost, n)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%s: %d of %d acknowledged messages on %s are lost: %v", r.who, len(lost), len(want), topic, lost[:min(len(lost), 50)])
	}
	for i := 1; i < len(r.list); i++ {
		if r.list[i] < r.list[i-1] {
			t.Errorf("%s: on %s %d came after %d", r.who, topic, r.list[i], r.list[i-1])
			break
		}
	}
	t.Logf("%s: %s: %d different messages of %d in all", r.who, topic, len(r.list), r.all)
}

// await waits until all numbers have come, or for Patience.
func (r *received) await(want []int64) {
	timer, ticker := time.NewTimer(weirtest.Patience), time.NewTicker(20*time.Millisecond)
	defer timer.Stop()
	defer ticker.Stop()
	for !r.complete(want) {
		select {
		case <-ticker.C:
		case <-timer.C:
			return
		}
	}
}

func (r *received) complete(want []int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(want) - 1; i >= 0; i-- {
		if !r.seen[want[i]] {
			return false
		}
	}
	return true
}
