// Package rules holds the program to the topic rules of its tenants file.
package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inForce is how soon a change of the tenants file must be in force.
const inForce = 2 * time.Second

func start(t *testing.T, rules ...string) *weirtest.Weir {
	t.Helper()
	return weirtest.Start(t, weirtest.Options{Tenants: weirtest.DemoRules(rules...)})
}

// each runs a test with MQTT 3.1.1 and 5, with a level of its own for the topics.
func each(t *testing.T, test func(t *testing.T, v codec.Version, level string)) {
	t.Helper()
	for _, v := range []codec.Version{codec.V311, codec.V5} {
		t.Run(v.String(), func(t *testing.T) { test(t, v, strings.ReplaceAll(v.String(), ".", "-")) })
	}
}

func number(n int) string { return fmt.Sprint(n) }
