package filter_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/filter"
)

func TestCheck(t *testing.T) {
	const hash, plus = "# must be the last level, alone", "+ must be alone in its level"
	for f, want := range map[string]string{
		"":             "must not be empty",                   // [MQTT-4.7.3-1]
		"a\x00":        "must not contain the null character", // [MQTT-4.7.3-2]
		"a/\xff":       "must be UTF-8",                       // [MQTT-4.7.3-3]
		"\xed\xa0\x80": "must be UTF-8",                       // a surrogate
		"a#":           hash,                                  // [MQTT-4.7.1-2]
		"#a":           hash,
		"#/":           hash,
		"#/a":          hash,
		"a/#/b":        hash,
		"a/##":         hash,
		"a+":           plus, // [MQTT-4.7.1-3]
		"+a/b":         plus,
		"a/++":         plus,
		"+#":           hash,
		"#":            "",
		"+":            "",
		"/":            "",
		"//":           "",
		"/#":           "",
		"+/+/#":        "",
		"+/a/+":        "",
		"a b/ü":        "",
		"$SYS/#":       "",
	} {
		got := ""
		if err := filter.Check(f); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", f, got, want)
		}
	}
}

// TestExamples are the examples of the specification, section 4.7, and what is easily taken for the same.
func TestExamples(t *testing.T) {
	for _, test := range []struct {
		filter string
		yes    []string
		no     []string
	}{
		{"sport/tennis/player1/#", []string{"sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/", "sport/tennis/player1/score/wimbledon"}, []string{"sport/tennis/player10", "sport/tennis", "Sport/tennis/player1"}},
		{"sport/#", []string{"sport", "sport/"}, []string{"sports", "/sport"}},
		{"sport/tennis/+", []string{"sport/tennis/player1", "sport/tennis/"}, []string{"sport/tennis", "sport/tennis/player1/ranking"}},
		{"sport/+", []string{"sport/"}, []string{"sport", "sport//"}},
		{"+/+", []string{"/finance", "/"}, []string{"finance", "$SYS/a", "//"}},
		{"/+", []string{"/finance", "/"}, []string{"finance", "/finance/"}},
		{"+", []string{"finance", " "}, []string{"/finance", "$SYS"}},
		{"#", []string{"a", "/", "a/b/c", "a/$b"}, []string{"$SYS", "$SYS/monitor/Clients"}}, // [MQTT-4.7.2-1]
		{"+/#", []string{"a", "/", "a/b/c"}, []string{"$SYS", "$SYS/a"}},
		{"+/monitor/Clients", []string{"a/monitor/Clients"}, []string{"$SYS/monitor/Clients"}},
		{"/#", []string{"/", "//", "/a/b"}, []string{"a/"}},
		{"$SYS/#", []string{"$SYS", "$SYS/", "$SYS/monitor"}, []string{"$SYSTEM", "a"}},
		{"$SYS/monitor/+", []string{"$SYS/monitor/Clients"}, []string{"$SYS/monitor"}},
		{"a/+/c/#", []string{"a/b/c", "a//c", "a/$/c/d/e"}, []string{"a/c", "a/b/d", "a/b"}},
		{"a b", []string{"a b"}, []string{"a", "a b/"}},
	} {
		for _, topic := range test.yes {
			if !filter.Match(test.filter, topic) {
				t.Errorf("%q does not match %q", test.filter, topic)
			}
		}
		for _, topic := range test.no {
			if filter.Match(test.filter, topic) {
				t.Errorf("%q matches %q", test.filter, topic)
			}
		}
	}
}

// matches is section 4.7 of the specification as it reads, level by level.
func matches(filter, topic []string) bool {
	if strings.HasPrefix(topic[0], "$") && (filter[0] == "+" || filter[0] == "#") {
		return false
	}
	return matchesRest(filter, topic)
}

func matchesRest(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#":
		return true // the parent level and everything below
	case len(topic) == 0:
		return false
	}
	return (filter[0] == "+" || filter[0] == topic[0]) && matchesRest(filter[1:], topic[1:])
}

// spell returns all sequences of one to depth of these levels, joined by slashes, that keep tells to keep.
func spell(depth int, levels []string, keep func(string) bool) []string {
	var all []string
	last := []string{""}
	for n := range depth {
		var next []string
		for _, head := range last {
			for _, level := range levels {
				if n > 0 {
					level = head + "/" + level
				}
				next = append(next, level)
			}
		}
		all = append(all, next...)
		last = next
	}
	return slices.DeleteFunc(all, func(s string) bool { return !keep(s) })
}

// TestAgainstEveryTopic compares all functions, for all filters of up to three levels, with what their sets of matching topics say. The topics go one
// level deeper than the filters and have a level that no filter names, so that two filters which differ do so on one of them.
func TestAgainstEveryTopic(t *testing.T) {
	filters := spell(3, []string{"a", "b", "", "$", "+", "#"}, func(f string) bool { return filter.Check(f) == nil })
	topics := spell(4, []string{"a", "b", "", "$", "x"}, func(f string) bool { return f != "" })
	if len(filters) < 150 || len(topics) != 5+25+125+625-1 {
		t.Fatalf("%d filters, %d topics", len(filters), len(topics))
	}
	sets := make([][]bool, len(filters))
	for i, f := range filters {
		sets[i] = make([]bool, len(topics))
		levels := strings.Split(f, "/")
		for j, topic := range topics {
			sets[i][j] = matches(levels, strings.Split(topic, "/"))
			if got := filter.Match(f, topic); got != sets[i][j] {
				t.Errorf("Match(%q, %q) is %t", f, topic, got)
			}
		}
	}
	for i, a := range filters {
		for j, b := range filters {
			intersects, covers := false, true
			for k := range topics {
				intersects = intersects || sets[i][k] && sets[j][k]
				covers = covers && (sets[i][k] || !sets[j][k])
			}
			if got := filter.Intersects(a, b); got != intersects {
				t.Errorf("Intersects(%q, %q) is %t", a, b, got)
			}
			if got := filter.Covers(a, b); got != covers {
				t.Errorf("Covers(%q, %q) is %t", a, b, got)
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	const a, b = "plant/+/line/7/#", "plant/north/line/7/sensors/+/temperature"
	if n := testing.AllocsPerRun(100, func() {
		if !filter.Match(a, b[:20]) || !filter.Match("#", b) || !filter.Covers(a, b) || !filter.Intersects(b, a) || filter.Check(a) != nil {
			t.Error("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzFilter checks that Check agrees with what the codec accepts, and the comparisons with the plain matcher: on a
// topic, and between the two filters on topics made of both.
func FuzzFilter(f *testing.F) {
	f.Add("a/#", "a", "a")
	f.Add("#", "+/#", "$SYS/a")
	f.Add("+/b/+", "a/+/c", "a/b/c")
	f.Add("/+//#", "//+", "///")
	f.Add("a+", "a/#/b", "ü/\x00")
	f.Fuzz(func(t *testing.T, a, b, topic string) {
		for _, s := range []string{a, b} {
			if len(s) <= 65535 && codec.ValidFilter(s) != (filter.Check(s) == nil) {
				t.Fatalf("Check(%q): %v", s, filter.Check(s))
			}
		}
		if filter.Check(a) != nil || filter.Check(b) != nil {
			return
		}
		la, lb := strings.Split(a, "/"), strings.Split(b, "/")
		topics := [][]string{witness(la, lb, false), witness(lb, la, false), witness(la, lb, true), witness(lb, la, true)}
		if codec.ValidFilter(topic) && !strings.ContainsAny(topic, "+#") {
			topics = append(topics, strings.Split(topic, "/"))
		}
		intersects, covers := filter.Intersects(a, b), filter.Covers(a, b)
		found := false
		for _, levels := range topics {
			name := strings.Join(levels, "/")
			if name == "" {
				continue // the parent of /#, which is no topic [MQTT-4.7.3-1]
			}
			inA, inB := matches(la, levels), matches(lb, levels)
			if filter.Match(a, name) != inA || filter.Match(b, name) != inB {
				t.Fatalf("Match(%q or %q, %q)", a, b, name)
			}
			if inA && inB {
				found = true
			}
			if inB && !inA && covers {
				t.Fatalf("Covers(%q, %q), but not %q", a, b, name)
			}
		}
		if found != intersects {
			t.Fatalf("Intersects(%q, %q) is %t", a, b, intersects)
		}
		if intersects != filter.Intersects(b, a) || covers && !intersects {
			t.Fatalf("%q and %q: intersects %t, covers %t", a, b, intersects, covers)
		}
	})
}

// witness makes a topic that a matches, and b too if any does: where a leaves a level open, it is b's. With longer it goes on where
// a "#" allows.
func witness(a, b []string, longer bool) []string {
	const other = "another level"
	var topic []string
	for i, level := range a {
		open := other
		if i < len(b) && b[i] != "+" && b[i] != "#" {
			open = b[i]
		}
		switch level {
		case "#":
			for ; i < len(b) && b[i] != "#"; i++ {
				if b[i] == "+" {
					topic = append(topic, other)
				} else {
					topic = append(topic, b[i])
				}
			}
			if longer || len(topic) == 0 {
				topic = append(topic, other)
			}
		case "+":
			topic = append(topic, open)
		default:
			topic = append(topic, level)
		}
	}
	return topic
}
