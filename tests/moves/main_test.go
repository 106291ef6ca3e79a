// Package moves changes the rules of topics that are in use, so that they move from one stream to another, with two Weirs beside one
// nats-server.
package moves

import (
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs a test with MQTT 3.1.1 and 5, with a level of its own for the topics.
func each(t *testing.T, test func(t *testing.T, v codec.Version, level string)) {
	t.Helper()
	for _, v := range []codec.Version{codec.V311, codec.V5} {
		t.Run(v.String(), func(t *testing.T) { test(t, v, strings.ReplaceAll(v.String(), ".", "-")) })
	}
}

func number(n int) string { return strconv.Itoa(n) }
