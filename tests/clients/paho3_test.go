package clients

import (
	"fmt"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/weirmq/weir/tests/weirtest"
)

// done waits for an operation of a client of MQTT 3.1.1.
func done(t *testing.T, what string, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(weirtest.Patience) {
		t.Fatalf("%s: no answer in %s", what, weirtest.Patience)
	}
	if err := token.Error(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// connect3 returns a client of MQTT 3.1.1 that is disconnected at the end of the test.
func connect3(t *testing.T, address, clientID, user string) mqtt.Client {
	t.Helper()
	client := mqtt.NewClient(mqtt.NewClientOptions().
		AddBroker("tcp://" + address).
		SetClientID(clientID).
		SetUsername(user).
		SetPassword("demo").
		SetProtocolVersion(4).
		SetAutoReconnect(false))
	done(t, "CONNECT", client.Connect())
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

// subscribe3 subscribes and returns the messages that come.
func subscribe3(t *testing.T, client mqtt.Client, topic string, q byte) <-chan mqtt.Message {
	t.Helper()
	messages := make(chan mqtt.Message, 1000)
	done(t, "SUBSCRIBE", client.Subscribe(topic, q, func(_ mqtt.Client, m mqtt.Message) { messages <- m }))
	return messages
}

func TestPahoOfMQTT311(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect3(t, weir.MQTT(), "thermostat", "demo/device")
	service := connect3(t, weir.MQTT(), "mapper", "demo/service")
	directions := []struct {
		name     string
		from, to mqtt.Client
	}{
		{"device to service", device, service},
		{"service to device", service, device},
		{"device to itself", device, device},
	}
	const count = 200
	for _, d := range directions {
		for published := range byte(2) {
			for granted := range byte(2) {
				name := fmt.Sprintf("%s QoS %d as %d", d.name, published, granted)
				t.Run(name, func(t *testing.T) {
					topic := "paho/" + name
					messages := subscribe3(t, d.to, topic, granted)
					for i := range count {
						token := d.from.Publish(topic, published, false, fmt.Sprint(i))
						if i == count-1 {
							done(t, "PUBLISH", token)
						}
					}
					for i := range count {
						m := weirtest.Receive(t, fmt.Sprintf("message %d", i), messages)
						if string(m.Payload()) != fmt.Sprint(i) || m.Topic() != topic || m.Qos() != min(published, granted) || m.Retained() || m.Duplicate() {
							t.Fatalf("message %d is %q on %q at QoS %d, DUP %v, RETAIN %v", i, m.Payload(), m.Topic(), m.Qos(), m.Duplicate(), m.Retained())
						}
					}
					done(t, "UNSUBSCRIBE", d.to.Unsubscribe(topic))
				})
			}
		}
	}
}

// A topic is any UTF-8 text, whatever its characters mean to NATS.
func TestTopicsThatNATSWouldMisunderstand(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect3(t, weir.MQTT(), "thermostat", "demo/device")
	service := connect3(t, weir.MQTT(), "mapper", "demo/service")
	for _, topic := range []string{"/", "//", "a.b", "a/*", "*/>", ">", "sensors/room 1/°C", "a%b/%", "a/$b", "tab\there", "日本/温度", "_INBOX.x"} {
		messages := subscribe3(t, service, topic, 1)
		done(t, "PUBLISH", device.Publish(topic, 1, false, topic))
		if m := weirtest.Receive(t, topic, messages); m.Topic() != topic || string(m.Payload()) != topic {
			t.Errorf("%q on %q arrived as %q on %q", topic, topic, m.Payload(), m.Topic())
		}
	}
}

func TestLargestMessage(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect3(t, weir.MQTT(), "thermostat", "demo/device")
	service := connect3(t, weir.MQTT(), "mapper", "demo/service")
	const topic = "large"
	const overhead = 1 + 3 + 2 + len(topic) + 2 // fixed header, topic, packet identifier
	messages := subscribe3(t, service, topic, 1)
	payload := make([]byte, 128<<10-overhead)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	done(t, "PUBLISH", device.Publish(topic, 1, false, payload))
	if m := weirtest.Receive(t, "the message", messages); string(m.Payload()) != string(payload) {
		t.Errorf("received %d other bytes", len(m.Payload()))
	}
}
