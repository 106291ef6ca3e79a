// Package rules holds the program to the topic rules of its tenants file.
package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inForce is how soon a change of the tenants file must be in force.
const inForce = 2 * time.Second

// tenants is a tenants file with these rules for the tenant demo.
func tenants(rules ...string) string {
	return weirtest.DemoTenants + "    topics:\n      - " + strings.Join(rules, "\n      - ") + "\n"
}

func start(t *testing.T, rules ...string) *weirtest.Weir {
	t.Helper()
	return weirtest.Start(t, weirtest.Options{Tenants: tenants(rules...)})
}

// login is a device of the demo tenant.
func login(t *testing.T, weir *weirtest.Weir, v codec.Version, clientID string) *weirtest.Client {
	t.Helper()
	return weirtest.Login(t, weir.MQTT(), v, clientID, "demo/device", "demo")
}

// publisher sends on one topic and logs in again where a refusal has ended its connection.
type publisher struct {
	t      *testing.T
	weir   *weirtest.Weir
	v      codec.Version
	topic  string
	client *weirtest.Client
}

func newPublisher(t *testing.T, weir *weirtest.Weir, v codec.Version, topic string) *publisher {
	t.Helper()
	return &publisher{t: t, weir: weir, v: v, topic: topic, client: login(t, weir, v, "publisher on "+topic)}
}

// publish reports whether the message was taken, and the reason string where it was not and the protocol has one. Anything else than
// yes or a quota that is exceeded fails the test.
func (p *publisher) publish(payload string) (taken bool, refusal string) {
	p.t.Helper()
	p.client.Send(&codec.Publish{QoS: 1, PacketID: 1, Topic: []byte(p.topic), Payload: []byte(payload)})
	packet, err := p.client.Read()
	if err != nil && p.v != codec.V5 && weirtest.Closed(err) {
		p.client = login(p.t, p.weir, p.v, "publisher on "+p.topic)
		return false, ""
	}
	if err != nil {
		p.t.Fatal(err)
	}
	ack, ok := packet.(*codec.Ack)
	switch {
	case ok && ack.Code == codec.Success:
		return true, ""
	case ok && ack.Code == codec.QuotaExceeded:
		return false, ack.ReasonString
	}
	p.t.Fatalf("received %+v", packet)
	return false, ""
}

func (p *publisher) mustPublish(from, to int) {
	p.t.Helper()
	for i := from; i < to; i++ {
		if taken, refusal := p.publish(number(i)); !taken {
			p.t.Fatalf("message %d is refused: %s", i, refusal)
		}
	}
}

// mustRefuse expects a refusal whose reason string, where there is one, has the texts.
func (p *publisher) mustRefuse(texts ...string) {
	p.t.Helper()
	taken, refusal := p.publish("refused")
	if taken {
		p.t.Fatal("the message is taken")
	}
	for _, text := range texts {
		if p.v == codec.V5 && !strings.Contains(refusal, text) {
			p.t.Errorf("%q does not say %s", refusal, text)
		}
	}
}

// each runs a test with MQTT 3.1.1 and 5, with a level of its own for the topics.
func each(t *testing.T, test func(t *testing.T, v codec.Version, level string)) {
	t.Helper()
	for _, v := range []codec.Version{codec.V311, codec.V5} {
		t.Run(v.String(), func(t *testing.T) { test(t, v, strings.ReplaceAll(v.String(), ".", "-")) })
	}
}

// all is a native consumer that gets everything that the topic's stream holds.
func all(t *testing.T, nc *nats.Conn, topic string) natsjs.Consumer {
	t.Helper()
	stream := weirtest.Ensure(t, nc, "demo", topic)
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(weirtest.Context(t), stream, natsjs.ConsumerConfig{AckPolicy: natsjs.AckExplicitPolicy, MaxAckPending: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expectAll takes and acknowledges exactly these numbers.
func expectAll(t *testing.T, c natsjs.Consumer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		m, err := c.Next(natsjs.FetchMaxWait(weirtest.Patience))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if string(m.Data()) != number(i) {
			t.Fatalf("%q instead of %d", m.Data(), i)
		}
		if err := m.DoubleAck(weirtest.Context(t)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := c.Info(weirtest.Context(t)); err != nil || info.NumPending != 0 {
		t.Errorf("more is stored: %+v, %v", info, err)
	}
}

func number(n int) string { return fmt.Sprint(n) }
