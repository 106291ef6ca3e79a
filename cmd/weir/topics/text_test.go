package topics

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func ago(d time.Duration) *time.Time {
	t := now.Add(-d)
	return &t
}

func size(n uint64) *uint64 { return &n }

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 10 << 10: "10 KiB", 1<<20 - 1: "1 MiB", 25 << 20: "25 MiB",
		1 << 40: "1 TiB", 1<<64 - 1: "16 EiB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %q instead of %q", n, got, want)
		}
	}
}

func TestAgeText(t *testing.T) {
	if got := ageText(nil, now); got != "-" {
		t.Errorf("no time: %q", got)
	}
	for age, want := range map[time.Duration]string{
		-time.Second: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", 125 * time.Second: "2m5s",
		3*time.Hour + 59*time.Minute: "3h59m", 50 * time.Hour: "2d2h",
	} {
		if got := ageText(ago(age), now); got != want {
			t.Errorf("%s: %q instead of %q", age, got, want)
		}
	}
}

func TestDurationText(t *testing.T) {
	for s, want := range map[int64]string{-1: "unlimited", 30: "30s", 60: "1m", 600: "10m", 3600: "1h", 129600: "36h", 5400: "1h30m", 3605: "1h0m5s"} {
		if got := durationText(s); got != want {
			t.Errorf("%d: %q instead of %q", s, got, want)
		}
	}
}

// A topic can hold what a terminal takes for a command.
func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"a/b c": "a/b c", "grün/☃": "grün/☃", "\x1b[2J": `"\x1b[2J"`, "a\n": `"a\n"`, " a": `" a"`, "a\u202eb": `"a\u202eb"`, "\xff": `"\xff"`,
	} {
		if got := printable(s); got != want {
			t.Errorf("%q: %s instead of %s", s, got, want)
		}
	}
}

func TestRows(t *testing.T) {
	rows := []row{
		{
			Tenant: "acme", Topic: "sensors/room1", Rule: "sensors/#", StreamKind: tenant.StreamDedicated,
			Stream: "MQTT_acme_t_f7fb0e046515f1cd9f65ea7a37ab21af_12", Messages: 1234567, Bytes: size(9_876_543), Oldest: ago(35 * time.Hour),
			Consumers: 3, Lag: 1234567, LagExact: true,
		},
		{
			Tenant: "a-much-longer-name", Topic: "x\ty", StreamKind: tenant.StreamDedicated,
			Stream: "MQTT_a-much-longer-name_t_00112233445566778899aabbccddeeff_7", Draining: true, Bytes: size(0), LagExact: true,
		},
		{
			Tenant: "acme", Topic: "telemetry/7", Rule: "telemetry/#", StreamKind: tenant.StreamShared, Stream: "MQTT_acme_s_telemetry",
			Messages: 12, Oldest: ago(time.Minute), Consumers: 2, Lag: 9,
		},
	}
	want := `
TENANT              STREAM                          MESSAGES    BYTES  OLDEST  CONSUMERS      LAG  RULE         TOPIC
acme                dedicated f7fb0e04_12            1234567  9.4 MiB   1d11h          3  1234567  sensors/#    sensors/room1
a-much-longer-name  dedicated 00112233_7, draining         0      0 B       -          0        0  -            "x\ty"
acme                shared telemetry                      12        -    1m0s          2       ≤9  telemetry/#  telemetry/7
`
	var out bytes.Buffer
	if err := writeRows(&out, rows, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestDetails(t *testing.T) {
	d := details{
		row: row{
			Tenant: "acme", Topic: "sensors/room1", Rule: "sensors/#", StreamKind: tenant.StreamDedicated,
			Stream: "MQTT_acme_t_f7fb0e046515f1cd9f65ea7a37ab21af_12", Messages: 3, Bytes: size(2048), Oldest: ago(time.Minute), Consumers: 2, Lag: 3, LagExact: true,
		},
		Created: now.Add(-time.Hour), Replicas: 3,
		Limits: limits{WhenFull: "reject", Keep: "until_consumed", BacklogBytes: 25 << 20, BacklogMessages: -1, TTLSeconds: 129600},
		Policy: &policy{
			Filter: "sensors/#", Stream: tenant.StreamDedicated,
			limits:       limits{WhenFull: "reject", Keep: "until_consumed", BacklogBytes: 50 << 20, BacklogMessages: 10, TTLSeconds: 129600},
			HoldWhenFull: tenant.HoldDiscardOldest, HoldMessages: 5000, HoldBytes: -1,
		},
		Details: []consumer{
			{Name: "averages", Kind: jetstream.NativeDurable, Pending: 1, Unacknowledged: 2, HoldsOldest: new(true)},
			{Name: "b_one", Kind: jetstream.BridgeShared, Bridge: "one", LastActive: ago(5 * time.Second), HoldsOldest: new(false)},
		},
	}
	want := `
Tenant     acme
Topic      sensors/room1
Rule       sensors/#
Stream     dedicated MQTT_acme_t_f7fb0e046515f1cd9f65ea7a37ab21af_12
Created    2026-03-04T04:06:07Z, replicas: 3
Messages   3
Bytes      2 KiB
Oldest     1m0s
Consumers  2
Lag        3

POLICY            IN FORCE
stream            dedicated
when_full         reject
keep              until_consumed
backlog_bytes     25 MiB; the rule says 50 MiB
backlog_messages  unlimited; the rule says 10
ttl               36h
hold_when_full    discard_oldest
hold_messages     5000
hold_bytes        unlimited

WHO              PENDING  UNACKNOWLEDGED  LAST ACTIVE  HOLDS OLDEST  CONSUMER
native, durable        1               2            -  yes           averages
bridge, shared         0               0           5s  no            b_one
`
	var out bytes.Buffer
	if err := d.write(&out, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	// Now transient by its rule, with nobody left; and of a tenant that has gone.
	d.Details, d.Policy = nil, &policy{Filter: "#", Stream: tenant.StreamTransient}
	if err := d.write(&out, now); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "\nstream            dedicated; the rule says transient\nwhen_full         reject\n") ||
		strings.Contains(text, "WHO") || strings.Count(text, "the rule says") != 1 {
		t.Error(text)
	}
	out.Reset()
	d.Policy = nil
	if err := d.write(&out, now); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "the rule says") {
		t.Error(text)
	}
}

func TestSharedDetails(t *testing.T) {
	d := details{
		row: row{
			Tenant: "acme", Topic: "telemetry/7", Rule: "telemetry/#", StreamKind: tenant.StreamShared, Stream: "MQTT_acme_s_telemetry",
			Messages: 12, Oldest: ago(time.Minute), Consumers: 3, Lag: 12, LagExact: true,
		},
		Created: now.Add(-time.Hour), Replicas: 1,
		Limits: limits{WhenFull: "reject", Keep: "until_consumed", BacklogBytes: 1 << 30, BacklogMessages: 1000, TTLSeconds: 3600},
		Policy: &policy{
			Filter: "telemetry/#", Stream: tenant.StreamShared, Topics: 100_000, HoldWhenFull: tenant.HoldBlock,
			limits: limits{WhenFull: "reject", Keep: "until_consumed", BacklogBytes: 1 << 30, BacklogMessages: 1000, TTLSeconds: 3600},
		},
		Shared: &shared{Topics: 1, Messages: 12, Bytes: 2048},
		Details: []consumer{
			{Name: "b_one_3", Kind: jetstream.BridgeOwn, Bridge: "one", Pending: 1, Unacknowledged: 11, Lag: 12, LagExact: true, HoldsOldest: new(true)},
			{Name: "b_two", Kind: jetstream.BridgeShared, Bridge: "two", Pending: 40, Lag: 9},
			{Name: "b_one", Kind: jetstream.BridgeShared, Bridge: "one", LagExact: true, HoldsOldest: new(false)},
		},
	}
	want := `
Tenant         acme
Topic          telemetry/7
Rule           telemetry/#
Stream         shared MQTT_acme_s_telemetry
Created        2026-03-04T04:06:07Z, replicas: 1
Messages       12
Oldest         1m0s
Consumers      3
Lag            12
In the stream  12 messages, 2 KiB, of 1 topic

POLICY            IN FORCE
stream            shared
when_full         reject
keep              until_consumed
backlog_bytes     1 GiB
backlog_messages  1000
ttl               1h
topics            100000
hold_when_full    block

WHO             LAG  PENDING  UNACKNOWLEDGED  LAST ACTIVE  HOLDS OLDEST  CONSUMER
bridge, own      12        1              11            -  yes           b_one_3
bridge, shared   ≤9       40               0            -  perhaps       b_two
bridge, shared    0        0               0            -  no            b_one
`
	var out bytes.Buffer
	if err := d.write(&out, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestConfirm(t *testing.T) {
	for answer, yes := range map[string]bool{"y\n": true, " YES \n": true, "yes": true, "\n": false, "": false, "n\n": false, "yo\n": false} {
		var asked bytes.Buffer
		if err := confirm(strings.NewReader(answer), &asked, "Sure? "); (err == nil) != yes {
			t.Errorf("%q: %v", answer, err)
		}
		if asked.String() != "Sure? " {
			t.Errorf("asked %q", asked.String())
		}
	}
}
