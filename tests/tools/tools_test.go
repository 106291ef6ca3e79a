// Package tools uses the operator's subcommands beside a running Weir.
package tools

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tenants = `
tenants:
  acme:
    users:
      device: {password: one, role: device}
      mapper: {password: one, role: application}
    topics:
      - {filter: "live/#", stream: dedicated, when_full: discard_oldest}
      - {filter: "telemetry/#", stream: shared, name: telemetry, backlog_messages: 1000, backlog_bytes: 10485760, topics: 100}
  other:
    users:
      device: {password: two, role: device}
`

// each runs a test with an embedded server and as a sidecar.
func each(t *testing.T, test func(t *testing.T, weir *weirtest.Weir)) {
	t.Run("embedded", func(t *testing.T) { test(t, weirtest.Start(t, weirtest.Options{Tenants: tenants})) })
	t.Run("sidecar", func(t *testing.T) {
		test(t, weirtest.Start(t, weirtest.Options{Tenants: tenants, External: weirtest.StartNATS(t)}))
	})
}

// stored leaves four messages of five in acme's backlog, held by a native service, and an empty topic of the other tenant.
func stored(t *testing.T, weir *weirtest.Weir) {
	t.Helper()
	nc := weirtest.Connect(t, weir.NATS(), nats.UserInfo("acme/mapper", "one"))
	averages := weirtest.Durable(t, nc, "acme", "sensors/room 1", "averages")
	device := weirtest.Login(t, weir.MQTT(), codec.V5, "thermometer", "acme/device", "one")
	for range 5 {
		if ack := device.Publish("sensors/room 1", "21.5"); ack.Code != codec.Success {
			t.Fatalf("%+v", ack)
		}
	}
	m, err := averages.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(weirtest.Context(t)); err != nil {
		t.Fatal(err)
	}
	reader := weirtest.Login(t, weir.MQTT(), codec.V5, "reader", "other/device", "two")
	reader.Subscribe("alarms", 1)
}

// telemetry leaves three messages of one topic and one of another in acme's shared rule, held by a native service.
func telemetry(t *testing.T, weir *weirtest.Weir) {
	t.Helper()
	nc := weirtest.Connect(t, weir.NATS(), nats.UserInfo("acme/mapper", "one"))
	if _, err := nc.RequestWithContext(weirtest.Context(t), "weir.topic.ensure.acme", []byte("telemetry/7")); err != nil {
		t.Fatal(err)
	}
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateOrUpdateConsumer(weirtest.Context(t), "MQTT_acme_s_telemetry", natsjs.ConsumerConfig{
		Durable: "averages", FilterSubject: "mqtt.acme.telemetry.>", AckPolicy: natsjs.AckExplicitPolicy, DeliverPolicy: natsjs.DeliverNewPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	device := weirtest.Login(t, weir.MQTT(), codec.V5, "thermometer", "acme/device", "one")
	for _, topic := range []string{"telemetry/7", "telemetry/room 1", "telemetry/7", "telemetry/7"} {
		if ack := device.Publish(topic, "21.5"); ack.Code != codec.Success {
			t.Fatalf("%+v", ack)
		}
	}
}

// The topics of a shared rule are shown and purged each for itself.
func TestSharedTopics(t *testing.T) {
	each(t, func(t *testing.T, weir *weirtest.Weir) {
		telemetry(t, weir)
		expect(t, ask(t, weir, "ls"), "shared-ls.txt")
		expect(t, ask(t, weir, "ls", "--json", "telemetry/+"), "shared-ls.json")
		expect(t, ask(t, weir, "show", "acme", "telemetry/7"), "shared-show.txt")
		expect(t, ask(t, weir, "show", "--json", "acme", "telemetry/room 1"), "shared-show.json")
		a := weir.Tool(nil, "topics", "ls", "--limit", "1")
		if want := "1 more topics of shared rules, with fewer messages, are not shown: use a filter, or --limit\n"; a.Code != 0 || a.Stderr != want ||
			!strings.Contains(a.Stdout, "telemetry/7") || strings.Contains(a.Stdout, "room 1") {
			t.Errorf("%+v", a)
		}
		if got := ask(t, weir, "purge", "--yes", "acme", "telemetry/7"); got != "3 messages deleted\n" {
			t.Error(got)
		}
		expect(t, ask(t, weir, "purge", "--yes", "--json", "acme", "telemetry/7"), "shared-purge.json")
		if got := ask(t, weir, "ls"); !strings.Contains(got, "room 1") || strings.Contains(got, "telemetry/7") {
			t.Error(got)
		}
		fail(t, weir, 2, "--limit: -1 is less than 0", nil, "ls", "--limit", "-1")
	})
}

// ask runs weir topics and expects it to succeed in silence.
func ask(t *testing.T, weir *weirtest.Weir, args ...string) string {
	t.Helper()
	a := weir.Tool(nil, append([]string{"topics"}, args...)...)
	if a.Code != 0 || a.Stderr != "" {
		t.Fatalf("%v: exit code %d, %s", args, a.Code, a.Stderr)
	}
	return a.Stdout
}

// fail runs weir topics and expects it to fail with one line that contains this, and nothing else.
func fail(t *testing.T, weir *weirtest.Weir, code int, says string, env []string, args ...string) {
	t.Helper()
	a := weir.Tool(env, append([]string{"topics"}, args...)...)
	if a.Code != code || a.Stdout != "" || !strings.HasPrefix(a.Stderr, "weir: ") || !strings.Contains(a.Stderr, says) ||
		strings.Count(a.Stderr, "\n") != 1 {
		t.Errorf("%v: exit code %d, %q, %q instead of %d, %q", args, a.Code, a.Stdout, a.Stderr, code, says)
	}
}

// steady replaces what differs from run to run.
func steady(text string) string {
	for _, x := range []struct{ pattern, by string }{
		{`[ 0-9][0-9]s\b`, " 0s"},
		{`"20[0-9T:.-]+Z"`, `"TIME"`},
		{`20[0-9T:-]+Z`, "TIME"},
		{`_[0-9]+"`, `_N"`},
		{`(_t_[0-9a-f]{32}|dedicated [0-9a-f]{8})_[0-9]+`, "${1}_N"},
		{`b_[a-z0-9]{16}`, "b_BRIDGE"},
		{`"bridge": "[a-z0-9]{16}"`, `"bridge": "BRIDGE"`},
	} {
		text = regexp.MustCompile(x.pattern).ReplaceAllString(text, x.by)
	}
	return text
}

// expect compares with a file of testdata.
func expect(t *testing.T, got, file string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), steady(got)); diff != "" {
		t.Errorf("%s: %s\n%s", file, diff, got)
	}
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, weir *weirtest.Weir) {
		stored(t, weir)
		expect(t, ask(t, weir, "ls"), "ls.txt")
		expect(t, ask(t, weir, "ls", "--json", "--tenant", "acme", "sensors/#"), "ls.json")
		for _, args := range [][]string{{"--tenant", "other", "sensors/#"}, {"live/#"}} {
			if got := ask(t, weir, append([]string{"ls", "--json"}, args...)...); got != "[]\n" {
				t.Errorf("%v: %s", args, got)
			}
		}
	})
}

func TestShow(t *testing.T) {
	each(t, func(t *testing.T, weir *weirtest.Weir) {
		stored(t, weir)
		expect(t, ask(t, weir, "show", "acme", "sensors/room 1"), "show.txt")
		expect(t, ask(t, weir, "show", "--json", "other", "alarms"), "show.json")
	})
}

// A session that does not acknowledge is seen as who holds the backlog, not the bridge that serves the others.
func TestWhoHoldsTheBacklog(t *testing.T) {
	const messages = 400
	weir := weirtest.Start(t, weirtest.Options{Tenants: tenants})
	login := func(clientID string) *weirtest.Client {
		return weirtest.Login(t, weir.MQTT(), codec.V5, clientID, "acme/device", "one")
	}
	login("stuck").Subscribe("busy", 1)
	reader, device := login("reader"), login("device")
	reader.Subscribe("busy", 1)
	for range messages {
		device.Publish("busy", "x")
		reader.Message()
	}
	var d struct {
		Messages, Lag   uint64
		ConsumerDetails []struct {
			Kind, Bridge   string
			Pending        uint64
			Unacknowledged uint64
			HoldsOldest    bool `json:"holds_oldest"`
		} `json:"consumer_details"`
	}
	weirtest.Until(t, "the stuck session is told from the others", func() bool {
		if err := json.Unmarshal([]byte(ask(t, weir, "show", "--json", "acme", "busy")), &d); err != nil {
			t.Fatal(err)
		}
		return len(d.ConsumerDetails) == 2 && d.ConsumerDetails[1].Pending+d.ConsumerDetails[1].Unacknowledged == 0
	})
	own, shared := d.ConsumerDetails[0], d.ConsumerDetails[1]
	if own.Kind != "bridge_own" || !own.HoldsOldest || own.Pending+own.Unacknowledged != messages ||
		shared.Kind != "bridge_shared" || shared.HoldsOldest || shared.Bridge != own.Bridge || d.Messages != messages || d.Lag != messages {
		t.Errorf("%+v", d)
	}
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, weir *weirtest.Weir) {
		stored(t, weir)
		fail(t, weir, 1, "there is no terminal to ask on, and no --yes", nil, "purge", "acme", "sensors/room 1")
		if got := ask(t, weir, "purge", "--yes", "acme", "sensors/room 1"); got != "4 messages deleted\n" {
			t.Error(got)
		}
		expect(t, ask(t, weir, "purge", "--yes", "--json", "acme", "sensors/room 1"), "purge.json")
		fail(t, weir, 1, `tenant acme has no stored topic "x"`, nil, "purge", "--yes", "acme", "x")
		// Devices and services go on.
		stored(t, weir)
	})
}

// What does not exist, or cannot be reached, is one line that says so.
func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, weir *weirtest.Weir) {
		stored(t, weir)
		fail(t, weir, 1, `tenant acme has no stored topic "x"`, nil, "show", "acme", "x")
		fail(t, weir, 1, `there is no tenant "nobody"`, nil, "show", "nobody", "x")
		fail(t, weir, 1, `there is no tenant "nobody"`, nil, "ls", "--tenant", "nobody")
		fail(t, weir, 2, "WEIR_FLOW: there is no such variable", []string{"WEIR_FLOW=1"}, "ls")
	})
	t.Run("no access", func(t *testing.T) {
		weir := weirtest.Start(t, weirtest.Options{Tenants: tenants})
		address := strings.TrimPrefix(weir.NATS(), "nats://")
		fail(t, weir, 1, "holds no credential", []string{"WEIR_DATA_DIR=" + t.TempDir()}, "ls")
		dir := t.TempDir()
		secret := filepath.Join(dir, "bridge.secret")
		if err := os.WriteFile(secret, []byte("not the one that the server has\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		fail(t, weir, 1, "refuses its credential", []string{"WEIR_DATA_DIR=" + dir}, "ls")
		if err := os.Chmod(secret, 0o644); err != nil {
			t.Fatal(err)
		}
		fail(t, weir, 1, "may have been read by others", []string{"WEIR_DATA_DIR=" + dir}, "ls")
		fail(t, weir, 2, "WEIR_NATS_ADDR: is off", []string{"WEIR_NATS_ADDR=off"}, "ls")
		weir.Stop()
		fail(t, weir, 1, "no running Weir at "+address, nil, "ls")
		fail(t, weir, 1, "NATS at WEIR_NATS_URL: no NATS server answers", []string{"WEIR_NATS_URL=" + weir.NATS()}, "ls")
	})
}
