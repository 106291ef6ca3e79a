package shared

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

const (
	// longestRefusal is how long a topic may be full because of a subscriber of another one.
	longestRefusal = 2 * time.Second
	// passing are the topics, and perTopic the messages on each of them, that go through the stream: more than a bridge keeps in flight.
	passing, perTopic = 1_700, 10
)

// A subscriber that never acknowledges holds its own topics. A topic beside them with a backlog of ten messages, whose publisher is
// connected to the other bridge, is never full for longer than it takes to detach that subscriber: with ten messages that are left
// behind by seventeen thousand others, and with seventeen thousand that it does not take.
func TestStuckSubscriberHoldsUpNobody(t *testing.T) {
	for name, filters := range map[string]struct{ stuck, healthy string }{
		"one topic":  {"m/s/0", "m/passing/#"},
		"all topics": {"m/s/#", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := weirtest.StartPair(t, weirtest.DemoRules(
				`{filter: "m/#", stream: shared, name: m, backlog_messages: 10, backlog_bytes: 268435456}`))
			fillers := []*weirtest.Client{weirtest.Device(t, p.A, codec.V5, "filler-a"), weirtest.Device(t, p.B, codec.V311, "filler-b")}
			stuck := weirtest.Device(t, p.B, codec.V5, "stuck")
			stuck.Subscribe(filters.stuck, 1)
			held, crowd := passing, "m/s/%d"
			var healthy *load.Device
			if filters.healthy != "" {
				held = 1
				fill(t, fillers, crowd, held)
				healthy = load.Subscribe(t, p.B.MQTT(), codec.V311, "healthy", filters.healthy)
				crowd = "m/passing/%d"
			}

			beside := newBeside(t, p)
			var wg sync.WaitGroup
			filled := make(chan struct{})
			wg.Go(func() {
				defer close(filled)
				fill(t, fillers, crowd, passing)
			})
			beside.publishUntil(filled)
			beside.publish(1000)
			wg.Wait()
			beside.check()
			if healthy != nil {
				healthy.Check(t, numbers(crowd, passing))
			}
			// Ten messages are in nobody's way where the others pass within a second.
			if n := p.B.Metric("weir_fanout_detached_subscriptions"); n != 1 && (held > 1 || n > 1) {
				t.Errorf("%v subscriptions are detached", n)
			}

			// What it holds is all there, for whenever it likes to have it.
			next := map[string]int{}
			for range held * perTopic {
				m := stuck.Message()
				if n := numberOf(t, m); n != next[string(m.Topic)] {
					t.Fatalf("received %d on %s instead of %d", n, m.Topic, next[string(m.Topic)])
				}
				next[string(m.Topic)]++
			}
			weirtest.Until(t, "all is consumed", func() bool { return weirtest.Stream(t, p.JS, "m/s/0").State.Msgs == 0 })
		})
	}
}

// fill publishes perTopic numbers to that many topics, over all these connections together, and returns when all are acknowledged. The
// topics take no more. It may run beside the test's own goroutine.
func fill(t *testing.T, conns []*weirtest.Client, format string, topics int) {
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			var messages []*codec.Publish
			for topic := i; topic < topics; topic += len(conns) {
				for n := range perTopic {
					messages = append(messages, &codec.Publish{Topic: fmt.Appendf(nil, format, topic), Payload: []byte(number(n))})
				}
			}
			if err := conn.PublishAll(messages); err != nil {
				t.Errorf("filler %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// numbers are what fill has published, by topic.
func numbers(format string, topics int) map[string][]int64 {
	all := make(map[string][]int64, topics)
	for i := range topics {
		for n := range int64(perTopic) {
			topic := fmt.Sprintf(format, i)
			all[topic] = append(all[topic], n)
		}
	}
	return all
}

// beside are publishers, one with each version of the protocol, of topics beside those that are held.
type beside struct {
	t          *testing.T
	publishers []*weirtest.Publisher
	devices    []*load.Device
	topics     []string
	taken      [][]int64
	refused    []time.Time // since when; zero: it is not
	refusals   int
	longest    time.Duration
}

func newBeside(t *testing.T, p weirtest.Pair) *beside {
	t.Helper()
	b := &beside{t: t}
	for _, v := range []codec.Version{codec.V311, codec.V5} {
		topic := "m/beside/" + v.String()
		b.topics = append(b.topics, topic)
		b.devices = append(b.devices, load.Subscribe(t, p.B.MQTT(), v, "subscriber beside with "+v.String(), topic))
		b.publishers = append(b.publishers, weirtest.NewPublisher(t, p.A, v, topic))
	}
	b.taken, b.refused = make([][]int64, len(b.topics)), make([]time.Time, len(b.topics))
	return b
}

// publishUntil publishes one message after the other until the channel is closed.
func (b *beside) publishUntil(stop <-chan struct{}) {
	b.t.Helper()
	for {
		select {
		case <-stop:
			return
		default:
			b.step()
		}
	}
}

// publish publishes that many messages with each version.
func (b *beside) publish(count int) {
	b.t.Helper()
	for before := len(b.taken[0]); len(b.taken[0]) < before+count; {
		b.step()
	}
}

func (b *beside) step() {
	b.t.Helper()
	for i, p := range b.publishers {
		n := int64(len(b.taken[i]))
		if taken, _ := p.Publish(number(int(n))); !taken {
			if b.refusals++; b.refused[i].IsZero() {
				b.refused[i] = time.Now()
			}
			if since := time.Since(b.refused[i]); since > longestRefusal {
				b.t.Fatalf("%s has refused for %s", b.topics[i], since)
			}
			continue
		}
		if !b.refused[i].IsZero() {
			b.longest = max(b.longest, time.Since(b.refused[i]))
		}
		b.taken[i], b.refused[i] = append(b.taken[i], n), time.Time{}
	}
}

// check expects that what was taken has arrived.
func (b *beside) check() {
	b.t.Helper()
	b.t.Logf("%d messages of each, %d refusals, for %s at most", len(b.taken[0]), b.refusals, b.longest)
	if b.longest > longestRefusal {
		b.t.Errorf("a topic has refused for %s", b.longest)
	}
	for i, topic := range b.topics {
		b.devices[i].Check(b.t, map[string][]int64{topic: b.taken[i]})
	}
}
