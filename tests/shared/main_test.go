// Package shared holds the program to the rules that put all their topics into one stream, mostly with two Weirs beside one
// nats-server.
package shared

import (
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs a test with MQTT 3.1.1 and 5, with a level of its own for the topics.
func each(t *testing.T, test func(t *testing.T, v codec.Version, level string)) {
	t.Helper()
	for _, v := range []codec.Version{codec.V311, codec.V5} {
		t.Run(v.String(), func(t *testing.T) { test(t, v, strings.ReplaceAll(v.String(), ".", "-")) })
	}
}

// mustReceive expects this message, and acknowledges it.
func mustReceive(t *testing.T, client *weirtest.Client, topic, payload string) {
	t.Helper()
	if m := client.Message(); string(m.Topic) != topic || string(m.Payload) != payload {
		t.Fatalf("received %q on %s instead of %q on %s", m.Payload, m.Topic, payload, topic)
	}
}

func number(n int) string { return strconv.Itoa(n) }

// numberOf is the number that a message is.
func numberOf(t *testing.T, m *codec.Publish) int {
	t.Helper()
	n, err := strconv.Atoi(string(m.Payload))
	if err != nil {
		t.Fatalf("received %q on %s", m.Payload, m.Topic)
	}
	return n
}
