// Package load publishes and receives through whatever happens to Weir and to NATS, and tells afterwards which acknowledged
// messages are missing and which came out of order.
package load

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// maxLoad is how long publishers may take for all that they publish.
const maxLoad = 8 * time.Minute

// Load is several publishers at work.
type Load struct {
	t          testing.TB
	publishers []*Publisher
	cancel     context.CancelFunc
	stop       chan struct{}
	wg         sync.WaitGroup
	mu         sync.Mutex
	failures   []error
}

// Publishers are three with a topic each, one/0 to one/2, one that turns over three topics, three/0 to three/2, and one that
// leaves it to the server to end a connection that does not answer, on the topic patient. They begin at different ones of the addresses
// and go to the next one whenever a connection is lost.
func Publishers(addresses ...string) []*Publisher {
	versions := []codec.Version{codec.V31, codec.V311, codec.V5}
	var ps []*Publisher
	for i, v := range versions {
		ps = append(ps, &Publisher{
			Version: v, ClientID: fmt.Sprintf("publisher-%d", i), Topics: []string{fmt.Sprintf("one/%d", i)}, Patience: 2 * time.Second,
		})
	}
	ps = append(ps,
		&Publisher{
			Version: codec.V5, ClientID: "publisher-of-three", Topics: []string{"three/0", "three/1", "three/2"}, Patience: 2 * time.Second,
		},
		&Publisher{Version: codec.V5, ClientID: "patient-publisher", Topics: []string{"patient"}, Patience: weirtest.Patience})
	for i, p := range ps {
		first := i % len(addresses)
		p.Addresses = append(append(p.Addresses, addresses[first:]...), addresses[:first]...)
	}
	return ps
}

// Start lets the publishers publish until Finish, or the end of the test.
func Start(t testing.TB, publishers ...*Publisher) *Load {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), maxLoad)
	l := &Load{t: t, publishers: publishers, cancel: cancel, stop: make(chan struct{})}
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
func (l *Load) acked() (n int64) {
	for _, p := range l.publishers {
		n += p.acked.Load()
	}
	return n
}

// Await waits until so many more messages are acknowledged.
func (l *Load) Await(more int64) {
	l.t.Helper()
	target := l.acked() + more
	weirtest.Until(l.t, fmt.Sprintf("%d more acknowledged", more), func() bool { return l.acked() >= target })
}

// AwaitEach waits until each of the publishers has so many more messages acknowledged.
func (l *Load) AwaitEach(more int64) {
	l.t.Helper()
	targets := make([]int64, len(l.publishers))
	for i, p := range l.publishers {
		targets[i] = p.acked.Load() + more
	}
	for i, p := range l.publishers {
		weirtest.Until(l.t, fmt.Sprintf("%d more of %s acknowledged", more, p.ClientID), func() bool { return p.acked.Load() >= targets[i] })
	}
}

// Finish stops the publishers when what they have sent is acknowledged, and returns the topics of all of them, with the numbers
// that were published on each up to the last that was acknowledged.
func (l *Load) Finish() map[string][]int64 {
	l.t.Helper()
	close(l.stop)
	l.wg.Wait()
	l.cancel()
	for _, err := range l.failures {
		l.t.Error(err)
	}
	all := map[string][]int64{}
	for _, p := range l.publishers {
		for _, err := range p.wrong {
			l.t.Error(err)
		}
		l.t.Logf("%s: %d acknowledged, %d connections lost", p.ClientID, p.acked.Load(), p.losses)
		for n := range p.acked.Load() {
			topic := p.topic(n)
			all[topic] = append(all[topic], n)
		}
	}
	return all
}

// Topics are those of all publishers.
func Topics(publishers []*Publisher) (topics []string) {
	for _, p := range publishers {
		topics = append(topics, p.Topics...)
	}
	return topics
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
