package tenant_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/tenant"
)

// fullRules have every setting.
func fullRules() tenant.Rules {
	return tenant.Rules{
		{
			Filter: "telemetry/#", Stream: tenant.StreamShared, Name: "telemetry", BacklogBytes: 10 << 30, BacklogMessages: 1000, TTL: time.Hour,
			WhenFull: tenant.WhenFullDiscardOldest, Keep: tenant.KeepUntilExpired,
			HoldWhenFull: tenant.HoldDiscardOldest, HoldMessages: 7, HoldBytes: -1, Topics: 100_000,
		},
		{Filter: "live/+", Stream: tenant.StreamTransient},
		{Filter: "#", Stream: tenant.StreamDedicated, WhenFull: tenant.WhenFullReject, Keep: tenant.KeepUntilConsumed, HoldWhenFull: tenant.HoldBlock},
	}
}

// The record is what neighbouring releases read: its form is fixed.
func TestRulesInTheRecord(t *testing.T) {
	const want = `{"version":1,"name":"acme","quotas":{},"rules":[` +
		`{"filter":"telemetry/#","stream":"shared","name":"telemetry","backlog_bytes":10737418240,"backlog_messages":1000,"ttl_ns":3600000000000,` +
		`"when_full":"discard_oldest","keep":"until_expired","hold_when_full":"discard_oldest","hold_messages":7,"hold_bytes":-1,"topics":100000},` +
		`{"filter":"live/+","stream":"transient"},` +
		`{"filter":"#","stream":"dedicated","when_full":"reject","keep":"until_consumed","hold_when_full":"block"}],"origin":"file"}`
	give := tenant.Tenant{Name: "acme", Rules: fullRules(), Origin: tenant.OriginFile}
	data, err := give.Encode()
	if err != nil || string(data) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, data, want)
	}
	got, err := tenant.Decode([]byte(want))
	if err != nil || !got.Equal(give) {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

// TestRulesOfTheFirstRecords: rules had no more than a filter and a stream.
func TestRulesOfTheFirstRecords(t *testing.T) {
	got, err := tenant.Decode([]byte(`{"version":1,"name":"a","quotas":{},"rules":[{"filter":"#","stream":"dedicated"}],"origin":"file"}`))
	want := tenant.Tenant{Name: "a", Rules: tenant.Rules{{Filter: "#", Stream: tenant.StreamDedicated}}, Origin: tenant.OriginFile}
	if err != nil || !got.Equal(want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func dedicated() tenant.Policy {
	return tenant.Policy{
		Filter: "#", Stream: tenant.StreamDedicated, BacklogBytes: 25 << 20, BacklogMessages: tenant.Unlimited, TTL: 36 * time.Hour,
		WhenFull: tenant.WhenFullReject, Keep: tenant.KeepUntilConsumed, HoldWhenFull: tenant.HoldBlock,
		HoldMessages: tenant.Unlimited, HoldBytes: tenant.Unlimited, Topics: tenant.Unlimited,
	}
}

func TestResolveRules(t *testing.T) {
	// policy is the default with changes.
	policy := func(filter string, change func(*tenant.Policy)) tenant.Policy {
		p := dedicated()
		p.Filter = filter
		change(&p)
		return p
	}
	transient := tenant.Policy{Filter: "#", Stream: tenant.StreamTransient}
	tests := []struct {
		name   string
		rules  tenant.Rules
		quotas tenant.Quotas
		want   tenant.Policies
	}{
		{"none", nil, tenant.Quotas{}, tenant.Policies{dedicated()}},
		{"the implied one", tenant.Rules{{Filter: "#", Stream: tenant.StreamDedicated}}, tenant.Quotas{}, tenant.Policies{dedicated()}},
		{"all transient", tenant.Rules{{Filter: "#", Stream: tenant.StreamTransient}}, tenant.Quotas{}, tenant.Policies{transient}},
		{
			"all by another filter",
			tenant.Rules{{Filter: "+/#", Stream: tenant.StreamDedicated}},
			tenant.Quotas{},
			tenant.Policies{policy("+/#", func(*tenant.Policy) {})},
		},
		{
			"defaults of a shared rule",
			tenant.Rules{{Filter: "a/#", Stream: tenant.StreamShared, Name: "a"}},
			tenant.Quotas{},
			tenant.Policies{policy("a/#", func(p *tenant.Policy) {
				p.Stream, p.Name, p.BacklogMessages = tenant.StreamShared, "a", tenant.DefaultSharedBacklogMessages
			}), dedicated()},
		},
		{
			"quotas are the defaults",
			tenant.Rules{
				{Filter: "a/#", Stream: tenant.StreamShared, Name: "a"},
				{Filter: "b", Stream: tenant.StreamDedicated, HoldWhenFull: tenant.HoldDiscardOldest},
			},
			tenant.Quotas{BacklogBytes: 10, BacklogMessages: 20, TTL: -1, HoldMessages: 3, HoldBytes: 4, Topics: 5},
			tenant.Policies{
				policy("a/#", func(p *tenant.Policy) {
					p.Stream, p.Name, p.BacklogBytes, p.BacklogMessages, p.TTL = tenant.StreamShared, "a", 10, 20, 0
				}),
				policy("b", func(p *tenant.Policy) {
					p.BacklogBytes, p.BacklogMessages, p.TTL = 10, 20, 0
					p.HoldWhenFull, p.HoldMessages, p.HoldBytes = tenant.HoldDiscardOldest, 3, 4
				}),
				policy("#", func(p *tenant.Policy) { p.BacklogBytes, p.BacklogMessages, p.TTL = 10, 20, 0 }),
			},
		},
		{
			"unlimited by the quota",
			tenant.Rules{{Filter: "a/#", Stream: tenant.StreamShared, Name: "a", BacklogBytes: 9}},
			tenant.Quotas{BacklogMessages: -1},
			tenant.Policies{policy("a/#", func(p *tenant.Policy) { p.Stream, p.Name, p.BacklogBytes = tenant.StreamShared, "a", 9 }), dedicated()},
		},
		{
			"as given",
			tenant.Rules{{
				Filter: "a", Stream: tenant.StreamShared, Name: "a", BacklogBytes: 1, BacklogMessages: -1, TTL: -1, WhenFull: tenant.WhenFullDiscardOldest,
				Keep: tenant.KeepUntilExpired, HoldWhenFull: tenant.HoldDiscardOldest, HoldMessages: 2, HoldBytes: -1, Topics: 3,
			}},
			tenant.Quotas{},
			tenant.Policies{{
				Filter: "a", Stream: tenant.StreamShared, Name: "a", BacklogBytes: 1, BacklogMessages: tenant.Unlimited, TTL: 0, WhenFull: tenant.WhenFullDiscardOldest,
				Keep: tenant.KeepUntilExpired, HoldWhenFull: tenant.HoldDiscardOldest, HoldMessages: 2, HoldBytes: tenant.Unlimited, Topics: 3,
			}, dedicated()},
		},
		{
			"a hold leaves the backlog some room",
			tenant.Rules{
				{Filter: "a", Stream: tenant.StreamDedicated, BacklogBytes: 800, BacklogMessages: 80, HoldWhenFull: tenant.HoldDiscardOldest},
				{Filter: "b", Stream: tenant.StreamDedicated, BacklogBytes: 800, BacklogMessages: 80, HoldWhenFull: tenant.HoldDiscardOldest, HoldMessages: 90},
				{Filter: "c", Stream: tenant.StreamDedicated, BacklogBytes: 800, WhenFull: tenant.WhenFullDiscardOldest, HoldWhenFull: tenant.HoldDiscardOldest},
			},
			tenant.Quotas{},
			tenant.Policies{
				policy("a", func(p *tenant.Policy) {
					p.BacklogBytes, p.BacklogMessages, p.HoldWhenFull, p.HoldMessages, p.HoldBytes = 800, 80, tenant.HoldDiscardOldest, 70, 700
				}),
				policy("b", func(p *tenant.Policy) {
					p.BacklogBytes, p.BacklogMessages, p.HoldWhenFull, p.HoldMessages, p.HoldBytes = 800, 80, tenant.HoldDiscardOldest, 90, 700
				}),
				policy("c", func(p *tenant.Policy) {
					p.BacklogBytes, p.WhenFull = 800, tenant.WhenFullDiscardOldest
					p.HoldWhenFull, p.HoldMessages, p.HoldBytes = tenant.HoldDiscardOldest, 5000, 8<<20
				}),
				dedicated(),
			},
		},
		{
			"holds by default",
			tenant.Rules{{Filter: "#", Stream: tenant.StreamDedicated, HoldWhenFull: tenant.HoldDiscardOldest, TTL: time.Minute}},
			tenant.Quotas{},
			tenant.Policies{policy("#", func(p *tenant.Policy) {
				p.TTL, p.HoldWhenFull, p.HoldMessages, p.HoldBytes = time.Minute, tenant.HoldDiscardOldest, 5000, 8<<20
			})},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := (tenant.Tenant{Name: "a", Origin: tenant.OriginFile, Quotas: test.quotas, Rules: test.rules}).Validate(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(test.want, test.rules.Resolve(test.quotas)); diff != "" {
				t.Errorf("Resolve (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMatchPolicies(t *testing.T) {
	p := tenant.Rules{
		{Filter: "a/+", Stream: tenant.StreamShared, Name: "a"},
		{Filter: "a/#", Stream: tenant.StreamTransient},
		{Filter: "+/b", Stream: tenant.StreamDedicated, TTL: time.Second},
	}.Resolve(tenant.Quotas{})
	for topic, want := range map[string]int{
		"a/b": 0, "a/": 0, "a": 1, "a/b/c": 1, "b/b": 2, "/b": 2, "b": 3, "/": 3, "b/$x": 3,
		"$SYS": -1, "$debug/b": -1, // [MQTT-4.7.2-1]
	} {
		i, got := p.Match(topic)
		if i != want || (got == nil) != (i < 0) || got != nil && got != &p[i] {
			t.Errorf("%s: got %d, %v; want %d", topic, i, got, want)
		}
	}
	topic := strings.Repeat("a/", 63) + "a"
	if n := testing.AllocsPerRun(100, func() { p.Match(topic) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMatchLast is a topic that the last one of as many rules as there can be matches.
func BenchmarkMatchLast(b *testing.B) {
	var rules tenant.Rules
	for i := range tenant.MaxRules {
		rules = append(rules, tenant.Rule{Filter: "plant/+/line/" + strings.Repeat("x", i) + "/#", Stream: tenant.StreamTransient})
	}
	p := rules.Resolve(tenant.Quotas{})
	b.ReportAllocs()
	for b.Loop() {
		if i, _ := p.Match("plant/north/line/7/sensor/temperature"); i != tenant.MaxRules {
			b.Fatal(i)
		}
	}
}
