package tenant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirmq/weir/filter"
)

// wordKey is one key of a rule whose value is text.
type wordKey struct {
	name  string
	field func(*Rule) *string
	check func(string) error
}

// ruleWords and ruleNumbers are the keys of a rule in the tenants file, in the order in which they are checked.
var ruleWords = []wordKey{
	{"filter", func(r *Rule) *string { return &r.Filter }, checkFilter},
	{"stream", func(r *Rule) *string { return (*string)(&r.Stream) }, oneOf(StreamDedicated, StreamShared, StreamTransient)},
	{"name", func(r *Rule) *string { return &r.Name }, checkRuleName},
	{"when_full", func(r *Rule) *string { return (*string)(&r.WhenFull) }, oneOf(WhenFullReject, WhenFullDiscardOldest)},
	{"keep", func(r *Rule) *string { return (*string)(&r.Keep) }, oneOf(KeepUntilConsumed, KeepUntilExpired)},
	{"hold_when_full", func(r *Rule) *string { return (*string)(&r.HoldWhenFull) }, oneOf(HoldBlock, HoldDiscardOldest)},
}

var ruleNumbers = []numberKey[Rule]{
	{name: "backlog_bytes", field: func(r *Rule) *int64 { return &r.BacklogBytes }, max: Unlimited},
	{name: "backlog_messages", field: func(r *Rule) *int64 { return &r.BacklogMessages }, max: Unlimited},
	{name: "ttl", field: func(r *Rule) *int64 { return (*int64)(&r.TTL) }, max: Unlimited, duration: true},
	{name: "hold_messages", field: func(r *Rule) *int64 { return &r.HoldMessages }, max: Unlimited},
	{name: "hold_bytes", field: func(r *Rule) *int64 { return &r.HoldBytes }, max: Unlimited},
	{name: "topics", field: func(r *Rule) *int64 { return &r.Topics }, max: Unlimited},
}

// given returns the names of the settings that a rule has besides its filter and stream.
func (r Rule) given() []string {
	var names []string
	for _, k := range ruleWords {
		if k.name != "filter" && k.name != "stream" && *k.field(&r) != "" {
			names = append(names, k.name)
		}
	}
	for _, k := range ruleNumbers {
		if *k.field(&r) != 0 {
			names = append(names, k.name)
		}
	}
	return names
}

func oneOf[T ~string](values ...T) func(string) error {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = string(v)
	}
	last := len(words) - 1
	err := errors.New("must be " + strings.Join(words[:last], ", ") + " or " + words[last])
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return err
	}
}

func checkRuleName(s string) error {
	if !validRuleName(s) {
		return errors.New(ruleNameRule)
	}
	return nil
}

// checkFilter is for filters of rules, which see neither the topics that start with $ nor any longer than a topic can be.
func checkFilter(f string) error {
	if len(f) > MaxTopicBytes {
		return fmt.Errorf("%d bytes are over the maximum %d", len(f), MaxTopicBytes)
	}
	if err := filter.Check(f); err != nil {
		return err
	}
	if f[0] == '$' {
		return errors.New("topics that start with $ are reserved")
	}
	if levels := 1 + strings.Count(f, "/"); levels > MaxTopicLevels {
		return fmt.Errorf("%d levels are over the maximum %d", levels, MaxTopicLevels)
	}
	return nil
}

// subjectBytes is the length of a rule's filter as a NATS subject of the tenant. Each level has its bytes, those that a subject cannot have
// written as %XX, or one byte where it is empty or a wildcard.
func subjectBytes(tenantName, f string) int {
	n := len("mqtt.") + len(tenantName) + len(".")
	for i := range len(f) {
		switch c := f[i]; {
		case c == '/':
			if i == 0 || f[i-1] == '/' {
				n++
			}
			n++
		case c <= 0x20, c == 0x7F, c == '.', c == '*', c == '>', c == '%':
			n += len("%XX")
		default:
			n++
		}
	}
	if strings.HasSuffix(f, "/") {
		n++
	}
	return n
}
