package tenant

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

func parseRules(kv pair) ([]Rule, error) {
	if kv.value.Kind != yaml.SequenceNode || kv.value.Tag != "!!seq" {
		return nil, errorAt(kv.value, kv.path, "must be a list")
	}
	var rules []Rule
	for i, n := range kv.value.Content {
		path := fmt.Sprintf("%s[%d]", kv.path, i)
		r, err := parseRule(n, path)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			return nil, errorAt(n, path, unreachable)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(n *yaml.Node, path string) (Rule, error) {
	var r Rule
	pairs, err := mapping(n, path)
	if err != nil {
		return r, err
	}
	var filter, stream, setting *pair
	for i := range pairs {
		kv := &pairs[i]
		switch {
		case kv.key.Value == "filter":
			filter = kv
			r.Filter, err = text(*kv)
		case kv.key.Value == "stream":
			stream = kv
			var s string
			s, err = text(*kv)
			r.Stream = StreamKind(s)
		case slices.Contains(ruleSettings, kv.key.Value):
			setting = kv
		default:
			err = errorAt(kv.key, kv.path, "unknown key")
		}
		if err != nil {
			return r, err
		}
	}
	if filter == nil {
		return r, errorAt(n, path+".filter", "missing")
	}
	if stream == nil {
		return r, errorAt(n, path+".stream", "missing")
	}
	// The stream first: of a rule that is not served at all, that is the thing to say.
	if err := checkStream(r.Stream); err != nil {
		return r, errorAt(stream.value, stream.path, err.Error())
	}
	if err := checkFilter(r.Filter); err != nil {
		return r, errorAt(filter.value, filter.path, err.Error())
	}
	if setting != nil {
		return r, errorAt(setting.key, setting.path, "not served: "+dedicatedOnly)
	}
	return r, nil
}
