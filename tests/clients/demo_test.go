package clients

import (
	"strings"
	"testing"

	"github.com/weirmq/weir/tests/weirtest"
)

// Without configuration Weir prints four lines that tell a newcomer how to publish and subscribe, and they are true.
func TestDemoStartPrintsWhatToDo(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	lines := spoken(weir.Said())
	if len(lines) != 4 {
		t.Errorf("%d lines instead of 4", len(lines))
	}
	said := strings.Join(lines, "\n")
	_, port, _ := strings.Cut(weir.MQTT(), ":")
	for _, want := range []string{"mosquitto_pub", "mosquitto_sub", port, "demo/device", "demo/service"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
}

// spoken returns the lines that are not of the log.
func spoken(said string) (lines []string) {
	for line := range strings.SplitSeq(strings.TrimSpace(said), "\n") {
		if line != "" && !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	return lines
}

// The demo tenant is for a machine alone.
func TestDemoTenantStaysOnLoopback(t *testing.T) {
	for _, variable := range []string{"WEIR_MQTT_ADDR", "WEIR_ADMIN_ADDR", "WEIR_NATS_ADDR"} {
		t.Run(variable, func(t *testing.T) {
			code, said := weirtest.Fail(t, variable+"=0.0.0.0:0")
			if code != 2 || !strings.Contains(said, variable) || len(spoken(said)) != 1 {
				t.Errorf("exit code %d:\n%s", code, said)
			}
		})
	}
}
