package jetstream

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// Topics move while one service publishes to them and another consumes: what it gets of each topic is complete and in order. The rules keep
// what is stored, so that nothing is lost before the service finds a new stream.
func TestServiceFollowsMovesUnderLoad(t *testing.T) {
	stores, logs := twoForMoves(t, nil)
	js := dialService(t, logs[0])
	rulesOf := func(name string) (rules []tenant.Rule) {
		for _, rule := range slices.Concat(movingRules[name], []tenant.Rule{{Filter: "#", Stream: tenant.StreamDedicated}}) {
			rule.Keep, rule.BacklogMessages, rule.BacklogBytes = tenant.KeepUntilExpired, tenant.Unlimited, 16<<20
			rules = append(rules, rule)
		}
		return rules
	}
	apply := func(name string) {
		for _, s := range stores {
			setQuotas(s, func(*tenant.Quotas) {}, rulesOf(name)...)
		}
	}
	apply("dedicated")
	c := subscribe(t, js, "a/#", "mapper")
	for _, topic := range movingTopics {
		send(t, js, topic, "begin")
	}
	for range movingTopics {
		c.take(ack)
	}
	publishing, stop := context.WithCancel(t.Context())
	var sent int
	stopped := make(chan struct{})
	t.Cleanup(func() { <-stopped }) // t.Context ends before
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			sent = n
			select {
			case <-publishing.Done():
				return
			case <-time.After(5 * time.Millisecond): // the service is to keep up
			}
			for _, topic := range movingTopics {
				if _, err := message.Publish(context.Background(), js, "acme", message.New(topic, []byte(strconv.Itoa(n)))); err != nil {
					t.Errorf("publish %d to %s: %v", n, topic, err)
					return
				}
			}
		}
	}()
	next, from := map[string]int{}, map[string]string{}
	consume := func() {
		d := c.take(ack)
		n, err := strconv.Atoi(string(d.Payload))
		if err != nil {
			t.Fatal(err)
		}
		from[d.Topic] = d.Stream
		switch want := next[d.Topic]; {
		case n == want:
			next[d.Topic]++
		case n > want || d.Delivered == 1: // again is allowed, after a fault
			t.Fatalf("%s: %d from %s instead of %d", d.Topic, n, d.Stream, want)
		}
	}
	// arrived tells whether every topic comes from where it is now.
	arrived := func() bool {
		for _, topic := range movingTopics {
			if from[topic] != streamName(logs[0], topic) {
				return false
			}
		}
		return true
	}
	for _, name := range []string{"shared", "dedicated", "renamed", "narrower", "two", "swapped", "two"} {
		apply(name)
		for !arrived() {
			consume()
		}
		t.Log(name)
		if name == "swapped" { // the next process knows nothing of what was before
			c.end()
			c = subscribe(t, js, "a/#", "mapper")
		}
	}
	stop()
	<-stopped
	for _, topic := range movingTopics {
		for next[topic] < sent {
			consume()
		}
	}
	t.Logf("%d messages of each topic", sent)
	c.end()
	if err := message.Unsubscribe(ctxOf(t), js, "acme", "mapper"); err != nil {
		t.Error(err)
	}
}
