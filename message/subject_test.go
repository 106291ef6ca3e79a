package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSubject(t *testing.T) {
	for topic, want := range map[string]string{
		"sensors/room 1/temp": "mqtt.acme.sensors.room%201.temp",
		"/a//b":               "mqtt.acme.%.a.%.b",
		"/":                   "mqtt.acme.%.%",
		"a/":                  "mqtt.acme.a.%",
		"a.b/*/>/50%":         "mqtt.acme.a%2Eb.%2A.%3E.50%25",
		"tab\tdel\x7F":        "mqtt.acme.tab%09del%7F",
		"a/$b":                "mqtt.acme.a.$b",
		"größe/温度":            "mqtt.acme.größe.温度",
		"$debug/$error":       "mqtt-sys.acme.%24debug.$error",
		"$":                   "mqtt-sys.acme.%24",
		"$/a":                 "mqtt-sys.acme.%24.a",
		"$//":                 "mqtt-sys.acme.%24.%.%",
	} {
		if got := Subject("acme", topic); got != want {
			t.Errorf("Subject(%q) = %q, want %q", topic, got, want)
		}
		if got, ok := Topic("acme", want); !ok || got != topic {
			t.Errorf("Topic(%q) = %q, %v, want %q", want, got, ok, topic)
		}
	}
}

// Whatever is not exactly the encoding of a valid topic name of the tenant has no topic.
func TestTopicRefuses(t *testing.T) {
	for _, subject := range []string{
		"", "mqtt", "mqtt.", "mqtt.acme", "mqtt.acme.", "mqtt.acm.a", "mqtt.acmee.a", "mqtt.other.a", "nats.acme.a",
		"mqtt-sys.acme.", "mqtt-sys.acme.register.topic.1", "mqtt-sys.acme.$debug", "mqtt-sys.acme.%.a",
		"mqtt.acme.a..b", "mqtt.acme..a", "mqtt.acme.a.",
		"mqtt.acme.*", "mqtt.acme.>", "mqtt.acme.a*", "mqtt.acme.a b", "mqtt.acme.a\tb", "mqtt.acme.\x7F",
		"mqtt.acme.a%2eb",  // lower-case hex
		"mqtt.acme.%41",    // a byte that needs no escape
		"mqtt.acme.a.%24b", // $ needs one only at the start
		"mqtt.acme.%24a",   // and then lies elsewhere
		"mqtt.acme.$a",     // likewise
		"mqtt.acme.a/b",
		"mqtt.acme.a%2Fb", // no level can spell the separator
		"mqtt.acme.%00",   // U+0000 [MQTT-1.5.4-2]
		"mqtt.acme.+",     // wildcards [MQTT-3.3.2-2]
		"mqtt.acme.a.#",   //
		"mqtt.acme.%2", "mqtt.acme.%2G", "mqtt.acme.%%", "mqtt.acme.a%", "mqtt.acme.%a",
		"mqtt.acme.\xff",         // not UTF-8 [MQTT-1.5.4-1]
		"mqtt.acme.\xed\xa0\x80", // a surrogate
		"mqtt.acme." + strings.Repeat("a", 65536),
	} {
		if topic, ok := Topic("acme", subject); ok {
			t.Errorf("Topic(%.60q) = %.60q", subject, topic)
		}
	}
}

func TestSubjectLevel(t *testing.T) {
	for s, want := range map[string]string{
		"": "%", "plain-7": "plain-7", "a/b+c#d": "a/b+c#d", "$x.y z": "$x%2Ey%20z", "*>%": "%2A%3E%25",
	} {
		if got := SubjectLevel(s); got != want {
			t.Errorf("SubjectLevel(%q) = %q, want %q", s, got, want)
		}
	}
}

// Every valid topic name has one subject that NATS takes, and comes back from it.
func FuzzTopic(f *testing.F) {
	for _, s := range []string{"a", "/", "a//b", "$debug/$error", "$", "a.b c", "%41", "温", "a\x7F\n\r", "*", ">"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		if topic == "" || !utf8.ValidString(topic) || strings.ContainsAny(topic, "\x00+#") || len(topic) > maxString {
			return
		}
		subject := Subject("acme", topic)
		for _, level := range strings.Split(subject, ".") {
			if level == "" || strings.ContainsAny(level, " \t\r\n\f\x7F*>") {
				t.Fatalf("Subject(%q) = %q has the level %q", topic, subject, level)
			}
		}
		if strings.HasPrefix(subject, "mqtt.") == strings.HasPrefix(topic, "$") {
			t.Fatalf("Subject(%q) = %q", topic, subject)
		}
		if got, ok := Topic("acme", subject); !ok || got != topic {
			t.Fatalf("Topic(Subject(%q) = %q) = %q, %v", topic, subject, got, ok)
		}
	})
}

// No two subjects have the same topic.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"a", "%", "%.%", "a%20b", "%24a", "a..b", "%2E", "$"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, rest string, system bool) {
		subject := "mqtt.acme." + rest
		if system {
			subject = "mqtt-sys.acme." + rest
		}
		topic, ok := Topic("acme", subject)
		if !ok {
			return
		}
		if got := Subject("acme", topic); got != subject {
			t.Fatalf("Topic(%q) = %q, whose subject is %q", subject, topic, got)
		}
	})
}
