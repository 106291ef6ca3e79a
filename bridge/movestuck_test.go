package bridge

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/codec"
	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/tenant"
)

// homes are rules that topics below a move between. None of them has the topics under a transient one: what is published while others do not
// take it would not wait.
var homes = map[string]tenant.Rules{
	"dedicated": {{Filter: "b/#", Stream: tenant.StreamDedicated}},
	"one":       {{Filter: "a/#", Stream: tenant.StreamShared, Name: "one"}},
	"other":     {{Filter: "a/#", Stream: tenant.StreamShared, Name: "other"}},
	"third":     {{Filter: "a/#", Stream: tenant.StreamShared, Name: "third"}},
	"narrow":    {{Filter: "a/1", Stream: tenant.StreamShared, Name: "one"}},
	"both": {
		{Filter: "a/1", Stream: tenant.StreamShared, Name: "one"},
		{Filter: "a/+/deep", Stream: tenant.StreamShared, Name: "other"},
	},
	"swapped": {
		{Filter: "a/1", Stream: tenant.StreamShared, Name: "other"},
		{Filter: "a/+/deep", Stream: tenant.StreamShared, Name: "one"},
	},
}

// mover moves the topics of bridges on one nats-server.
type mover struct {
	t        *testing.T
	rigs     []*rig
	settled  *nats.Subscription
	at       string // the rules in force, by their name in homes
	revision uint64
}

func newMover(t *testing.T, rigs ...*rig) *mover {
	t.Helper()
	settled, err := rigs[0].native().SubscribeSync("mqtt-sys.acme.register.rules")
	if err == nil {
		err = rigs[0].native().Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &mover{t: t, rigs: rigs, settled: settled, at: "dedicated", revision: 1}
}

// to puts rules in force, and returns when the topics have moved.
func (m *mover) to(home string) {
	m.t.Helper()
	if home == m.at {
		return
	}
	m.at = home
	m.revision++
	for _, r := range m.rigs {
		r.store.SetLimits("acme", m.revision, (&tenant.Quotas{}).Resolve(), homes[home].Resolve(tenant.Quotas{}))
	}
	for {
		msg, err := m.settled.NextMsg(patience)
		if err != nil {
			m.t.Fatalf("the topics do not move to %s: %v", home, err)
		}
		var record struct {
			Revision uint64
			Phase    string
		}
		if err := json.Unmarshal(msg.Data, &record); err != nil {
			m.t.Fatal(err)
		}
		if record.Revision == m.revision && record.Phase == "settled" {
			return
		}
	}
}

// stuckClient takes nothing but what it is made to, and has little room for what it does not acknowledge.
type stuckClient struct {
	*client
	name    string
	filters []string
	want    order
}

func newStuckClient(r *rig, name string, filters ...string) *stuckClient {
	r.t.Helper()
	few := func(p *codec.Connect) { p.Properties.ReceiveMaximum = 3 }
	s := &stuckClient{
		client: r.connect(codec.V5, name, few), name: fmt.Sprint(name, filters), filters: filters,
		want: order{topics: map[string]int{}},
	}
	for _, f := range filters {
		s.mustSubscribe(f, 1)
	}
	return s
}

// take has the client receive so many messages.
func (s *stuckClient) take(t *testing.T, count int) {
	t.Helper()
	s.want.left += count
	for range count {
		s.want.take(t, s.name, s.receive())
	}
}

// due is how many messages the client has yet to get, of as many as were published to each topic.
func (s *stuckClient) due(published map[string]int) (count int) {
	for topic, n := range published {
		if slices.ContainsFunc(s.filters, func(f string) bool { return topicfilter.Match(f, topic) }) {
			count += n - s.want.topics[topic]
		}
	}
	return count
}

// TestTopicsMoveAgainUnderStuckSubscribers moves topics through several places that still have messages for clients which do not acknowledge, to
// some of them more than once, and with places in between where nothing was published.
func TestTopicsMoveAgainUnderStuckSubscribers(t *testing.T) {
	for _, path := range []string{
		"dedicated 10 one 10 dedicated 10 one 10 dedicated 10",
		"dedicated 10 one 10 other 10 dedicated 10 one 10 dedicated 10",
		"dedicated 10 one 10 other 10 dedicated 0 one 10",
		"dedicated 10 one 10 other 0 dedicated 10",
		"one 10 other 10 third 0 one 10",
		"one 10 other 0 third 0 dedicated 10 other 0 one 10",
	} {
		t.Run(path, func(t *testing.T) {
			r := newBridge(t, serverProcess(natsprocess.New(t)), tenant.Quotas{}, nil)
			m, pub := newMover(t, r), r.connect(codec.V5, "pub")
			clients := []*stuckClient{
				newStuckClient(r, "exact", "a/1"), newStuckClient(r, "wild", "a/#"), newStuckClient(r, "several", "#", "a/+", "a/1"),
			}
			published := map[string]int{}
			steps := strings.Fields(path)
			for i := 0; i < len(steps); i += 2 {
				m.to(steps[i])
				count, err := strconv.Atoi(steps[i+1])
				if err != nil {
					t.Fatal(err)
				}
				for range count {
					pub.mustPublish("a/1", 1, strconv.Itoa(published["a/1"]))
					published["a/1"]++
				}
			}
			for _, s := range clients {
				s.take(t, s.due(published))
				s.ping()
			}
			awaitNoFormerTopics(t, r)
		})
	}
}

// TestTopicsMoveAtRandom moves topics of two bridges from one place to any other, while clients take some messages now and then.
func TestTopicsMoveAtRandom(t *testing.T) {
	const moves = 30
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	one := newBridge(t, serverProcess(natsprocess.New(t)), tenant.Quotas{}, nil)
	rigs := []*rig{one, newBridge(t, one.nats, tenant.Quotas{}, nil)}
	m := newMover(t, rigs...)
	var clients []*stuckClient
	for i, r := range rigs {
		for n, filters := range [][]string{{"a/#"}, {"a/1"}, {"a/+", "a/1/deep", "a/2"}, {"#", "a/1/#", "a/1", "a/2"}} {
			clients = append(clients, newStuckClient(r, fmt.Sprint("sub ", i, " ", n), filters...))
		}
	}
	publishers := []*client{one.connect(codec.V5, "pub 0"), rigs[1].connect(codec.V5, "pub 1")}
	topics, published := []string{"a/1", "a/2", "a/1/deep"}, map[string]int{}
	names := slices.Sorted(maps.Keys(homes))
	for range moves {
		m.to(names[random.IntN(len(names))])
		for range random.IntN(40) {
			topic := topics[random.IntN(len(topics))]
			publishers[random.IntN(2)].mustPublish(topic, 1, strconv.Itoa(published[topic]))
			published[topic]++
		}
		for _, s := range clients {
			if due := s.due(published); random.IntN(4) == 0 {
				s.take(t, random.IntN(due+1))
			}
		}
	}
	for _, s := range clients {
		s.take(t, s.due(published))
		s.ping()
	}
	awaitNoFormerTopics(t, one)
}
