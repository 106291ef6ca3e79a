// Package transient holds the program to the rules that store nothing, mostly with two Weirs beside one nats-server.
package transient

import (
	"strconv"
	"strings"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// live is a tenants file with these rules before one that lets live/# be transient.
func live(before ...string) string {
	return weirtest.DemoRules(append(before, `{filter: "live/#", stream: transient}`)...)
}

var versions = []codec.Version{codec.V31, codec.V311, codec.V5}

// each runs a test with every version of the protocol, with a level of its own for the topics.
func each(t *testing.T, test func(t *testing.T, v codec.Version, level string)) {
	t.Helper()
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) { test(t, v, strings.ReplaceAll(v.String(), ".", "-")) })
	}
}

// mustPublish publishes with QoS 1 and expects that it is acknowledged.
func mustPublish(t *testing.T, client *weirtest.Client, topic, payload string) {
	t.Helper()
	if ack := client.Publish(topic, payload); ack.Code >= 0x80 {
		t.Fatalf("PUBACK 0x%02X %s for %s on %s", ack.Code, ack.ReasonString, payload, topic)
	}
}

// mustReceive expects this message, and acknowledges it.
func mustReceive(t *testing.T, client *weirtest.Client, q codec.QoS, topic, payload string) {
	t.Helper()
	if m := client.Message(); m.QoS != q || string(m.Topic) != topic || string(m.Payload) != payload {
		t.Fatalf("received %q on %s with QoS %d instead of %q on %s with %d", m.Payload, m.Topic, m.QoS, payload, topic, q)
	}
}

// expectNothingStored looks through all streams for topics of the demo tenant.
func expectNothingStored(t *testing.T, js natsjs.JetStream) {
	t.Helper()
	streams := js.ListStreams(weirtest.Context(t))
	for info := range streams.Info() {
		for _, subject := range info.Config.Subjects {
			if strings.HasPrefix(subject, "mqtt.") {
				t.Errorf("stream %s stores %s: %+v", info.Config.Name, subject, info.State)
			}
		}
	}
	if err := streams.Err(); err != nil {
		t.Error(err)
	}
}

func number(n int) string { return strconv.Itoa(n) }
