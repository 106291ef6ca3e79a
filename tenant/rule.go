package tenant

import (
	"errors"
	"fmt"
	"strings"
)

// StreamKind says what holds the messages of a topic.
type StreamKind string

// The kinds of stream.
const (
	StreamDedicated StreamKind = "dedicated" // one stream per topic
	StreamShared    StreamKind = "shared"    // one stream for all topics of the rule
	StreamTransient StreamKind = "transient" // none, core NATS only
)

// Rule is one topic rule. This release serves dedicated topics only, so the one valid rule is the one that
// is implied anyway, "#" on dedicated streams.
type Rule struct {
	Filter string     `json:"filter"`
	Stream StreamKind `json:"stream"`
}

// ruleSettings are the further keys of a rule, none of which this release serves.
var ruleSettings = []string{
	"name", "backlog_messages", "backlog_bytes", "ttl", "when_full", "keep",
	"hold_when_full", "hold_messages", "hold_bytes",
}

const dedicatedOnly = `this release serves dedicated topics only, by the one rule {filter: "#", stream: dedicated}`

func validateRules(rules []Rule) error {
	for i, r := range rules {
		if i > 0 {
			return fmt.Errorf("topics[%d]: %s", i, unreachable)
		}
		if err := checkStream(r.Stream); err != nil {
			return fmt.Errorf("topics[%d].stream: %w", i, err)
		}
		if err := checkFilter(r.Filter); err != nil {
			return fmt.Errorf("topics[%d].filter: %w", i, err)
		}
	}
	return nil
}

const unreachable = `never matches, because the rule before it matches every topic`

func checkStream(k StreamKind) error {
	switch k {
	case StreamDedicated:
		return nil
	case StreamShared, StreamTransient:
		return fmt.Errorf("%s is not served: %s", k, dedicatedOnly)
	}
	return errors.New("must be dedicated, shared or transient")
}

// checkFilter first reports what is wrong with any topic filter [MQTT-4.7.1-2] [MQTT-4.7.1-3]
// [MQTT-4.7.3-1], then that a valid one other than "#" is not served.
func checkFilter(filter string) error {
	switch {
	case filter == "":
		return errors.New("must not be empty")
	case len(filter) > MaxTopicBytes:
		return fmt.Errorf("%d bytes are over the maximum %d", len(filter), MaxTopicBytes)
	case strings.ContainsRune(filter, 0):
		return errors.New("must not contain the null character")
	case filter[0] == '$':
		return errors.New("topics that start with $ are reserved")
	}
	levels := strings.Split(filter, "/")
	if len(levels) > MaxTopicLevels {
		return fmt.Errorf("%d levels are over the maximum %d", len(levels), MaxTopicLevels)
	}
	for i, level := range levels {
		if strings.ContainsRune(level, '#') && (level != "#" || i != len(levels)-1) {
			return errors.New("# must be the last level, alone")
		}
		if strings.ContainsRune(level, '+') && level != "+" {
			return errors.New("+ must be alone in its level")
		}
	}
	if filter != "#" {
		return errors.New("not served: " + dedicatedOnly)
	}
	return nil
}
