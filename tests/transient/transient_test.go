// Package transient holds the program to what docs/topic-rules.md promises of topics of which nothing is stored.
package transient

import (
	"errors"
	"fmt"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/message"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tenants = weirtest.DemoTenants + `    topics:
      - {filter: "live/keep", stream: dedicated}
      - {filter: "live/#", stream: transient}
`

var versions = []codec.Version{codec.V31, codec.V311, codec.V5}

// silence is how long a test waits for what must not come.
const silence = 300 * time.Millisecond

// login is a device of the demo tenant.
func login(t *testing.T, weir *weirtest.Weir, v codec.Version, clientID string) *weirtest.Client {
	t.Helper()
	return weirtest.Login(t, weir.MQTT(), v, clientID, "demo/device", "demo")
}

func mustPublish(t *testing.T, c *weirtest.Client, topic, payload string) {
	t.Helper()
	if ack := c.Publish(topic, payload); ack.Code != codec.Success {
		t.Fatalf("PUBACK 0x%02X to %q on %s: %s", byte(ack.Code), payload, topic, ack.ReasonString)
	}
}

// expect takes messages of any order, of which each must come once, and nothing else.
func expect(t *testing.T, c *weirtest.Client, q codec.QoS, want ...string) {
	t.Helper()
	left := make(map[string]bool)
	for _, w := range want {
		left[w] = true
	}
	for range want {
		m := c.Message()
		text := fmt.Sprintf("%s %s", m.Topic, m.Payload)
		if !left[text] || m.QoS != q || m.Dup || m.Retain {
			t.Fatalf("received %s at QoS %d; missing are %v", text, m.QoS, left)
		}
		delete(left, text)
	}
}

// Sessions on two bridges get what is published while they are there: once, however many of their filters match, and from the stream where an
// earlier rule has one. Services listen and publish over NATS.
func TestTransientTopics(t *testing.T) {
	server := weirtest.StartNATS(t)
	a := weirtest.Start(t, weirtest.Options{Name: "weir a", External: server, Tenants: tenants})
	b := weirtest.Start(t, weirtest.Options{Name: "weir b", External: server})
	nc := weirtest.Connect(t, server.URL())
	js := weirtest.JetStream(t, server.URL())
	for _, v := range versions {
		near, far := login(t, a, v, "near"), login(t, b, v, "far")
		far.Subscribe("live/#", 1)
		far.Subscribe("live/x", 0)
		far.Subscribe("live/+", 1)
		near.Subscribe("#", 0)
		service, err := nc.SubscribeSync(message.Subject("demo", "live/x"))
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		p := login(t, a, v, "publisher")
		for i := range 100 {
			mustPublish(t, p, "live/x", fmt.Sprint(i))
		}
		for i := range 100 {
			expect(t, far, 1, fmt.Sprint("live/x ", i))
			expect(t, near, 0, fmt.Sprint("live/x ", i))
			if m, err := service.NextMsg(weirtest.Patience); err != nil || string(m.Data) != fmt.Sprint(i) || m.Header.Get(message.HeaderClientID) != "publisher" {
				t.Fatalf("the service gets %+v, %v", m, err)
			}
		}
		mustPublish(t, p, "live", "parent")
		mustPublish(t, p, "live/keep", "stored")
		mustPublish(t, p, "live/deep/er", "passing")
		expect(t, far, 1, "live parent", "live/keep stored", "live/deep/er passing")
		expect(t, near, 0, "live parent", "live/keep stored", "live/deep/er passing")
		if err := nc.Publish(message.Subject("demo", "live/from a service"), []byte("hello")); err != nil {
			t.Fatal(err)
		}
		expect(t, far, 1, "live/from a service hello")
		expect(t, near, 0, "live/from a service hello")
		far.ExpectSilence(silence)
		near.ExpectSilence(silence)
		if err := service.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*weirtest.Client{near, far, p} {
			c.Send(&codec.Disconnect{})
			c.ExpectClosed()
		}
	}
	p := login(t, b, codec.V5, "publisher")
	mustPublish(t, p, "live/x", "to nobody")
	late := login(t, b, codec.V5, "late")
	late.Subscribe("live/#", 1)
	late.ExpectSilence(silence)
	if code := weirtest.AskFor(t, nc, "demo", "live/new"); code != "" {
		t.Errorf("asked for a topic: %s", code)
	}
	for _, topic := range []string{"live", "live/x", "live/deep/er", "live/new"} {
		if name, err := js.StreamNameBySubject(weirtest.Context(t), message.Subject("demo", topic)); !errors.Is(err, natsjs.ErrStreamNotFound) {
			t.Errorf("%s is in stream %s: %v", topic, name, err)
		}
	}
	for _, w := range []*weirtest.Weir{a, b} {
		if n := w.Metric("weir_topics", "tenant", "demo"); n > 1 {
			t.Errorf("%v topics", n)
		}
	}
}

// Nothing is acknowledged that NATS does not have, and the connection ends. When NATS is back, so are the subscriptions.
func TestWithoutNATS(t *testing.T) {
	server := weirtest.StartNATS(t)
	weir := weirtest.Start(t, weirtest.Options{External: server, Tenants: tenants})
	subscriber := login(t, weir, codec.V5, "subscriber")
	subscriber.Subscribe("live/+", 1)
	var publishers []*weirtest.Client
	for _, v := range versions {
		p := login(t, weir, v, "publisher-"+v.String())
		mustPublish(t, p, "live/x", "before")
		expect(t, subscriber, 1, "live/x before")
		publishers = append(publishers, p)
	}
	server.Pause()
	for _, p := range publishers {
		p.Send(&codec.Publish{QoS: 1, PacketID: 8, Topic: []byte("live/x"), Payload: []byte("lost")})
		p.ExpectSilence(silence)
	}
	server.Kill()
	for i, p := range publishers {
		if versions[i] == codec.V5 {
			if d := weirtest.Expect[*codec.Disconnect](p); d.Code != 0x89 {
				t.Errorf("DISCONNECT 0x%02X", byte(d.Code))
			}
		}
		p.ExpectClosed()
	}
	server.Restart()
	weir.Ready()
	p := login(t, weir, codec.V5, "after")
	weirtest.Until(t, "the subscription is back", func() bool {
		mustPublish(t, p, "live/x", "after")
		packet, err := subscriber.ReadWithin(silence)
		m, ok := packet.(*codec.Publish)
		return err == nil && ok && string(m.Payload) == "after"
	})
}
