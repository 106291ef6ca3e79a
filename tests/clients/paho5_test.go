package clients

import (
	"fmt"
	"net"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/tests/weirtest"
)

// client5 is a client of MQTT 5.
type client5 struct {
	*paho.Client
	connack  *paho.Connack
	messages chan *paho.Publish
}

// connect5 returns a client of MQTT 5 that is disconnected at the end of the test.
func connect5(t *testing.T, address, clientID, user string) *client5 {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &client5{messages: make(chan *paho.Publish, 1000)}
	c.Client = paho.NewClient(paho.ClientConfig{
		Conn: conn,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) {
				c.messages <- p.Packet
				return true, nil
			},
		},
	})
	c.connack, err = c.Connect(weirtest.Context(t), &paho.Connect{
		ClientID: clientID, CleanStart: true, KeepAlive: 30,
		UsernameFlag: true, Username: user, PasswordFlag: true, Password: []byte("demo"),
	})
	if err != nil {
		t.Fatalf("CONNECT: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Disconnect(&paho.Disconnect{}); err != nil {
			t.Error(err)
		}
		<-c.Done()
	})
	return c
}

func (c *client5) subscribe(t *testing.T, topic string, q byte) {
	t.Helper()
	ack, err := c.Subscribe(weirtest.Context(t), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: q}}})
	if err != nil || len(ack.Reasons) != 1 || ack.Reasons[0] != q {
		t.Fatalf("SUBSCRIBE: %v, %+v", err, ack)
	}
}

func (c *client5) publish(t *testing.T, p *paho.Publish) {
	t.Helper()
	answer, err := c.Publish(weirtest.Context(t), p)
	if err != nil {
		t.Fatalf("PUBLISH: %v, %+v", err, answer)
	}
}

func TestPahoOfMQTT5(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect5(t, weir.MQTT(), "thermostat", "demo/device")
	service := connect5(t, weir.MQTT(), "mapper", "demo/service")
	directions := []struct {
		name     string
		from, to *client5
	}{
		{"device to service", device, service},
		{"service to device", service, device},
	}
	const count = 100
	for _, d := range directions {
		for published := range byte(2) {
			for granted := range byte(2) {
				name := fmt.Sprintf("%s QoS %d as %d", d.name, published, granted)
				t.Run(name, func(t *testing.T) {
					topic := "paho/" + name
					d.to.subscribe(t, topic, granted)
					for i := range count {
						d.from.publish(t, &paho.Publish{Topic: topic, QoS: published, Payload: fmt.Append(nil, i)})
					}
					for i := range count {
						m := weirtest.Receive(t, fmt.Sprintf("message %d", i), d.to.messages)
						if string(m.Payload) != fmt.Sprint(i) || m.Topic != topic || m.QoS != min(published, granted) || m.Retain || m.Duplicate() {
							t.Fatalf("message %d is %s", i, m)
						}
					}
				})
			}
		}
	}
}

// Properties of a message reach the subscriber as they are, in their order.
// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
func TestPropertiesPassThrough(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect5(t, weir.MQTT(), "thermostat", "demo/device")
	service := connect5(t, weir.MQTT(), "mapper", "demo/service")
	tests := map[string]*paho.PublishProperties{
		"none": {},
		"all": {
			PayloadFormat:   new(byte(1)),
			ContentType:     "text/plain; charset=utf-8",
			ResponseTopic:   "answers/to me",
			CorrelationData: []byte{0, 1, 2, 0xFF, '\r', '\n'},
			User: paho.UserProperties{
				{Key: "a", Value: "1"},
				{Key: "b=c", Value: "x=y"},
				{Key: "a", Value: "2"},
				{Key: "a", Value: "1"},
				{Key: "line\r\nMqtt-User: root", Value: "100 %\r\n\r\nx"},
				{Key: "", Value: ""},
				{Key: " ü ", Value: " ° "},
			},
		},
		"format 0": {PayloadFormat: new(byte(0))},
	}
	for name, properties := range tests {
		for q := range byte(2) {
			t.Run(fmt.Sprintf("%s QoS %d", name, q), func(t *testing.T) {
				topic := fmt.Sprintf("properties/%s/%d", name, q)
				service.subscribe(t, topic, q)
				device.publish(t, &paho.Publish{Topic: topic, QoS: q, Payload: []byte("x"), Properties: properties})
				got := weirtest.Receive(t, "the message", service.messages).Properties
				if diff := cmp.Diff(properties, got, cmp.Transformer("empty", func(u paho.UserProperties) []paho.UserProperty { return append([]paho.UserProperty{}, u...) })); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// The message expiry interval that a subscriber sees is what is left of it. [MQTT-3.3.2-6]
func TestMessageExpiryCountsDown(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	device := connect5(t, weir.MQTT(), "thermostat", "demo/device")
	service := connect5(t, weir.MQTT(), "mapper", "demo/service")
	service.subscribe(t, "expiring", 1)
	device.publish(t, &paho.Publish{Topic: "expiring", QoS: 1, Properties: &paho.PublishProperties{MessageExpiry: new(uint32(100))}})
	left := weirtest.Receive(t, "the message", service.messages).Properties.MessageExpiry
	if left == nil || *left > 100 || *left < 70 {
		t.Errorf("message expiry interval is %v", left)
	}
}

// What this release does not have is said in CONNACK.
func TestConnackAnnouncesLimits(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	p := connect5(t, weir.MQTT(), "thermostat", "demo/device").connack.Properties
	if p.MaximumQoS == nil || *p.MaximumQoS != 1 {
		t.Errorf("Maximum QoS: %v", p.MaximumQoS)
	}
	if p.RetainAvailable || !p.WildcardSubAvailable || !p.SubIDAvailable || p.SharedSubAvailable {
		t.Errorf("retain %v, wildcards %v, subscription identifiers %v, shared subscriptions %v",
			p.RetainAvailable, p.WildcardSubAvailable, p.SubIDAvailable, p.SharedSubAvailable)
	}
	if p.ReceiveMaximum == nil || *p.ReceiveMaximum != 1024 {
		t.Errorf("Receive Maximum: %v", p.ReceiveMaximum)
	}
	if p.MaximumPacketSize == nil || *p.MaximumPacketSize != 128<<10 {
		t.Errorf("Maximum Packet Size: %v", p.MaximumPacketSize)
	}
}
