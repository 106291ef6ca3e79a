package weirtest

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/message"
)

// DemoTenants is a tenants file that says of the tenant demo what Weir says of it by itself, for a sidecar, which has no
// demo tenant.
const DemoTenants = `
tenants:
  demo:
    users:
      device:  {password: demo, role: device}
      service: {password: demo, role: application}
`

// DemoService logs a native client in to an embedded server as the application of the demo tenant. An external one, which
// knows no users, ignores it.
func DemoService() nats.Option { return nats.UserInfo("demo/service", "demo") }

// Ensure asks for the stream of a topic, as a native service does, and returns the stream's name.
func Ensure(t testing.TB, nc *nats.Conn, tenant, topic string) string {
	t.Helper()
	if code := AskFor(t, nc, tenant, topic); code != "" {
		t.Fatalf("topic %s: %s", topic, code)
	}
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	name, err := js.StreamNameBySubject(Context(t), message.Subject(tenant, topic))
	if err != nil {
		t.Fatalf("topic %s has no stream: %v", topic, err)
	}
	return name
}

// AskFor asks for the stream of a topic and returns the code of the refusal; empty: it is there.
func AskFor(t testing.TB, nc *nats.Conn, tenant, topic string) string {
	t.Helper()
	m, err := nc.Request(message.EnsureSubject(tenant), []byte(topic), 10*time.Second)
	if err != nil {
		t.Fatalf("topic %s: %v", topic, err)
	}
	var reply struct {
		Error *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		t.Fatalf("topic %s: %q: %v", topic, m.Data, err)
	}
	if reply.Error != nil {
		return reply.Error.Code
	}
	return ""
}

// Durable is the durable pull consumer of a native service on a topic, which is made where it does not exist. It gets
// what is stored from now on. On a shared stream each topic needs a name of its own.
func Durable(t testing.TB, nc *nats.Conn, tenant, topic, name string) natsjs.Consumer {
	t.Helper()
	return consumer(t, nc, tenant, topic, natsjs.ConsumerConfig{Durable: name, DeliverPolicy: natsjs.DeliverNewPolicy})
}

// All is a native consumer that gets everything that is stored of a topic.
func All(t testing.TB, nc *nats.Conn, tenant, topic string) natsjs.Consumer {
	t.Helper()
	return consumer(t, nc, tenant, topic, natsjs.ConsumerConfig{DeliverPolicy: natsjs.DeliverAllPolicy})
}

func consumer(t testing.TB, nc *nats.Conn, tenant, topic string, config natsjs.ConsumerConfig) natsjs.Consumer {
	t.Helper()
	stream := Ensure(t, nc, tenant, topic)
	js, err := natsjs.New(nc, natsjs.WithDefaultTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	config.FilterSubject, config.AckPolicy, config.MaxAckPending = message.Subject(tenant, topic), natsjs.AckExplicitPolicy, -1
	c, err := js.CreateOrUpdateConsumer(Context(t), stream, config)
	if err != nil {
		t.Fatalf("consumer %s of topic %s: %v", config.Durable, topic, err)
	}
	return c
}

// ExpectAll takes and acknowledges exactly these numbers, the last one excluded.
func ExpectAll(t testing.TB, c natsjs.Consumer, from, to int) {
	t.Helper()
	TakeAll(t, c, from, to)
	if info, err := c.Info(Context(t)); err != nil || info.NumPending != 0 {
		t.Errorf("more is stored: %+v, %v", info, err)
	}
}

// TakeAll is ExpectAll where more may follow.
func TakeAll(t testing.TB, c natsjs.Consumer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		m, err := c.Next(natsjs.FetchMaxWait(Patience))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if string(m.Data()) != strconv.Itoa(i) {
			t.Fatalf("%q instead of %d", m.Data(), i)
		}
		if err := m.DoubleAck(Context(t)); err != nil {
			t.Fatal(err)
		}
	}
}
