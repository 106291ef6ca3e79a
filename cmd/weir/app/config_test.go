package app

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// environment makes the WEIR_ variables exactly these for the test.
func environment(t *testing.T, variables map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, variablePrefix) {
			t.Setenv(name, "") // restored at the end
			must(t, os.Unsetenv(name))
		}
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

var defaults = Config{
	DataDir:   "weir-data",
	NATSAddr:  "127.0.0.1:4222",
	Sync:      "interval",
	Replicas:  1,
	MQTTAddr:  "127.0.0.1:1883",
	MQTTSAddr: "off",
	HTTPAddr:  "127.0.0.1:8083",
	HTTPSAddr: "off",
	AdminAddr: "127.0.0.1:9600",
	TopicIdle: time.Hour,
	LogLevel:  "info",
}

func TestLoadConfigDefaults(t *testing.T) {
	environment(t, nil)
	got, err := LoadConfig()
	must(t, err)
	if diff := cmp.Diff(defaults, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadConfigTakesEmptyForNotSet(t *testing.T) {
	empty := map[string]string{}
	for f := range variables() {
		empty[f.Tag.Get("envconfig")] = ""
	}
	environment(t, empty)
	got, err := LoadConfig()
	must(t, err)
	if diff := cmp.Diff(defaults, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadConfigTakesOnlyItsOwnVariables(t *testing.T) {
	environment(t, nil)
	t.Setenv("NATS_URL", "nats://elsewhere:4222")
	t.Setenv("MQTT_ADDR", "0.0.0.0:1")
	got, err := LoadConfig()
	must(t, err)
	if diff := cmp.Diff(defaults, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadConfigEverything(t *testing.T) {
	creds := filepath.Join(t.TempDir(), "creds")
	write(t, creds, "")
	environment(t, map[string]string{
		"WEIR_NATS_URL": "nats://a:4222, tls://user:secret@b", "WEIR_NATS_CREDS": creds, "WEIR_DATA_DIR": "/d",
		"WEIR_NATS_ADDR": "off", "WEIR_SYNC": "always", "WEIR_REPLICAS": "3", "WEIR_MQTT_ADDR": ":1883",
		"WEIR_MQTTS_ADDR": "[::1]:8883", "WEIR_HTTP_ADDR": "off", "WEIR_HTTPS_ADDR": "example.com:443",
		"WEIR_ADMIN_ADDR": "localhost:0", "WEIR_TLS_CERT": "c", "WEIR_TLS_KEY": "k", "WEIR_TENANTS_FILE": "t",
		"WEIR_TOPIC_IDLE": "90s", "WEIR_LOG_LEVEL": "debug", "WEIR_LOG_FORMAT": "console", "WEIR_DEMO": "true",
	})
	got, err := LoadConfig()
	must(t, err)
	want := Config{
		NATSURL: "nats://a:4222, tls://user:secret@b", NATSCreds: creds, DataDir: "/d", NATSAddr: "off", Sync: "always",
		Replicas: 3, MQTTAddr: ":1883", MQTTSAddr: "[::1]:8883", HTTPAddr: "off", HTTPSAddr: "example.com:443",
		AdminAddr: "localhost:0", TLSCert: "c", TLSKey: "k", TenantsFile: "t", TopicIdle: 90 * time.Second,
		LogLevel: "debug", LogFormat: "console", Demo: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadConfigErrors(t *testing.T) {
	const external = "nats://127.0.0.1"
	for _, x := range []struct {
		environment map[string]string
		variable    string
		text        string
	}{
		{map[string]string{"WEIR_MQTT_PORT": "1883"}, "WEIR_MQTT_PORT", "there is no such variable"},
		{map[string]string{"WEIR_X": ""}, "WEIR_X", "there is no such variable"},
		{map[string]string{"WEIR_REPLICAS": "many"}, "WEIR_REPLICAS", `"many" is not a whole number`},
		{map[string]string{"WEIR_REPLICAS": "0"}, "WEIR_REPLICAS", "0 is not between 1 and 5"},
		{map[string]string{"WEIR_REPLICAS": "6", "WEIR_NATS_URL": external}, "WEIR_REPLICAS", "6 is not between 1 and 5"},
		{map[string]string{"WEIR_REPLICAS": "3"}, "WEIR_REPLICAS", "embedded server is a single one"},
		{map[string]string{"WEIR_DEMO": "perhaps"}, "WEIR_DEMO", `"perhaps" is not true or false`},
		{map[string]string{"WEIR_TOPIC_IDLE": "1"}, "WEIR_TOPIC_IDLE", `"1" is not a duration such as 90s or 1h`},
		{map[string]string{"WEIR_TOPIC_IDLE": "0s"}, "WEIR_TOPIC_IDLE", "0s is shorter than 1s"},
		{map[string]string{"WEIR_SYNC": "never"}, "WEIR_SYNC", `"never" is not interval or always`},
		{map[string]string{"WEIR_NATS_CREDS": "x"}, "WEIR_NATS_CREDS", "has no meaning without WEIR_NATS_URL"},
		{map[string]string{"WEIR_NATS_CREDS": "/missing/x", "WEIR_NATS_URL": external}, "WEIR_NATS_CREDS", "no such file"},
		{map[string]string{"WEIR_NATS_URL": external + ",http://x"}, "WEIR_NATS_URL", "URL 2: the scheme must be"},
		{map[string]string{"WEIR_NATS_URL": "nats://u:secret@:4222"}, "WEIR_NATS_URL", "URL 1: must be of the form"},
		{map[string]string{"WEIR_NATS_URL": external + ","}, "WEIR_NATS_URL", "URL 2: must be of the form"},
		{map[string]string{"WEIR_MQTT_ADDR": "1883"}, "WEIR_MQTT_ADDR", `"1883" is not host:port or off`},
		{map[string]string{"WEIR_MQTT_ADDR": "a:b\nc"}, "WEIR_MQTT_ADDR", `"b\nc" is not a port number`},
		{map[string]string{"WEIR_HTTP_ADDR": "localhost:70000"}, "WEIR_HTTP_ADDR", `"70000" is not a port number`},
		{map[string]string{"WEIR_ADMIN_ADDR": "x"}, "WEIR_ADMIN_ADDR", "is not host:port or off"},
		{map[string]string{"WEIR_NATS_ADDR": "x"}, "WEIR_NATS_ADDR", "is not host:port or off"},
		{map[string]string{"WEIR_MQTTS_ADDR": ":8883"}, "WEIR_MQTTS_ADDR", "needs WEIR_TLS_CERT and WEIR_TLS_KEY"},
		{map[string]string{"WEIR_HTTPS_ADDR": ":443"}, "WEIR_HTTPS_ADDR", "needs WEIR_TLS_CERT and WEIR_TLS_KEY"},
		{map[string]string{"WEIR_TLS_CERT": "x"}, "WEIR_TLS_KEY", "is missing beside WEIR_TLS_CERT"},
		{map[string]string{"WEIR_TLS_KEY": "x"}, "WEIR_TLS_CERT", "is missing beside WEIR_TLS_KEY"},
		{map[string]string{"WEIR_LOG_LEVEL": "loud"}, "WEIR_LOG_LEVEL", `"loud" is not debug, info, warn or error`},
		{map[string]string{"WEIR_LOG_FORMAT": "xml"}, "WEIR_LOG_FORMAT", `"xml" is not json or console`},
	} {
		t.Run(x.variable, func(t *testing.T) {
			environment(t, x.environment)
			_, err := LoadConfig()
			var bad *ConfigError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want a *ConfigError", err)
			}
			line := err.Error()
			if bad.Variable != x.variable || !strings.HasPrefix(line, x.variable+": ") || !strings.Contains(line, x.text) {
				t.Errorf("got %q, want %s and %q", line, x.variable, x.text)
			}
			if strings.Contains(line, "\n") || strings.Contains(line, "secret") {
				t.Errorf("%q is not one line without secrets", line)
			}
		})
	}
}

func TestBeyondLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"off": false, "127.0.0.1:1": false, "127.8.8.8:1": false, "[::1]:1": false, "localhost:1": false, "[::ffff:127.0.0.1]:1": false,
		":1": true, "0.0.0.0:1": true, "[::]:1": true, "10.0.0.1:1": true, "example.com:1": true,
	} {
		c := defaults
		c.AdminAddr = address
		if got := c.beyondLoopback() == "WEIR_ADMIN_ADDR"; got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	c := defaults
	c.NATSAddr = ":4222"
	if c.beyondLoopback() != "WEIR_NATS_ADDR" {
		t.Error("WEIR_NATS_ADDR counts with an embedded server")
	}
	c.NATSURL = "nats://x"
	if c.beyondLoopback() != "" {
		t.Error("WEIR_NATS_ADDR does not count without an embedded server")
	}
}

// The README's table has every variable in order, with its default.
func TestReadmeListsTheVariables(t *testing.T) {
	page, err := os.ReadFile("../../../README.md")
	must(t, err)
	type row struct{ Variable, Default string }
	var want, got []row
	for f := range variables() {
		want = append(want, row{f.Tag.Get("envconfig"), f.Tag.Get("default")})
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(WEIR_[A-Z_]+)` \\| (?:`([^`]*)` )?\\|").FindAllSubmatch(page, -1) {
		got = append(got, row{string(match[1]), string(match[2])})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Config (-) and README.md (+):\n%s", diff)
	}
}
