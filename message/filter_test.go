package message

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirmq/weir/filter"
)

func TestFilterSubjects(t *testing.T) {
	for f, want := range map[string]string{
		"x/#":       "mqtt.t.x mqtt.t.x.>",
		"#":         "mqtt.t.>",
		"+/#":       "mqtt.t.>",
		"/#":        "mqtt.t.%.>",
		"+":         "mqtt.t.*",
		"a/+/b":     "mqtt.t.a.*.b",
		"a":         "mqtt.t.a",
		"a b/*/>/#": "mqtt.t.a%20b.%2A.%3E mqtt.t.a%20b.%2A.%3E.>",
		"//+":       "mqtt.t.%.%.*",
		"+/+/#":     "mqtt.t.*.* mqtt.t.*.*.>",
		"a/":        "mqtt.t.a.%",
	} {
		if got := FilterSubjects("t", f); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q, want %s", f, got, want)
		}
	}
}

// A topic matches a filter where its subject matches exactly one of the filter's, as NATS does.
func TestFilterSubjectsMatchTopics(t *testing.T) {
	var filters, topics []string
	for _, a := range []string{"a", "", "+", "*", "b.c"} {
		for _, b := range []string{"", "/a", "/", "/+", "/>", "/+/a", "/a/", "//"} {
			filters = append(filters, a+b, a+b+"/#")
			topics = append(topics, a+b)
		}
	}
	filters = append(filters, "#")
	for _, f := range filters {
		if filter.Check(f) != nil {
			continue
		}
		for _, topic := range topics {
			if topic == "" || strings.ContainsAny(topic, "+#") {
				continue
			}
			matching := 0
			for _, subject := range FilterSubjects("t", f) {
				if subjectMatches(subject, Subject("t", topic)) {
					matching++
				}
			}
			if want := filter.Match(f, topic); matching > 1 || matching == 1 != want {
				t.Errorf("%d subjects of %q match %q, which the filter does: %v", matching, f, topic, want)
			}
		}
	}
}

func subjectMatches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i := range p {
		switch {
		case p[i] == ">":
			return len(s) > i
		case i >= len(s) || p[i] != "*" && p[i] != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}
