package shared

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// limit is the backlog of each topic of the families, in messages.
const limit = 5

// families are the four kinds of backlog that a shared rule can be, one rule each.
func families(ttl string) string {
	var rules []string
	for name, words := range map[string]string{
		"work": "when_full: reject, keep: until_consumed",
		"ring": "when_full: discard_oldest, keep: until_consumed",
		"log":  "when_full: reject, keep: until_expired",
		"last": "when_full: discard_oldest, keep: until_expired",
	} {
		rules = append(rules, `{filter: "`+name+`/#", stream: shared, name: `+name+`, backlog_messages: 5, `+words+`, ttl: `+ttl+`}`)
	}
	return weirtest.DemoRules(rules...)
}

// family is one test of a family: two bridges, and two topics of one rule.
type family struct {
	weirtest.Pair
	nc           *nats.Conn
	v            codec.Version
	topic, other string
}

// A work backlog, a ring, a log and a log of the last messages, each with all its topics in one stream: a topic is full at exactly
// its own limit, whichever bridge its publisher is connected to, while another topic of the rule goes on.
func TestTopicFamilies(t *testing.T) {
	p := weirtest.StartPair(t, families("1h"))
	nc := weirtest.Connect(t, p.NATS.URL())
	var full, held []string // topics that are full, and refuse; topics that hold messages, and take more
	each(t, func(t *testing.T, v codec.Version, level string) {
		for name, test := range map[string]func(family, *testing.T){
			"work": family.work, "ring": family.ring, "log": family.log, "last": family.last,
		} {
			topic := name + "/" + level
			t.Run(name, func(t *testing.T) { test(family{p, nc, v, topic, topic + "/other"}, t) })
			if name == "work" || name == "log" {
				full = append(full, topic)
			} else {
				held = append(held, topic)
			}
		}
	})
	if t.Failed() {
		return
	}
	// Now everything is too old.
	p.A.SetTenants(families("1s"))
	for _, topic := range full {
		publisher := weirtest.NewPublisher(t, p.A, codec.V5, topic)
		weirtest.Until(t, topic+" has room", func() bool { taken, _ := publisher.Publish("new"); return taken })
	}
	for _, topic := range held {
		weirtest.Until(t, topic+" is empty", func() bool { return weirtest.Stored(t, p.JS, topic) == 0 })
	}
}

// goesOn publishes on the other topic of the rule what a subscriber to it receives at once.
func (f family) goesOn(t *testing.T) {
	t.Helper()
	subscriber := weirtest.Device(t, f.A, f.v, "subscriber to "+f.other)
	subscriber.Subscribe(f.other, 1)
	publisher := weirtest.NewPublisher(t, f.B, f.v, f.other)
	for i := range 2 * limit {
		weirtest.Until(t, "there is room", func() bool { taken, _ := publisher.Publish(number(i)); return taken })
		mustReceive(t, subscriber, f.other, number(i))
	}
}

func (f family) work(t *testing.T) {
	stuck := weirtest.Device(t, f.B, f.v, "subscriber to "+f.topic)
	stuck.Subscribe(f.topic, 1)
	publisher := weirtest.NewPublisher(t, f.A, f.v, f.topic)
	publisher.MustPublish(0, limit)
	for _, weir := range []*weirtest.Weir{f.A, f.B} {
		weirtest.NewPublisher(t, weir, f.v, f.topic).MustRefuse("backlog_full: ", "backlog_messages", `"work/#"`)
	}
	f.goesOn(t)
	var ids []uint16
	for i := range limit {
		m := weirtest.Expect[*codec.Publish](stuck)
		if string(m.Payload) != number(i) {
			t.Fatalf("%q instead of %d", m.Payload, i)
		}
		ids = append(ids, m.PacketID)
	}
	publisher = weirtest.NewPublisher(t, f.A, f.v, f.topic)
	publisher.MustRefuse("backlog_full: ")
	for i, id := range ids[:2] {
		stuck.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: id})
		weirtest.Until(t, "there is room", func() bool { taken, _ := publisher.Publish(number(limit + i)); return taken })
		publisher.MustRefuse("backlog_full: ")
		if m := weirtest.Expect[*codec.Publish](stuck); string(m.Payload) != number(limit+i) {
			t.Fatalf("%q instead of %d", m.Payload, limit+i)
		}
	}
}

func (f family) ring(t *testing.T) {
	consumer := weirtest.Durable(t, f.nc, "demo", f.topic, "service-"+f.v.String()[:1])
	slow := weirtest.Device(t, f.B, f.v, "subscriber to "+f.topic)
	slow.Subscribe(f.topic, 1)
	publisher := weirtest.NewPublisher(t, f.A, f.v, f.topic)
	publisher.MustPublish(0, 10*limit)
	f.goesOn(t)
	weirtest.ExpectAll(t, consumer, 9*limit, 10*limit)
	// A subscriber that does not acknowledge has held up nobody, and gets the newest too.
	for last := -1; last < 10*limit-1; {
		n := numberOf(t, slow.Message())
		if n <= last {
			t.Fatalf("received %d after %d", n, last)
		}
		last = n
	}
	weirtest.Until(t, "what is consumed is gone", func() bool { return weirtest.Stored(t, f.JS, f.topic) == 0 })
	publisher.MustPublish(0, limit)
}

func (f family) log(t *testing.T) {
	early := weirtest.Device(t, f.B, f.v, "subscriber to "+f.topic)
	early.Subscribe(f.topic, 1)
	publisher := weirtest.NewPublisher(t, f.A, f.v, f.topic)
	publisher.MustPublish(0, limit)
	for i := range limit {
		mustReceive(t, early, f.topic, number(i))
	}
	f.goesOnUntilFull(t)
	for range 2 {
		weirtest.ExpectAll(t, weirtest.All(t, f.nc, "demo", f.topic), 0, limit)
	}
	for _, weir := range []*weirtest.Weir{f.A, f.B} { // consumption makes no room in a log
		weirtest.NewPublisher(t, weir, f.v, f.topic).MustRefuse("backlog_full: ", "backlog_messages", `"log/#"`)
	}
}

// goesOnUntilFull fills the other topic of a log, in which consumption makes no room.
func (f family) goesOnUntilFull(t *testing.T) {
	t.Helper()
	subscriber := weirtest.Device(t, f.A, f.v, "subscriber to "+f.other)
	subscriber.Subscribe(f.other, 1)
	publisher := weirtest.NewPublisher(t, f.B, f.v, f.other)
	publisher.MustPublish(0, limit)
	for i := range limit {
		mustReceive(t, subscriber, f.other, number(i))
	}
	publisher.MustRefuse("backlog_full: ")
}

func (f family) last(t *testing.T) {
	weirtest.NewPublisher(t, f.A, f.v, f.topic).MustPublish(0, 5*limit)
	late := weirtest.Device(t, f.B, f.v, "subscriber to "+f.topic)
	late.Subscribe(f.topic, 1)
	weirtest.NewPublisher(t, f.B, f.v, f.topic).MustPublish(5*limit, 10*limit)
	f.goesOn(t)
	for i := 5 * limit; i < 10*limit; i++ {
		n := numberOf(t, late.Message())
		if n < i {
			t.Fatalf("received %d, which was stored before the SUBSCRIBE or came already", n)
		}
		i = n // what was overwritten before the bridge had it is not delivered
	}
	for range 2 {
		weirtest.ExpectAll(t, weirtest.All(t, f.nc, "demo", f.topic), 9*limit, 10*limit)
	}
}

// The bytes of a shared rule are those of all its topics together.
func TestBytesOfTheRule(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoRules(`{filter: "bytes/#", stream: shared, name: bytes, backlog_bytes: 65536}`))
	each(t, func(t *testing.T, v codec.Version, level string) {
		stuck := weirtest.Device(t, p.B, v, "subscriber")
		stuck.Subscribe("bytes/#", 1)
		payload, taken := strings.Repeat("x", 10_000), 0
		for i := range 6 {
			topic := "bytes/" + level + "/" + number(i)
			if ok, refusal := weirtest.NewPublisher(t, p.A, v, topic).Publish(payload); !ok {
				t.Fatalf("message %d is refused: %s", i, refusal)
			}
			taken++
		}
		publisher := weirtest.NewPublisher(t, p.A, v, "bytes/"+level)
		ok, refusal := publisher.Publish(payload)
		if ok {
			t.Error("the message is taken")
		}
		for _, text := range []string{"backlog_full: ", "backlog_bytes", `"bytes/#"`} {
			if v == codec.V5 && !strings.Contains(refusal, text) {
				t.Errorf("%q does not say %s", refusal, text)
			}
		}
		if ok, refusal := publisher.Publish(strings.Repeat("x", 100_000)); ok || v == codec.V5 && !strings.HasPrefix(refusal, "message_too_large: ") {
			t.Errorf("taken %v, %s", ok, refusal)
		}
		stuck.Message()
		weirtest.Until(t, "there is room", func() bool { ok, _ := publisher.Publish(payload); return ok })
		for range taken {
			stuck.Message()
		}
		weirtest.Until(t, "all is consumed", func() bool { return weirtest.Stream(t, p.JS, "bytes/a").State.Msgs == 0 })
	})
}
