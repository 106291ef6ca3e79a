package frame

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weirmq/weir/message"
)

// maxString is the longest string of MQTT, in bytes.
const maxString = 65535

// fewProperties are so few that looking at them again and again costs less than a map.
const fewProperties = 16

// lastWins returns the user properties without those whose name comes again behind them: frames have room for one of a name.
func lastWins(all []message.UserProperty) []message.UserProperty {
	if len(all) < 2 {
		return all
	}
	if len(all) <= fewProperties {
		return lastOfFew(all)
	}
	last := make(map[string]int, len(all))
	for i := range all {
		last[all[i].Name] = i
	}
	if len(last) == len(all) {
		return all
	}
	kept := make([]message.UserProperty, 0, len(last))
	for i := range all {
		if last[all[i].Name] == i {
			kept = append(kept, all[i])
		}
	}
	return kept
}

func lastOfFew(all []message.UserProperty) []message.UserProperty {
	repeated := func(i int) bool {
		return slices.ContainsFunc(all[i+1:], func(p message.UserProperty) bool { return p.Name == all[i].Name })
	}
	var kept []message.UserProperty // nil until one is left out
	for i := range all {
		switch again := repeated(i); {
		case again && kept == nil:
			kept = append(make([]message.UserProperty, 0, len(all)), all[:i]...)
		case !again && kept != nil:
			kept = append(kept, all[i])
		}
	}
	if kept == nil {
		return all
	}
	return kept
}

// checkStrings says what of a producer's message MQTT cannot carry, nil where all of it can be.
func checkStrings(m *message.Message) error {
	switch {
	case !validString(m.To):
		return malformed("clientId is not a string that MQTT can carry")
	case !validString(m.ContentType):
		return malformed("contentType is not a string that MQTT can carry")
	case m.ResponseTopic != nil && (len(m.ResponseTopic) == 0 || !validString(m.ResponseTopic) || strings.ContainsAny(string(m.ResponseTopic), "+#")):
		return malformed("responseTopic is not a topic name")
	case len(m.CorrelationData) > maxString:
		return malformed("correlationData is longer than MQTT can carry")
	}
	for i := range m.UserProperties {
		if p := &m.UserProperties[i]; !validString(p.Name) || !validString(p.Value) {
			return malformed("userProperties has a string that MQTT cannot carry")
		}
	}
	return nil
}

// validString tells whether MQTT can carry a string [MQTT-1.5.4-1] [MQTT-1.5.4-2].
func validString[T string | []byte](s T) bool {
	if len(s) > maxString {
		return false
	}
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(string(s))
}
