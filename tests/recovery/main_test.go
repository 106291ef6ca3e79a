// Package recovery takes from Weir what its readers stand on, by an operator's hand or by the loss of NATS, and expects that they put
// themselves right.
package recovery

import (
	"strconv"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// again is how soon readers must deliver again.
const again = 15 * time.Second

// rules let the topics s/# share a stream; the others are dedicated.
var rules = weirtest.DemoRules(`{filter: "s/#", stream: shared, name: s, backlog_messages: -1, backlog_bytes: 268435456}`)

// subject is a kind of subscription that something happens to.
type subject struct {
	name    string
	topic   string
	filters []string // all of one session
	v       codec.Version
}

var subjects = []subject{
	{"dedicated topic", "d/x", []string{"d/x"}, codec.V311},
	{"dedicated topic by wildcard", "d/x", []string{"d/#"}, codec.V5},
	{"shared topic", "s/x", []string{"s/x"}, codec.V5},
	{"shared topic by wildcard", "s/x", []string{"s/#"}, codec.V311},
	{"overlapping filters", "s/x", []string{"#", "s/+", "s/x"}, codec.V5},
}

// each runs a test with each kind of subscription, on bridge B of a new pair.
func each(t *testing.T, test func(t *testing.T, p weirtest.Pair, s subject)) {
	t.Helper()
	p := weirtest.StartPair(t, rules)
	for i, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			own := strings.NewReplacer("x", "x"+number(i)) // a topic of its own
			s.topic, s.filters = own.Replace(s.topic), strings.Fields(own.Replace(strings.Join(s.filters, " ")))
			test(t, p, s)
		})
	}
}

// deleteConsumers deletes Weir's consumers of a topic's stream.
func deleteConsumers(t *testing.T, js natsjs.JetStream, topic string) {
	t.Helper()
	stream, err := js.Stream(weirtest.Context(t), weirtest.Stream(t, js, topic).Config.Name)
	if err != nil {
		t.Fatal(err)
	}
	deleted := 0
	names := stream.ConsumerNames(weirtest.Context(t))
	for name := range names.Name() {
		if !strings.HasPrefix(name, "b_") {
			continue
		}
		if err := stream.DeleteConsumer(weirtest.Context(t), name); err != nil {
			t.Fatal(err)
		}
		deleted++
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	if deleted == 0 {
		t.Fatalf("%s has no consumer", topic)
	}
}

// deleteStream deletes the stream of a topic.
func deleteStream(t *testing.T, js natsjs.JetStream, topic string) {
	t.Helper()
	if err := js.DeleteStream(weirtest.Context(t), weirtest.Stream(t, js, topic).Config.Name); err != nil {
		t.Fatal(err)
	}
}

// counts are what a bridge has counted of its readers.
type counts struct{ resets, lost, detaches float64 }

func count(weir *weirtest.Weir) counts {
	return counts{
		resets:   weir.Metric("weir_reader_resets_total"),
		lost:     weir.Metric("weir_reader_dropped_total", `reason="message_lost"`),
		detaches: weir.Metric("weir_fanout_detaches_total"),
	}
}

// countedAsLost expects that the bridge has counted so many messages as lost since then, and said so in its log.
func countedAsLost(t *testing.T, weir *weirtest.Weir, since counts, missing int) {
	t.Helper()
	now := count(weir)
	if n := now.lost - since.lost; n != float64(missing) {
		t.Errorf("%d messages are missing, %v counted as lost", missing, n)
	}
	if said := weir.Said(); missing > 0 && !strings.Contains(said, `"lost":`) && !strings.Contains(said, `"lost_at_most":`) {
		t.Error("the log does not tell of a loss")
	}
}

func number(n int) string { return strconv.Itoa(n) }
