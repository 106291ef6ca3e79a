package tls

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// What Weir does not start with: exit code 2, and one line that names the variable.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	one, other := newIdentity(t, 1), newIdentity(t, 2)
	good := newFiles(t, one)
	mixed := newFiles(t, one)
	replace(t, mixed.key, other.key)
	missing := filepath.Join(t.TempDir(), "missing")
	badTenants := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(badTenants, []byte("tenants:\n  acme:\n    user: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, one := range map[string]struct {
		env  []string // besides addresses that work
		says []string // the first one is the variable
	}{
		"unknown variable":         {[]string{"WEIR_MQTT_PORT=x"}, []string{"WEIR_MQTT_PORT"}},
		"unknown, empty variable":  {[]string{"WEIR_NOTHING="}, []string{"WEIR_NOTHING"}},
		"address without port":     {[]string{"WEIR_MQTT_ADDR=127.0.0.1"}, []string{"WEIR_MQTT_ADDR", "127.0.0.1"}},
		"bad port":                 {[]string{"WEIR_ADMIN_ADDR=127.0.0.1:70000"}, []string{"WEIR_ADMIN_ADDR", "70000"}},
		"MQTT beyond loopback":     {[]string{"WEIR_MQTT_ADDR=0.0.0.0:0"}, []string{"WEIR_MQTT_ADDR", "demo"}},
		"MQTT without a host":      {[]string{"WEIR_MQTT_ADDR=:0"}, []string{"WEIR_MQTT_ADDR", "demo"}},
		"IPv6 beyond loopback":     {[]string{"WEIR_MQTT_ADDR=[::]:0"}, []string{"WEIR_MQTT_ADDR", "demo"}},
		"NATS beyond loopback":     {[]string{"WEIR_NATS_ADDR=0.0.0.0:0"}, []string{"WEIR_NATS_ADDR", "demo"}},
		"admin beyond loopback":    {[]string{"WEIR_ADMIN_ADDR=0.0.0.0:0"}, []string{"WEIR_ADMIN_ADDR", "demo"}},
		"HTTP beyond loopback":     {[]string{"WEIR_HTTP_ADDR=0.0.0.0:0"}, []string{"WEIR_HTTP_ADDR", "demo"}},
		"demo is not a bool":       {[]string{"WEIR_DEMO=perhaps"}, []string{"WEIR_DEMO", "perhaps"}},
		"MQTTS without files":      {[]string{"WEIR_MQTTS_ADDR=127.0.0.1:0"}, []string{"WEIR_MQTTS_ADDR", "WEIR_TLS_CERT"}},
		"certificate without key":  {[]string{"WEIR_TLS_CERT=" + good.cert}, []string{"WEIR_TLS_KEY"}},
		"key without certificate":  {[]string{"WEIR_TLS_KEY=" + good.key}, []string{"WEIR_TLS_CERT"}},
		"missing certificate":      {[]string{"WEIR_MQTTS_ADDR=127.0.0.1:0", "WEIR_TLS_CERT=" + missing, "WEIR_TLS_KEY=" + good.key}, []string{"WEIR_TLS_CERT", missing}},
		"key of another":           {[]string{"WEIR_MQTTS_ADDR=127.0.0.1:0", "WEIR_TLS_CERT=" + mixed.cert, "WEIR_TLS_KEY=" + mixed.key}, []string{"WEIR_TLS_"}},
		"missing tenants file":     {[]string{"WEIR_TENANTS_FILE=" + missing}, []string{"WEIR_TENANTS_FILE", missing}},
		"bad tenants file":         {[]string{"WEIR_TENANTS_FILE=" + badTenants}, []string{"WEIR_TENANTS_FILE", "line 3:"}},
		"replicas":                 {[]string{"WEIR_REPLICAS=3"}, []string{"WEIR_REPLICAS"}},
		"replicas are no number":   {[]string{"WEIR_REPLICAS=many"}, []string{"WEIR_REPLICAS", "many"}},
		"sync":                     {[]string{"WEIR_SYNC=never"}, []string{"WEIR_SYNC", "never"}},
		"topic idle":               {[]string{"WEIR_TOPIC_IDLE=soon"}, []string{"WEIR_TOPIC_IDLE", "soon"}},
		"log level":                {[]string{"WEIR_LOG_LEVEL=loud"}, []string{"WEIR_LOG_LEVEL", "loud"}},
		"log format":               {[]string{"WEIR_LOG_FORMAT=xml"}, []string{"WEIR_LOG_FORMAT", "xml"}},
		"NATS URL":                 {[]string{"WEIR_NATS_URL=http://user:geheim@127.0.0.1:4222"}, []string{"WEIR_NATS_URL"}},
		"missing NATS credentials": {[]string{"WEIR_NATS_URL=nats://127.0.0.1:4222", "WEIR_NATS_CREDS=" + missing}, []string{"WEIR_NATS_CREDS", missing}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			env := append([]string{
				"WEIR_MQTT_ADDR=127.0.0.1:0", "WEIR_NATS_ADDR=127.0.0.1:0", "WEIR_ADMIN_ADDR=127.0.0.1:0", "WEIR_HTTP_ADDR=off", "WEIR_LOG_LEVEL=error",
			}, one.env...) // of two with one name the last one counts
			code, said := weirtest.RunToEnd(t, env...)
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			line := strings.TrimSuffix(said, "\n")
			if strings.Contains(line, "\n") || line == "" {
				t.Errorf("it says more, or less, than one line: %q", said)
			}
			for _, word := range one.says {
				if !strings.Contains(line, word) {
					t.Errorf("%q does not name %q", line, word)
				}
			}
			if strings.Contains(said, "geheim") {
				t.Errorf("%q shows a password", said)
			}
		})
	}
}

// An empty variable counts as one that is not set.
func TestEmptyVariables(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{Env: []string{"WEIR_MQTTS_ADDR=", "WEIR_TLS_CERT=", "WEIR_TLS_KEY=", "WEIR_LOG_LEVEL=", "WEIR_DEMO="}})
	weirtest.Login(t, w.MQTT(), codec.V5, "empty", "demo/device", "demo")
}

// With WEIR_DEMO=true, or without the demo tenant, Weir listens wherever it is told to.
func TestBeyondLoopback(t *testing.T) {
	t.Parallel()
	for what, o := range map[string]weirtest.Options{
		"demo":            {Env: []string{"WEIR_DEMO=true", "WEIR_MQTTS_ADDR=off"}},
		"no demo tenant":  {Tenants: acme("password: one, role: device")},
		"demo is stopped": {Tenants: acme("password: one, role: device"), Env: []string{"WEIR_DEMO=false"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFiles(t, newIdentity(t, 1))
			o.Env = append(o.Env, "WEIR_TLS_CERT="+f.cert, "WEIR_TLS_KEY="+f.key, "WEIR_MQTTS_ADDR=0.0.0.0:0")
			w := weirtest.Start(t, o)
			user, password := "demo/device", "demo"
			if o.Tenants != "" {
				user, password = "acme/changing", "one"
			}
			weirtest.Login(t, w.MQTT(), codec.V5, "beyond", user, password)
		})
	}
}

// The demo tenant goes when a tenants file is given, also from a store that has it.
func TestDemoTenantGoesWithAFile(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	w := weirtest.Start(t, weirtest.Options{Env: []string{"WEIR_DATA_DIR=" + data}})
	if got := code(t, w, "demo/device", "demo"); got != 0 {
		t.Errorf("CONNACK 0x%02X", got)
	}
	w.Stop()
	// It is in the store now, so that a Weir that would be reachable does not start, even without creating it.
	status, said := weirtest.RunToEnd(t, "WEIR_DATA_DIR="+data, "WEIR_MQTT_ADDR=0.0.0.0:0", "WEIR_NATS_ADDR=off", "WEIR_ADMIN_ADDR=off", "WEIR_HTTP_ADDR=off", "WEIR_LOG_LEVEL=error")
	if status != 2 || !strings.Contains(said, "WEIR_MQTT_ADDR") {
		t.Errorf("exit code %d: %s", status, said)
	}
	w = weirtest.Start(t, weirtest.Options{Tenants: acme("password: one, role: device"), Env: []string{"WEIR_DATA_DIR=" + data}})
	if got := code(t, w, "demo/device", "demo"); got != codec.BadUserNameOrPassword {
		t.Errorf("the demo tenant is answered with 0x%02X", got)
	}
	if got := code(t, w, "acme/changing", "one"); got != 0 {
		t.Errorf("CONNACK 0x%02X", got)
	}
}
