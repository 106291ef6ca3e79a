package rules

import (
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A work backlog, a ring and a log side by side in one tenant, and what no rule says has the quotas.
func TestTopicFamilies(t *testing.T) {
	weir := start(t,
		`{filter: "work/+", stream: dedicated, backlog_messages: 5}`,
		`{filter: "work/#", stream: dedicated, backlog_messages: 2}`,
		`{filter: "ring/#", stream: dedicated, when_full: discard_oldest, backlog_messages: 5}`,
		`{filter: "log/#", stream: dedicated, keep: until_expired, backlog_bytes: 100000}`,
		`{filter: "last/#", stream: dedicated, keep: until_expired, when_full: discard_oldest, backlog_messages: 5, ttl: -1}`,
	)
	nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
	each(t, func(t *testing.T, v codec.Version, level string) {
		t.Run("work", func(t *testing.T) {
			topic := "work/" + level
			slow := weirtest.Device(t, weir, codec.V311, "subscriber to "+topic)
			slow.Subscribe(topic, 1)
			p := weirtest.NewPublisher(t, weir, v, topic)
			p.MustPublish(0, 5)
			p.MustRefuse("backlog_full", "backlog_messages", `"work/+"`)
			var ids []uint16
			for i := range 5 {
				m := weirtest.Expect[*codec.Publish](slow)
				if string(m.Payload) != number(i) {
					t.Fatalf("%q instead of %d", m.Payload, i)
				}
				ids = append(ids, m.PacketID)
			}
			slow.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: ids[0]})
			weirtest.Until(t, "there is room", func() bool { taken, _ := p.Publish("5"); return taken })
			p.MustRefuse("backlog_full")
		})
		t.Run("another rule", func(t *testing.T) {
			topic := "work/" + level + "/deep"
			weirtest.Durable(t, nc, "demo", topic, "service")
			p := weirtest.NewPublisher(t, weir, v, topic)
			p.MustPublish(0, 2)
			p.MustRefuse("backlog_full", "backlog_messages", `"work/#"`)
		})
		t.Run("ring", func(t *testing.T) {
			topic := "ring/" + level
			consumer := weirtest.Durable(t, nc, "demo", topic, "service")
			slow := weirtest.Device(t, weir, v, "subscriber to "+topic)
			slow.Subscribe(topic, 1)
			weirtest.NewPublisher(t, weir, v, topic).MustPublish(0, 50)
			weirtest.ExpectAll(t, consumer, 45, 50)
			// A subscriber that does not acknowledge has held up nobody, and gets the newest too.
			for {
				if m := slow.Message(); string(m.Payload) == number(49) {
					break
				}
			}
		})
		t.Run("log", func(t *testing.T) {
			topic := "log/" + level
			p := weirtest.NewPublisher(t, weir, v, topic)
			p.MustPublish(0, 20)
			late := weirtest.Device(t, weir, v, "subscriber to "+topic)
			late.Subscribe(topic, 1)
			p.MustPublish(20, 21)
			if m := late.Message(); string(m.Payload) != number(20) {
				t.Errorf("the subscriber gets %q, which was stored before its SUBSCRIBE", m.Payload)
			}
			weirtest.ExpectAll(t, weirtest.All(t, nc, "demo", topic), 0, 21)
			weirtest.ExpectAll(t, weirtest.All(t, nc, "demo", topic), 0, 21)
			large := strings.Repeat("x", 30_000)
			for range 3 {
				if taken, refusal := p.Publish(large); !taken {
					t.Fatal(refusal)
				}
			}
			if taken, refusal := p.Publish(large); taken || v == codec.V5 && !strings.Contains(refusal, `backlog_bytes of the rule "log/#"`) {
				t.Errorf("taken %v, %s", taken, refusal)
			}
			if taken, refusal := p.Publish(strings.Repeat("x", 100_000)); taken || v == codec.V5 && !strings.HasPrefix(refusal, "message_too_large: ") {
				t.Errorf("taken %v, %s", taken, refusal)
			}
		})
		t.Run("log of the last", func(t *testing.T) {
			topic := "last/" + level
			weirtest.NewPublisher(t, weir, v, topic).MustPublish(0, 50)
			weirtest.ExpectAll(t, weirtest.All(t, nc, "demo", topic), 45, 50)
		})
		t.Run("the quotas", func(t *testing.T) {
			topic := "other/" + level
			consumer := weirtest.Durable(t, nc, "demo", topic, "service")
			weirtest.NewPublisher(t, weir, v, topic).MustPublish(0, 20)
			weirtest.ExpectAll(t, consumer, 0, 20)
		})
	})
}

// Watson IoT's ring: of 5,001 messages for a service that is away the last 5,000 are there when it comes back.
func TestRingOf5000(t *testing.T) {
	weir := start(t, `{filter: "#", stream: dedicated, when_full: discard_oldest, backlog_messages: 5000}`)
	consumer := weirtest.Durable(t, weirtest.Connect(t, weir.NATS(), weirtest.DemoService()), "demo", "ring", "service")
	each(t, func(t *testing.T, v codec.Version, _ string) {
		p := weirtest.NewPublisher(t, weir, v, "ring")
		p.MustPublish(0, 5001)
		weirtest.ExpectAll(t, consumer, 1, 5001)
	})
}

// A change of the file is in force within two seconds, for topics that have messages, too, and loses none of them.
func TestRulesChangeWhileRunning(t *testing.T) {
	const (
		work    = `{filter: "a/#", stream: dedicated, backlog_messages: 5}`
		ring    = `{filter: "a/#", stream: dedicated, backlog_messages: 5, when_full: discard_oldest}`
		log     = `{filter: "a/#", stream: dedicated, backlog_messages: 7, keep: until_expired}`
		fine    = `{filter: "a/+", stream: dedicated, backlog_messages: 8, keep: until_expired}`
		expires = `{filter: "a/#", stream: dedicated, backlog_messages: 7, keep: until_expired, ttl: 1s}`
	)
	each(t, func(t *testing.T, v codec.Version, level string) {
		weir := start(t, work)
		nc := weirtest.Connect(t, weir.NATS(), weirtest.DemoService())
		topic := "a/" + level
		consumer := weirtest.Durable(t, nc, "demo", topic, "service")
		p := weirtest.NewPublisher(t, weir, v, topic)
		within := func(what string, is func() bool) { weirtest.UntilWithin(t, inForce, what, is) }
		p.MustPublish(0, 5)
		p.MustRefuse(`backlog_messages of the rule "a/#"`)

		weir.SetTenants(weirtest.DemoRules(ring))
		within("the ring takes a message", func() bool { taken, _ := p.Publish(number(5)); return taken })
		p.MustPublish(6, 10)

		weir.SetTenants(weirtest.DemoRules(log))
		stored := 10 // 5 to 9, which makes 5, and more are discarded until the change is in force
		within("the log refuses a message", func() bool {
			taken, _ := p.Publish(number(stored))
			if taken {
				stored++
			}
			return !taken
		})
		weirtest.ExpectAll(t, consumer, stored-7, stored)
		p.MustRefuse(`backlog_messages of the rule "a/#"`) // consumption makes no room in a log

		weir.SetTenants(weirtest.DemoRules(fine, log))
		within("the rule before it has room for one more", func() bool { taken, _ := p.Publish(number(stored)); return taken })
		p.MustRefuse(`backlog_messages of the rule "a/+"`)
		weirtest.ExpectAll(t, weirtest.All(t, nc, "demo", topic), stored-7, stored+1)

		weir.SetTenants(weirtest.DemoRules(expires))
		weirtest.Until(t, "what is older than the new ttl is gone", func() bool { taken, _ := p.Publish("new"); return taken })
		weirtest.Until(t, "the log is empty", func() bool {
			info, err := weirtest.All(t, nc, "demo", topic).Info(weirtest.Context(t))
			return err == nil && info.NumPending == 0
		})
	})
}
