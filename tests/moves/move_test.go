package moves

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// home is where a rule lets the topics m/# be.
type home struct {
	rule   string
	stream string // begin of the name of a topic's stream; empty: it has none
}

var (
	dedicated = home{`{filter: "m/#", stream: dedicated, backlog_bytes: 67108864}`, "MQTT_demo_t_"}
	one       = home{`{filter: "m/#", stream: shared, name: one, backlog_messages: -1, backlog_bytes: 134217728}`, "MQTT_demo_s_one"}
	other     = home{`{filter: "m/#", stream: shared, name: other, backlog_messages: -1, backlog_bytes: 134217728}`, "MQTT_demo_s_other"}
	nowhere   = home{`{filter: "m/#", stream: transient}`, ""}
)

// streamOf is the name of the stream that stores a topic's messages now; empty: there is none.
func streamOf(t *testing.T, js natsjs.JetStream, topic string) string {
	t.Helper()
	name, err := js.StreamNameBySubject(weirtest.Context(t), message.Subject("demo", topic))
	if err != nil && !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Fatalf("the stream of %s: %v", topic, err)
	}
	return name
}

// lies reports whether all topics are there.
func (h home) lies(t *testing.T, js natsjs.JetStream, topics []string) bool {
	t.Helper()
	for _, topic := range topics {
		if name := streamOf(t, js, topic); (name == "") != (h.stream == "") || !strings.HasPrefix(name, h.stream) {
			return false
		}
	}
	return true
}

// movingLoad publishes to topics below m on both bridges, with both versions of the protocol.
func movingLoad(p weirtest.Pair) []*load.Publisher {
	const patience = 15 * time.Second // longer than anything may take
	a, b := p.A.MQTT(), p.B.MQTT()
	return []*load.Publisher{
		{Addresses: []string{a, b}, Version: codec.V311, ClientID: "a-one", Topics: []string{"m/a/0"}, Patience: patience},
		{Addresses: []string{a, b}, Version: codec.V5, ClientID: "a-three", Topics: []string{"m/a/1", "m/a/2", "m/a/3"}, Patience: patience},
		{Addresses: []string{b, a}, Version: codec.V5, ClientID: "b-one", Topics: []string{"m/b/0"}, Patience: patience},
		{Addresses: []string{b, a}, Version: codec.V311, ClientID: "b-three", Topics: []string{"m/b/1", "m/b/2", "m"}, Patience: patience},
	}
}

func movingSubscribers(t *testing.T, weir *weirtest.Weir, name string) []*load.Device {
	t.Helper()
	return []*load.Device{
		load.Subscribe(t, weir.MQTT(), codec.V5, "subscriber to all on "+name, "#"),
		load.Subscribe(t, weir.MQTT(), codec.V311, "subscriber to filters on "+name, "m/+/+", "m", "m/a/#"),
		load.Subscribe(t, weir.MQTT(), codec.V5, "subscriber to topics on "+name,
			"m/a/0", "m/a/1", "m/a/2", "m/a/3", "m/b/0", "m/b/1", "m/b/2", "m"),
	}
}

// Topics move from streams of their own to a shared one, to another, to none and back, while they are published to on both bridges:
// subscribers that stay connected get every message that is acknowledged, in the order of each topic.
func TestTopicsMoveUnderLoad(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoRules(dedicated.rule))
	publishers := movingLoad(p)
	devices := append(movingSubscribers(t, p.A, "a"), movingSubscribers(t, p.B, "b")...)
	work := load.Start(t, publishers...)
	for _, to := range []home{dedicated, one, other, nowhere, dedicated, nowhere, one, dedicated, other, one} {
		p.A.SetTenants(weirtest.DemoRules(to.rule))
		changed := time.Now()
		weirtest.Until(t, "all topics have moved: "+to.rule, func() bool { return to.lies(t, p.JS, load.Topics(publishers)) })
		t.Logf("moved after %s: %s", time.Since(changed), to.rule)
		work.AwaitEach(300)
	}
	acknowledged := work.Finish()
	for _, d := range devices {
		d.Check(t, acknowledged)
	}
	weirtest.Until(t, "nothing is left to deliver", func() bool { return stored(t, p.JS) == 0 })
}

// stored is how many messages all streams of the demo tenant's topics hold.
func stored(t *testing.T, js natsjs.JetStream) (messages uint64) {
	t.Helper()
	streams := js.ListStreams(weirtest.Context(t))
	for info := range streams.Info() {
		if name := info.Config.Name; strings.HasPrefix(name, dedicated.stream) || strings.HasPrefix(name, "MQTT_demo_s_") {
			messages += info.State.Msgs
		}
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return messages
}

// What is stored when a topic moves is delivered before what comes later, however late that is, to whom it is for: a subscriber that does not
// acknowledge, and a native service on the stream that it knows.
func TestStoredMessagesOfTopicsThatMove(t *testing.T) {
	for name, homes := range map[string][]home{
		"there and back again": {dedicated, one, dedicated, one, dedicated},
		"round trips":          {dedicated, one, other, dedicated, one, dedicated},
		"shared only":          {one, other, one, other},
	} {
		t.Run(name, func(t *testing.T) { moveStored(t, homes) })
	}
}

func moveStored(t *testing.T, homes []home) {
	const count = 50
	p := weirtest.StartPair(t, weirtest.DemoRules(homes[0].rule))
	nc := weirtest.Connect(t, p.NATS.URL())
	each(t, func(t *testing.T, v codec.Version, level string) {
		topic := "m/" + level
		subscribers := map[string]*weirtest.Client{}
		for _, filter := range []string{topic, "m/#"} {
			for name, weir := range map[string]*weirtest.Weir{"a": p.A, "b": p.B} {
				subscriber := weirtest.Device(t, weir, v, "subscriber to "+filter+" on "+name)
				subscriber.Subscribe(filter, 1)
				subscribers[filter+" on "+name] = subscriber
			}
		}
		services := map[int]natsjs.Consumer{} // by the first message that is for it
		stored := 0
		for i, to := range homes {
			p.A.SetTenants(weirtest.DemoRules(to.rule))
			publisher := weirtest.NewPublisher(t, []*weirtest.Weir{p.A, p.B}[i%2], v, topic)
			weirtest.Until(t, "the topic has moved: "+to.rule, func() bool {
				publisher.MustPublish(stored, stored+1)
				stored++
				return to.lies(t, p.JS, []string{topic})
			})
			if i < 3 {
				services[stored] = weirtest.Durable(t, nc, "demo", topic, "service-"+level+"-"+number(i))
			}
			publisher.MustPublish(stored, stored+count)
			stored += count
		}
		for name, s := range subscribers {
			received, wrong := make(map[string]bool, stored), ""
			for next := 0; !received[number(stored-1)]; next++ {
				m := s.Message()
				if received[string(m.Payload)] = true; wrong == "" && string(m.Payload) != number(next) {
					wrong = string(m.Payload) + " instead of " + number(next)
				}
			}
			if wrong != "" {
				t.Errorf("subscriber to %s received %s", name, wrong)
			}
			if len(received) != stored {
				t.Errorf("subscriber to %s has got the last one, and %d of %d messages", name, len(received), stored)
			}
			s.Send(&codec.Disconnect{})
			s.ExpectClosed()
		}
		for first, service := range services {
			weirtest.TakeAll(t, service, first, first+count)
		}
	})
}

// The bridge that moves topics is killed while it does. Another, or itself when it is back, completes the move, and who subscribes on the
// bridge that lives misses nothing.
func TestBridgeIsKilledWhileTopicsMove(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoRules(dedicated.rule))
	publishers := movingLoad(p)
	devices := movingSubscribers(t, p.B, "b")
	killWhileMoving(t, p, publishers, devices, []home{one, dedicated, other, one}, func() {
		p.A.Kill()
		p.A.Restart()
	})
}

// killWhileMoving moves all topics from home to home under load, with something killed at a moment within each move, or after it. The
// devices get everything.
func killWhileMoving(t *testing.T, p weirtest.Pair, publishers []*load.Publisher, devices []*load.Device, homes []home, kill func()) {
	t.Helper()
	work := load.Start(t, publishers...)
	for _, to := range homes {
		work.AwaitEach(1 + rand.Int64N(100))
		p.A.SetTenants(weirtest.DemoRules(to.rule))
		work.Await(rand.Int64N(200))
		kill()
		weirtest.Until(t, "all topics have moved: "+to.rule, func() bool { return to.lies(t, p.JS, load.Topics(publishers)) })
	}
	work.AwaitEach(100)
	acknowledged := work.Finish()
	for _, d := range devices {
		d.Check(t, acknowledged)
	}
}

// nats-server is killed while topics move, and comes back. The move goes on from where it was, and nothing that was acknowledged is missing.
func TestNATSIsKilledWhileTopicsMove(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoRules(dedicated.rule))
	publishers := movingLoad(p)
	devices := append(movingSubscribers(t, p.A, "a"), movingSubscribers(t, p.B, "b")...)
	killWhileMoving(t, p, publishers, devices, []home{one, dedicated, other}, func() {
		p.NATS.Kill()
		p.NATS.Restart()
	})
}
