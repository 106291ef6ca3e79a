package clients

import (
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
)

// to are the properties of a message to one client identifier, among others.
func to(clientID string) *paho.PublishProperties {
	return &paho.PublishProperties{User: paho.UserProperties{
		{Key: "first", Value: "1"}, {Key: "weir-to", Value: clientID}, {Key: "last", Value: "2"},
	}}
}

// One message goes to one device of all that have subscribed to its topic, whether an application sends it over MQTT or over
// native NATS; the next one goes to all.
func TestTargetedMessage(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	one := connect5(t, weir.MQTT(), "one", "demo/device")
	two := connect5(t, weir.MQTT(), "two %", "demo/device")
	old := weirtest.Login(t, weir.MQTT(), codec.V311, "old", "demo/device", "demo")
	one.subscribe(t, "commands", 1)
	two.subscribe(t, "commands", 1)
	old.Subscribe("commands", 1)
	service := connect5(t, weir.MQTT(), "mapper", "demo/service")
	service.subscribe(t, "commands", 1) // an application, and still another client
	js := weirtest.JetStream(t, weir.NATS(), weirtest.DemoService())

	service.publish(t, &paho.Publish{Topic: "commands", QoS: 1, Payload: []byte("from MQTT"), Properties: to("two %")})
	service.publish(t, &paho.Publish{Topic: "commands", QoS: 1, Payload: []byte("for old"), Properties: to("old")})
	if _, err := js.PublishMsg(weirtest.Context(t), &nats.Msg{
		Subject: message.Subject("demo", "commands"), Header: nats.Header{message.HeaderTo: {"two%20%25"}}, Data: []byte("from NATS"),
	}); err != nil {
		t.Fatal(err)
	}
	service.publish(t, &paho.Publish{Topic: "commands", QoS: 1, Payload: []byte("for all")})

	for _, c := range []struct {
		name   string
		client *client5
		want   []string
	}{
		{"one", one, []string{"for all"}},
		{"two", two, []string{"from MQTT", "from NATS", "for all"}},
		{"the service", service, []string{"for all"}},
	} {
		for _, want := range c.want {
			m := weirtest.Receive(t, want, c.client.messages)
			if string(m.Payload) != want {
				t.Fatalf("%s received %q instead of %q", c.name, m.Payload, want)
			}
			if want != "from MQTT" {
				continue
			}
			if diff := cmp.Diff(paho.UserProperties{{Key: "first", Value: "1"}, {Key: "last", Value: "2"}}, m.Properties.User); diff != "" {
				t.Errorf("the properties that are delivered: %s", diff)
			}
		}
	}
	for _, want := range []string{"for old", "for all"} {
		if m := old.Message(); string(m.Payload) != want {
			t.Errorf("old received %q instead of %q", m.Payload, want)
		}
	}
	// Three messages for one of four clients each.
	if n := weir.Metric("weir_drops_total", `reason="addressed_to_other_client"`); n != 9 {
		t.Errorf("%v are counted as addressed to another client", n)
	}
}

// Who has not subscribed gets nothing, addressed or not, and the message is acknowledged all the same.
func TestTargetedMessageNeedsSubscription(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect5(t, weir.MQTT(), "one", "demo/device")
	device.subscribe(t, "marker", 1)
	service := connect5(t, weir.MQTT(), "mapper", "demo/service")
	service.publish(t, &paho.Publish{Topic: "commands", QoS: 1, Payload: []byte("x"), Properties: to("one")})
	service.publish(t, &paho.Publish{Topic: "marker", QoS: 1, Payload: []byte("y"), Properties: to("one")})
	if m := weirtest.Receive(t, "the marker", device.messages); m.Topic != "marker" {
		t.Errorf("received %s", m)
	}
}

// A device addresses nobody: its property reaches everybody as it is.
func TestDeviceCannotTarget(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect5(t, weir.MQTT(), "one", "demo/device")
	service := connect5(t, weir.MQTT(), "mapper", "demo/service")
	service.subscribe(t, "up", 1)
	device.publish(t, &paho.Publish{Topic: "up", QoS: 1, Payload: []byte("x"), Properties: to("nobody")})
	m := weirtest.Receive(t, "the message", service.messages)
	if diff := cmp.Diff(to("nobody").User, m.Properties.User); diff != "" {
		t.Error(diff)
	}
}

func TestTargetedMessageIsRefused(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect5(t, weir.MQTT(), "one", "demo/device")
	device.subscribe(t, "commands", 1)
	service := connect5(t, weir.MQTT(), "mapper", "demo/service")
	twice := to("one")
	twice.User = append(twice.User, paho.UserProperty{Key: "weir-to", Value: "one"})
	for name, properties := range map[string]*paho.PublishProperties{
		"empty": to(""), "too long": to(strings.Repeat("x", 129)), "twice": twice,
	} {
		answer, err := service.Publish(weirtest.Context(t), &paho.Publish{Topic: "commands", QoS: 1, Properties: properties})
		if err == nil || answer == nil || answer.ReasonCode != 0x83 || !strings.HasPrefix(answer.Properties.ReasonString, "recipient_invalid: ") {
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
	}
	service.publish(t, &paho.Publish{Topic: "commands", QoS: 1, Payload: []byte("next")})
	if m := weirtest.Receive(t, "the next message", device.messages); string(m.Payload) != "next" {
		t.Errorf("received %q", m.Payload)
	}
}
