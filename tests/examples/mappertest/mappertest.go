// Package mappertest is what every mapper in examples must do, whatever it is written in.
package mappertest

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"github.com/weirmq/weir/tests/weirtest"
)

// Mapper is a process that maps.
type Mapper interface {
	// Start starts it, for the first time or again, and returns when what devices publish from now on will be mapped.
	Start()
	// Kill ends it with SIGKILL.
	Kill()
	// Stop ends it with SIGTERM and expects exit code 0.
	Stop()
}

const (
	readings = 400 // while the mapper is killed
	killings = 3
)

// Run runs a mapper, which has not been started yet, beside a Weir with the demo tenant, and stops it.
func Run(t *testing.T, weir *weirtest.Weir, mapper Mapper) {
	t.Helper()
	one, two := Connect(t, weir, "thermostat one", "demo/device"), Connect(t, weir, "thermostat two", "demo/device")
	one.Subscribe("devices/+/down")
	two.Subscribe("devices/+/down")
	work := Connect(t, weir, "work", "demo/service")
	work.Subscribe("mapped/#")
	mapper.Start()

	for i := range 10 {
		one.Ask("one", i)
		work.expectMapped("one", "thermostat one", i)
		two.Ask("two", i)
		work.expectMapped("two", "thermostat two", i)
	}
	one.Publish("devices/one/up", "21.5", "none")
	refusal := one.next()
	var answer struct {
		Accepted bool
		Error    string
	}
	if err := json.Unmarshal(refusal.Payload, &answer); err != nil || answer.Accepted || !strings.HasPrefix(answer.Error, "the payload is not") {
		t.Fatalf("answered %q to what is no reading: %v", refusal.Payload, err)
	}

	// What the mapper was told once it was killed comes again.
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range readings {
			one.Publish("devices/one/up", reading(i), strconv.Itoa(i))
		}
	}()
	answered, mapped := map[string]int{}, map[string]int{}
	for k := range killings {
		for len(answered) < (k+1)*readings/(killings+2) {
			one.count(answered)
		}
		mapper.Kill()
		mapper.Start()
	}
	for len(answered) < readings {
		one.count(answered)
	}
	weirtest.Receive(t, "the end of publishing", notify(published))
	for len(mapped) < readings {
		m := work.next()
		mapped[string(m.Payload[:strings.Index(string(m.Payload), `"time"`)])]++
	}
	twice := 0
	for _, n := range answered {
		twice += n - 1
	}
	t.Logf("%d readings, %d killings, %d answered again", readings, killings, twice)

	// What is published while it is away waits for it.
	mapper.Stop()
	two.Publish("devices/two/up", reading(0), "while away")
	mapper.Start()
	two.expectAnswer("two", "while away")

	// Both devices have subscribed to the topics of both: an answer for the other would have come before this.
	mapper.Stop()
	for _, id := range []string{"one", "two"} {
		work.Publish("devices/"+id+"/down", "for all", "")
		for _, device := range []*Client{one, two} {
			for m := device.next(); string(m.Payload) != "for all"; m = device.next() {
				if device == two {
					t.Errorf("%s received %q on %s", device.id, m.Payload, m.Topic)
				}
			}
		}
	}
}

func reading(i int) string { return fmt.Sprintf(`{"temperature":%d.5}`, i) }

func notify(closed <-chan struct{}) <-chan bool {
	c := make(chan bool, 1)
	go func() {
		<-closed
		c <- true
	}()
	return c
}

// Client is a client of MQTT 5.
type Client struct {
	t        *testing.T
	id       string
	paho     *paho.Client
	messages chan *paho.Publish
}

// Connect returns a client that is disconnected at the end of the test.
func Connect(t *testing.T, weir *weirtest.Weir, clientID, user string) *Client {
	t.Helper()
	c := &Client{t: t, id: clientID, messages: make(chan *paho.Publish, 10*readings)}
	conn, err := net.Dial("tcp", weir.MQTT())
	if err != nil {
		t.Fatal(err)
	}
	c.paho = paho.NewClient(paho.ClientConfig{Conn: conn, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) {
			c.messages <- p.Packet
			return true, nil
		},
	}})
	if _, err = c.paho.Connect(weirtest.Context(t), &paho.Connect{
		ClientID: clientID, CleanStart: true, KeepAlive: 30, UsernameFlag: true, Username: user, PasswordFlag: true, Password: []byte("demo"),
	}); err != nil {
		t.Fatalf("CONNECT: %v", err)
	}
	t.Cleanup(func() {
		_ = c.paho.Disconnect(&paho.Disconnect{}) // Weir may be gone
		<-c.paho.Done()
	})
	return c
}

// Subscribe subscribes at QoS 1.
func (c *Client) Subscribe(filter string) {
	c.t.Helper()
	ack, err := c.paho.Subscribe(weirtest.Context(c.t), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
	if err != nil || !slices.Equal(ack.Reasons, []byte{1}) {
		c.t.Fatalf("SUBSCRIBE: %v, %+v", err, ack)
	}
}

// Publish publishes at QoS 1 and waits for the PUBACK. It may be called on another goroutine.
func (c *Client) Publish(topic, payload, correlation string) {
	p := &paho.Publish{QoS: 1, Topic: topic, Payload: []byte(payload), Properties: &paho.PublishProperties{CorrelationData: []byte(correlation)}}
	if _, err := c.paho.Publish(weirtest.Context(c.t), p); err != nil {
		c.t.Errorf("PUBLISH: %v", err)
	}
}

// Ask publishes a reading of a device and expects the answer.
func (c *Client) Ask(id string, i int) {
	c.t.Helper()
	c.Publish("devices/"+id+"/up", reading(i), strconv.Itoa(i))
	c.expectAnswer(id, strconv.Itoa(i))
}

func (c *Client) next() *paho.Publish {
	c.t.Helper()
	return weirtest.Receive(c.t, "a message for "+c.id, c.messages)
}

func (c *Client) expectAnswer(id, correlation string) {
	c.t.Helper()
	m := c.next()
	if m.Topic != "devices/"+id+"/down" || string(m.Payload) != `{"accepted":true}` || string(m.Properties.CorrelationData) != correlation {
		c.t.Fatalf("%s received %q on %s, correlation data %q", c.id, m.Payload, m.Topic, m.Properties.CorrelationData)
	}
}

// count counts the next answer under its correlation data.
func (c *Client) count(answered map[string]int) {
	c.t.Helper()
	m := c.next()
	if string(m.Payload) != `{"accepted":true}` {
		c.t.Fatalf("%s received %q", c.id, m.Payload)
	}
	answered[string(m.Properties.CorrelationData)]++
}

func (c *Client) expectMapped(id, source string, i int) {
	c.t.Helper()
	m := c.next()
	var out map[string]any
	err := json.Unmarshal(m.Payload, &out)
	if err != nil || m.Topic != "mapped/"+id || out["source"] != source || out["celsius"] != float64(i)+0.5 || out["time"] == nil {
		c.t.Fatalf("mapped %q on %s: %v", m.Payload, m.Topic, err)
	}
}
