package codec

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValidTopicName(t *testing.T) {
	for topic, want := range map[string]bool{
		"":                         false, // [MQTT-4.7.3-1]
		"a":                        true,
		"/":                        true,
		" ":                        true,
		"$SYS/broker":              true,
		"te/device/main///m/é":     true,
		"\uFEFFbom":                true, // [MQTT-1.5.4-3]
		"\U0010FFFF":               true,
		"a/+/b":                    false, // [MQTT-4.7.0-1]
		"#":                        false,
		"aaaaaaaaaaaaaaaa#":        false,
		"aaaaaaaé#":                false,
		"a\x00":                    false, // [MQTT-4.7.3-2]
		"aaaaaaaa\x00aaaaaaa":      false,
		"\xc0\x80":                 false, // U+0000 in two bytes
		"\xed\xa0\x80":             false, // [MQTT-1.5.4-1]
		"\xed\xa0\x80\xed\xb0\x80": false,
		"\xf4\x90\x80\x80":         false,
		"\xc3":                     false,
		strings.Repeat("a", 65535): true,
		strings.Repeat("a", 65536): false, // [MQTT-4.7.3-3]
	} {
		if got := ValidTopicName(topic); got != want {
			t.Errorf("%.20q: got %v", topic, got)
		}
		if got := ValidTopicName([]byte(topic)); got != want {
			t.Errorf("%.20q as bytes: got %v", topic, got)
		}
	}
}

func TestValidFilter(t *testing.T) {
	for filter, want := range map[string]bool{
		"":                         false, // [MQTT-4.7.3-1]
		"#":                        true,
		"+":                        true,
		"/":                        true,
		"a/b":                      true,
		"a/#":                      true,
		"/#":                       true,
		"+/+":                      true,
		"/+":                       true,
		"+/a/#":                    true,
		"$share/g/a":               true,
		"a#":                       false, // [MQTT-4.7.1-1]
		"a/#/b":                    false,
		"#/":                       false,
		"##":                       false,
		"a/b#":                     false,
		"a+":                       false, // [MQTT-4.7.1-2]
		"+a/b":                     false,
		"a/++":                     false,
		"a/+#":                     false,
		"a\x00":                    false, // [MQTT-4.7.3-2]
		"a/\xff":                   false,
		strings.Repeat("a", 65535): true,
		strings.Repeat("a", 65536): false, // [MQTT-4.7.3-3]
	} {
		if got := ValidFilter(filter); got != want {
			t.Errorf("%.20q: got %v", filter, got)
		}
	}
}

func TestValidAllocations(t *testing.T) {
	topic := strings.Repeat("topic/", 20)
	var ok bool
	if n := testing.AllocsPerRun(100, func() { ok = ValidTopicName(topic) && ValidFilter(topic) }); n != 0 || !ok {
		t.Errorf("%v allocations, %v", n, ok)
	}
}

// TestTextEveryByte puts every byte at every place of strings of every length up to two words.
func TestTextEveryByte(t *testing.T) {
	for length := 1; length <= 17; length++ {
		for at := range length {
			for x := range 256 {
				b := []byte(strings.Repeat("~", length))
				b[at] = byte(x)
				text := x != 0 && x < utf8.RuneSelf
				if got := checkText(b) == nil; got != text {
					t.Fatalf("checkText(%q) is %v", b, got)
				}
				topic := text && x != '+' && x != '#'
				if got := checkTopic(b) == nil; got != topic {
					t.Fatalf("checkTopic(%q) is %v", b, got)
				}
			}
		}
	}
}

// FuzzText compares the fast checks with the plain ones.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "topic/é/x", "a/+", "#", "\x00", "\xed\xa0\x80", "01234567\x0089", "\x7f\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := utf8.ValidString(s) && !strings.ContainsRune(s, 0)
		if got := checkText([]byte(s)) == nil; got != text {
			t.Errorf("checkText(%q) is %v", s, got)
		}
		topic := text && s != "" && !strings.ContainsAny(s, "+#")
		if got := checkTopic([]byte(s)) == nil; got != topic {
			t.Errorf("checkTopic(%q) is %v", s, got)
		}
		if len(s) <= maxField && topic && !ValidFilter(s) {
			t.Errorf("topic name %q is not a filter", s)
		}
	})
}
