// Package limits runs into every limit that a tenant has, with each version of the protocol.
package limits

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var versions = []codec.Version{codec.V31, codec.V311, codec.V5}

// start is a Weir with these quotas for the tenant demo.
func start(t *testing.T, quotas string, env ...string) *weirtest.Weir {
	t.Helper()
	return weirtest.Start(t, weirtest.Options{Tenants: weirtest.DemoTenants + "    quotas: {" + quotas + "}\n", Env: env})
}

// login is a device of the demo tenant.
func login(t *testing.T, weir *weirtest.Weir, v codec.Version, clientID string) *weirtest.Client {
	t.Helper()
	return weirtest.Login(t, weir.MQTT(), v, clientID, "demo/device", "demo")
}

// expectRefused sends a PUBLISH with QoS 1 that must be refused for this reason: a PUBACK 0x97 that says it in MQTT 5, where
// the connection stays; the end of the connection in 3.x.
func expectRefused(t *testing.T, client *weirtest.Client, topic, payload, code string) {
	t.Helper()
	client.Send(&codec.Publish{QoS: 1, PacketID: 9, Topic: []byte(topic), Payload: []byte(payload)})
	if client.Version != codec.V5 {
		client.ExpectClosed()
		return
	}
	ack := weirtest.Expect[*codec.Ack](client)
	if ack.Kind != codec.PUBACK || ack.PacketID != 9 || ack.Code != codec.QuotaExceeded || !strings.HasPrefix(ack.ReasonString, code+": ") {
		t.Errorf("%+v instead of a PUBACK for %s", ack, code)
	}
	client.Send(&codec.Pingreq{})
	weirtest.Expect[*codec.Pingresp](client)
}

// entry is a message of the error topic.
type entry struct {
	Time     time.Time `json:"time"`
	ClientID string    `json:"clientId"`
	Code     string    `json:"code"`
	Message  string    `json:"message"`
	Packet   string    `json:"packet"`
	Topic    string    `json:"topic"`
	PacketID int       `json:"packetId"`
}

// expectEntry reads the next message of the error topic from a client that has subscribed to it.
func expectEntry(t *testing.T, client *weirtest.Client, want entry) {
	t.Helper()
	m := client.Message()
	if string(m.Topic) != "$debug/$error" {
		t.Fatalf("received %q on %q", m.Payload, m.Topic)
	}
	var got entry
	if err := json.Unmarshal(m.Payload, &got); err != nil {
		t.Fatalf("%q: %v", m.Payload, err)
	}
	if age := time.Since(got.Time); age < -time.Second || age > time.Minute || got.Message == "" {
		t.Errorf("entry %s", m.Payload)
	}
	want.Time, want.Message = got.Time, got.Message
	if got != want {
		t.Errorf("entry %s\ninstead of %+v", m.Payload, want)
	}
}

// expectReported looks for the refusal of a PUBLISH with QoS 1 on the error topic, of the connection before this one in 3.x.
func expectReported(t *testing.T, weir *weirtest.Weir, v codec.Version, clientID, topic, code string) {
	t.Helper()
	client := login(t, weir, v, clientID)
	client.Subscribe("$debug/$error", 1)
	expectEntry(t, client, entry{ClientID: clientID, Code: code, Packet: "PUBLISH", Topic: topic, PacketID: 9})
}

// each runs a test with every version of the protocol, with a name that serves as topic and client identifier, too.
func each(t *testing.T, test func(t *testing.T, v codec.Version, name string)) {
	t.Helper()
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) { test(t, v, "with "+v.String()) })
	}
}

// take takes one message from a native consumer and acknowledges it.
func take(t *testing.T, c natsjs.Consumer) string {
	t.Helper()
	m, err := c.Next(natsjs.FetchMaxWait(weirtest.Patience))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(weirtest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return string(m.Data())
}

func number(n int) string { return fmt.Sprint(n) }
