package clients

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
)

const twoTenants = `
tenants:
  acme:
    users:
      thermostat: {password: secret-1, role: device}
      mapper:     {password: secret-2, role: application}
  other:
    users:
      thermostat: {password: secret-3, role: device}
      mapper:     {password: secret-4, role: application}
`

func next(t *testing.T, c natsjs.Consumer) natsjs.Msg {
	t.Helper()
	m, err := c.Next(natsjs.FetchMaxWait(weirtest.Patience))
	if err != nil {
		t.Fatalf("no message: %v", err)
	}
	return m
}

// A service that knows NATS and no MQTT works on what devices publish, at its own pace, and answers them.
func TestNativeService(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		testNativeService(t, weirtest.Start(t, weirtest.Options{Tenants: twoTenants}))
	})
	t.Run("sidecar", func(t *testing.T) {
		testNativeService(t, weirtest.Start(t, weirtest.Options{Tenants: twoTenants, External: weirtest.StartNATS(t)}))
	})
}

func testNativeService(t *testing.T, weir *weirtest.Weir) {
	nc := weirtest.Connect(t, weir.NATS(), nats.UserInfo("acme/mapper", "secret-2"))
	const up, down = "sensors/room 1/temp", "commands/thermostat"
	const count = 100
	consumer := weirtest.Durable(t, nc, "acme", up, "mapper")
	device := weirtest.Login(t, weir.MQTT(), codec.V5, "thermostat-7", "acme/thermostat", "secret-1")
	for i := range count {
		if ack := device.Publish(up, fmt.Sprint(i)); ack.Code != codec.Success {
			t.Fatalf("PUBACK %+v", ack)
		}
	}
	for i := range count {
		m := next(t, consumer)
		if string(m.Data()) != fmt.Sprint(i) || m.Subject() != "mqtt.acme.sensors.room%201.temp" {
			t.Fatalf("message %d is %q on %q", i, m.Data(), m.Subject())
		}
		for header, want := range map[string]string{
			message.HeaderClientID: "thermostat-7", message.HeaderUser: "thermostat", message.HeaderRole: "device", message.HeaderQoS: "",
		} {
			if got := m.Headers().Get(header); got != want {
				t.Errorf("%s: %q instead of %q", header, got, want)
			}
		}
		if err := m.DoubleAck(weirtest.Context(t)); err != nil {
			t.Fatal(err)
		}
	}

	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	device.Subscribe(down, 1)
	for i := range count {
		if _, err := js.Publish(weirtest.Context(t), message.Subject("acme", down), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if m := device.Message(); string(m.Payload) != fmt.Sprint(i) || string(m.Topic) != down || m.QoS != 1 {
			t.Fatalf("message %d is %+v", i, m)
		}
	}
}

// A service that publishes first finds no stream, asks for it, and publishes again.
func TestNativeServicePublishesFirst(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: twoTenants})
	nc := weirtest.Connect(t, weir.NATS(), nats.UserInfo("acme/mapper", "secret-2"))
	js, err := natsjs.New(nc, natsjs.WithDefaultTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	subject := message.Subject("acme", "new/topic")
	publish := func() error {
		_, err := js.Publish(weirtest.Context(t), subject, []byte("x"), natsjs.WithRetryAttempts(0))
		return err
	}
	if err := publish(); !errors.Is(err, natsjs.ErrNoStreamResponse) {
		t.Fatalf("a publish to a topic that does not exist: %v", err)
	}
	weirtest.Ensure(t, nc, "acme", "new/topic")
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"", "a/+", "#", "$SYS/x", "nul\x00", "\xff"} {
		if code := weirtest.AskFor(t, nc, "acme", topic); code == "" {
			t.Errorf("topic %q exists", topic)
		}
	}
}

// Mqtt-To reaches one client identifier of all that subscribe.
func TestMessageToOneClient(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: twoTenants})
	js := weirtest.JetStream(t, weir.NATS(), nats.UserInfo("acme/mapper", "secret-2"))
	const topic = "commands"
	one := weirtest.Login(t, weir.MQTT(), codec.V5, "one", "acme/thermostat", "secret-1")
	two := weirtest.Login(t, weir.MQTT(), codec.V311, "two %", "acme/thermostat", "secret-1")
	one.Subscribe(topic, 1)
	two.Subscribe(topic, 1)
	for _, m := range []*nats.Msg{
		{Data: []byte("for two"), Header: nats.Header{message.HeaderTo: {"two%20%25"}}},
		{Data: []byte("for all")},
	} {
		m.Subject = message.Subject("acme", topic)
		if _, err := js.PublishMsg(weirtest.Context(t), m); err != nil {
			t.Fatal(err)
		}
	}
	if m := one.Message(); string(m.Payload) != "for all" {
		t.Errorf("one received %q", m.Payload)
	}
	for _, want := range []string{"for two", "for all"} {
		if m := two.Message(); string(m.Payload) != want {
			t.Errorf("two received %q instead of %q", m.Payload, want)
		}
	}
}

// Nothing crosses tenants: not over MQTT, not over NATS.
func TestTenantsAreApart(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: twoTenants})
	const topic = "sensors"
	acme := weirtest.Login(t, weir.MQTT(), codec.V5, "same", "acme/thermostat", "secret-1")
	other := weirtest.Login(t, weir.MQTT(), codec.V5, "same", "other/thermostat", "secret-3")
	acme.Subscribe(topic, 1)
	other.Subscribe(topic, 1)

	ncOther := weirtest.Connect(t, weir.NATS(), nats.UserInfo("other/mapper", "secret-4"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	js, err := natsjs.New(ncOther, natsjs.WithDefaultTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ncAcme := weirtest.Connect(t, weir.NATS(), nats.UserInfo("acme/mapper", "secret-2"))
	stream := weirtest.Ensure(t, ncAcme, "acme", topic)
	if _, err := js.Stream(weirtest.Context(t), stream); !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Errorf("the other tenant's service finds acme's stream: %v", err)
	}
	for name := range js.StreamNames(weirtest.Context(t)).Name() {
		if name == stream {
			t.Error("the other tenant's service sees acme's stream in the list")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // what is not permitted gets no answer
	defer cancel()
	if _, err := js.Publish(ctx, message.Subject("acme", topic), []byte("forged"), natsjs.WithRetryAttempts(0)); err == nil {
		t.Error("the other tenant's service published to acme")
	}
	spied, err := ncOther.SubscribeSync(message.Subject("acme", topic))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(weirtest.Context(t), message.Subject("other", topic), []byte("of other")); err != nil {
		t.Fatal(err)
	}
	device := weirtest.Login(t, weir.MQTT(), codec.V5, "publisher", "acme/thermostat", "secret-1")
	device.Publish(topic, "of acme")
	if m := acme.Message(); string(m.Payload) != "of acme" {
		t.Errorf("acme's device received %q", m.Payload)
	}
	if m := other.Message(); string(m.Payload) != "of other" {
		t.Errorf("other's device received %q", m.Payload)
	}
	if m, err := spied.NextMsg(500 * time.Millisecond); err == nil {
		t.Errorf("the other tenant's service received %q", m.Data)
	}
}

// Native clients log in as applications and as nobody else.
func TestNativeClientsAreApplications(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Tenants: twoTenants})
	for name, option := range map[string]nats.Option{
		"nobody":         func(*nats.Options) error { return nil },
		"wrong password": nats.UserInfo("acme/mapper", "secret-4"),
		"device":         nats.UserInfo("acme/thermostat", "secret-1"),
		"no tenant":      nats.UserInfo("mapper", "secret-2"),
		"bridge":         nats.UserInfo("$weir/", ""),
		"bridge of acme": nats.UserInfo("$weir/acme", ""),
		"token":          nats.Token("secret-2"),
	} {
		if nc, err := nats.Connect(weir.NATS(), option, nats.NoReconnect()); err == nil {
			nc.Close()
			t.Errorf("%s is let in", name)
		}
	}
	weirtest.Connect(t, weir.NATS(), nats.UserInfo("acme/mapper", "secret-2"))
}
