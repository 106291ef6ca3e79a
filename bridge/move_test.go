package bridge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/tenant"
)

// movingRules are what the tests move topics to and fro with.
var movingRules = []tenant.Rules{
	{{Filter: "a/#", Stream: tenant.StreamShared, Name: "one"}},
	{{Filter: "b/#", Stream: tenant.StreamDedicated}},
	{{Filter: "a/#", Stream: tenant.StreamShared, Name: "one"}},
	{{Filter: "a/#", Stream: tenant.StreamShared, Name: "two"}},
	{{Filter: "a/+", Stream: tenant.StreamShared, Name: "two"}},
	{{Filter: "a/+", Stream: tenant.StreamShared, Name: "one"}, {Filter: "a/+/deep", Stream: tenant.StreamShared, Name: "two"}},
	{{Filter: "a/+", Stream: tenant.StreamShared, Name: "two"}, {Filter: "a/+/deep", Stream: tenant.StreamShared, Name: "one"}},
	{{Filter: "a/#", Stream: tenant.StreamTransient}},
	{
		{Filter: "a/1/#", Stream: tenant.StreamDedicated},
		{Filter: "a/2/#", Stream: tenant.StreamTransient},
		{Filter: "a/3/#", Stream: tenant.StreamShared, Name: "two"},
	},
	{{Filter: "b/#", Stream: tenant.StreamDedicated}},
	{{Filter: "a/#", Stream: tenant.StreamTransient}},
	{{Filter: "a/+", Stream: tenant.StreamShared, Name: "one"}},
}

// order is what one subscriber wants to see: of each topic every number once, in order.
type order struct {
	topics map[string]int // the next number
	left   int
}

func (o *order) take(t *testing.T, who string, p *codec.Publish) {
	n, err := strconv.Atoi(string(p.Payload))
	if err != nil {
		t.Error(err)
	}
	if want := o.topics[string(p.Topic)]; n != want {
		t.Errorf("%s: %s has %d after %d", who, p.Topic, n, want-1)
	}
	o.topics[string(p.Topic)] = n + 1
	o.left--
}

// TestTopicsMove changes the rules while topics are published to and subscribed to on two bridges: every message comes, once, in order.
func TestTopicsMove(t *testing.T) {
	const rounds, each = 24, 30
	topics := []string{"a/1", "a/2", "a/1/deep", "a/2/deep", "a/3/deep"}
	one := newBridge(t, serverProcess(natsprocess.New(t)), tenant.Quotas{}, nil)
	two := newBridge(t, one.nats, tenant.Quotas{}, nil)
	rigs := []*rig{one, two}
	var publishers, subscribers sync.WaitGroup
	for i, filters := range [][]string{{"a/#"}, {"a/+", "a/+/deep"}, {"a/1", "a/2/#", "a/1/deep", "a/3/deep"}, {"#", "a/1"}} {
		c := rigs[i%2].connect(codec.V5, fmt.Sprintf("sub %d", i))
		for _, f := range filters {
			c.mustSubscribe(f, 1)
		}
		subscribers.Go(func() {
			o := order{topics: map[string]int{}, left: len(topics) * rounds * each}
			for o.left > 0 {
				o.take(t, fmt.Sprint(filters), c.receive())
			}
		})
	}
	var published atomic.Int64
	changes := make(chan struct{}, rounds)
	for i, topic := range topics {
		c := rigs[i%2].connect(codec.V5, "pub "+topic)
		publishers.Go(func() {
			for n := range rounds * each {
				c.mustPublish(topic, uint16(n%1000+1), strconv.Itoa(n))
				if published.Add(1)%int64(each*len(topics)) == 0 {
					changes <- struct{}{}
				}
			}
		})
	}
	for round := range rounds {
		select {
		case <-changes:
		case <-time.After(patience):
			t.Fatal("nothing is published any more")
		}
		rules := movingRules[round%len(movingRules)].Resolve(tenant.Quotas{})
		for _, r := range rigs {
			r.store.SetLimits("acme", uint64(round+2), (&tenant.Quotas{}).Resolve(), rules)
		}
	}
	publishers.Wait()
	subscribers.Wait()
	awaitNoFormerTopics(t, one)
}

// awaitNoFormerTopics waits until the streams are gone that dedicated topics have moved away from.
func awaitNoFormerTopics(t *testing.T, r *rig) {
	t.Helper()
	nc := r.native()
	deleted, err := nc.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.DELETED.>")
	if err != nil {
		t.Fatal(err)
	}
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var left []string
		streams := js.ListStreams(r.context(), natsjs.WithStreamListSubject("weir.drain.*"))
		for info := range streams.Info() {
			if strings.HasPrefix(info.Config.Name, "MQTT_acme_t_") {
				left = append(left, fmt.Sprintf("%s: %d messages, %d consumers", info.Config.Name, info.State.Msgs, info.State.Consumers))
			}
		}
		if err := streams.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if _, err := deleted.NextMsg(patience); err != nil {
			t.Fatalf("%v: %d streams of former rules are left: %.500q", err, len(left), left)
		}
	}
}

// TestTopicMovesUnderStuckSubscriber moves a topic to a shared stream and back, into a stream of its next generation, while a client does not
// acknowledge: others are not kept waiting, and it gets everything in order in the end.
func TestTopicMovesUnderStuckSubscriber(t *testing.T) {
	const each = 400
	r := newBridge(t, serverProcess(natsprocess.New(t)), tenant.Quotas{}, nil)
	stuck, other, pub := r.connect(codec.V5, "stuck"), r.connect(codec.V5, "other"), r.connect(codec.V5, "pub")
	stuck.mustSubscribe("a/1", 1)
	other.mustSubscribe("a/#", 1)
	wants := order{topics: map[string]int{}}
	for round := range 4 {
		if round > 0 {
			rules := movingRules[(round+1)%2].Resolve(tenant.Quotas{})
			r.store.SetLimits("acme", uint64(round+1), (&tenant.Quotas{}).Resolve(), rules)
		}
		for n := range each {
			pub.mustPublish("a/1", uint16(n+1), strconv.Itoa(round*each+n))
			wants.take(t, "other", other.receive())
		}
	}
	late := order{topics: map[string]int{}}
	for range 4 * each {
		late.take(t, "stuck", stuck.receive())
	}
	awaitNoFormerTopics(t, r)
}
