package tenant_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/tenant"
)

func placedRules() tenant.Policies {
	return tenant.Rules{
		{Filter: "live/keep", Stream: tenant.StreamDedicated},
		{Filter: "telemetry/#", Stream: tenant.StreamShared, Name: "telemetry"},
		{Filter: "live/#", Stream: tenant.StreamTransient},
		{Filter: "+/state", Stream: tenant.StreamDedicated},
	}.Resolve(tenant.Quotas{})
}

func TestPlace(t *testing.T) {
	for topic, want := range map[string]tenant.Place{
		"live/keep":   tenant.Dedicated("live/keep"),
		"live/x":      {Stream: tenant.StreamTransient, Name: "live/#"},
		"live":        {Stream: tenant.StreamTransient, Name: "live/#"},
		"telemetry/1": {Stream: tenant.StreamShared, Name: "telemetry"},
		"other/state": tenant.Dedicated("other/state"),
		"/":           tenant.Dedicated("/"),
	} {
		if got := placedRules().Place(topic); got != want {
			t.Errorf("%s: %v, want %v", topic, got, want)
		}
	}
}

func TestPlaces(t *testing.T) {
	shared := tenant.Place{Stream: tenant.StreamShared, Name: "telemetry"}
	transient := tenant.Place{Stream: tenant.StreamTransient, Name: "live/#"}
	for _, c := range []struct {
		filter    string
		places    []tenant.Place
		dedicated bool
	}{
		{"telemetry/1", []tenant.Place{shared}, false},
		{"telemetry/+", []tenant.Place{shared}, false},
		{"telemetry/#", []tenant.Place{shared}, false},
		{"telemetry", []tenant.Place{shared}, false},
		{"live/keep", nil, true},
		{"live/x", []tenant.Place{transient}, false},
		{"live/+", []tenant.Place{transient}, true},
		{"+/keep", []tenant.Place{shared, transient}, true},
		{"other", nil, true},
		{"#", []tenant.Place{shared, transient}, true},
	} {
		places, dedicated := placedRules().Places(c.filter)
		if diff := cmp.Diff(c.places, places); diff != "" || dedicated != c.dedicated {
			t.Errorf("%s: dedicated %v, want %v; places (-want +got):\n%s", c.filter, dedicated, c.dedicated, diff)
		}
	}
}
