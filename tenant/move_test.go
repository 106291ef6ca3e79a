package tenant_test

import (
	"testing"

	"github.com/weirmq/weir/tenant"
)

func TestMove(t *testing.T) {
	shared := func(name string) tenant.Place { return tenant.Place{Stream: tenant.StreamShared, Name: name} }
	resolve := func(rules ...tenant.Rule) tenant.Policies { return tenant.Rules(rules).Resolve(tenant.Quotas{}) }
	one := tenant.Rule{Filter: "a/#", Stream: tenant.StreamShared, Name: "one"}
	two := tenant.Rule{Filter: "b/#", Stream: tenant.StreamShared, Name: "two"}
	narrow := tenant.Rule{Filter: "a/+", Stream: tenant.StreamShared, Name: "one"}
	live := tenant.Rule{Filter: "a/#", Stream: tenant.StreamTransient}
	for _, test := range []struct {
		name         string
		from, to     tenant.Policies
		place        tenant.Place
		gains, loses bool
	}{
		{"dedicated becomes shared", resolve(), resolve(one), tenant.Dedicated("a/1"), false, true},
		{"shared begins", resolve(), resolve(one), shared("one"), true, false},
		{"shared ends", resolve(one), resolve(), shared("one"), false, true},
		{"dedicated again", resolve(one), resolve(), tenant.Dedicated("a/1"), true, false},
		{"dedicated stays", resolve(one), resolve(), tenant.Dedicated("b/1"), false, false},
		{"shared stays", resolve(one), resolve(two, one), shared("one"), false, false},
		{"another filter", resolve(one), resolve(narrow), shared("one"), true, true},
		{"left by another filter", resolve(one), resolve(narrow), tenant.Dedicated("a/1/2"), true, false},
		{"transient", resolve(live), resolve(one), tenant.Place{Stream: tenant.StreamTransient, Name: "a/#"}, false, true},
	} {
		m := tenant.Move{From: test.from, To: test.to}
		if gains, loses := m.Gains(test.place), m.Loses(test.place); gains != test.gains || loses != test.loses {
			t.Errorf("%s: gains %v, loses %v", test.name, gains, loses)
		}
	}
}
