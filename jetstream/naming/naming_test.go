package naming

import (
	"net/url"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	const hash = "ca978112ca1bbdcafac231b39a23dc4d" // of "a"
	if got, want := Stream("acme", "a", 7), "MQTT_acme_t_"+hash+"_7"; got != want {
		t.Errorf("Stream = %q, want %q", got, want)
	}
	if got, want := SharedStream("acme", "telemetry"), "MQTT_acme_s_telemetry"; got != want {
		t.Errorf("SharedStream = %q, want %q", got, want)
	}
	if got, want := InternalStream("acme", "register"), "MQTT_acme_x_register"; got != want {
		t.Errorf("InternalStream = %q, want %q", got, want)
	}
}

func TestLevel(t *testing.T) {
	for s, want := range map[string]string{
		"":            "%",
		"thermostat":  "thermostat",
		"a/b+c#d.e f": "a%2Fb%2Bc%23d%2Ee%20f",
		"$x":          "$x",
		"%":           "%25",
		"%2F":         "%252F",
	} {
		if got := Level(s); got != want {
			t.Errorf("Level(%q) = %q, want %q", s, got, want)
		}
	}
}

// No two strings have the same level.
func FuzzLevel(f *testing.F) {
	f.Add("")
	f.Add("a/b %+#")
	f.Fuzz(func(t *testing.T, s string) {
		level := Level(s)
		if level == "" || strings.ContainsAny(level, "./+#*> \t\r\n") {
			t.Fatalf("Level(%q) = %q", s, level)
		}
		if level == "%" {
			level = ""
		}
		if got, err := url.PathUnescape(level); err != nil || got != s {
			t.Fatalf("Level(%q) is %q, which is %q, %v", s, level, got, err)
		}
	})
}
