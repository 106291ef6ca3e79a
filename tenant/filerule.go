package tenant

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// ruleNode is where a rule stands in the file.
type ruleNode struct {
	node *yaml.Node
	keys map[string]pair // as far as they are given
}

func parseRules(kv pair) (Rules, []ruleNode, error) {
	if kv.value.Kind != yaml.SequenceNode || kv.value.Tag != "!!seq" {
		return nil, nil, errorAt(kv.value, kv.path, "must be a list")
	}
	var rules Rules
	var nodes []ruleNode
	for i, n := range kv.value.Content {
		r, keys, err := parseRule(n, rulePath(i))
		if err != nil {
			return nil, nil, err
		}
		rules = append(rules, r)
		nodes = append(nodes, ruleNode{node: n, keys: keys})
	}
	return rules, nodes, nil
}

func parseRule(n *yaml.Node, path string) (Rule, map[string]pair, error) {
	var r Rule
	pairs, err := mapping(n, path)
	if err != nil {
		return r, nil, err
	}
	keys := make(map[string]pair, len(pairs))
	for _, kv := range pairs {
		keys[kv.key.Value] = kv
		if err := parseRuleKey(kv, &r); err != nil {
			return r, nil, err
		}
	}
	for _, name := range []string{"filter", "stream"} {
		if _, ok := keys[name]; !ok {
			return r, nil, errorAt(n, path+"."+name, "missing")
		}
	}
	return r, keys, nil
}

func parseRuleKey(kv pair, r *Rule) error {
	for _, k := range ruleWords {
		if k.name != kv.key.Value {
			continue
		}
		s, err := text(kv)
		if err != nil {
			return err
		}
		if err := k.check(s); err != nil {
			return errorAt(kv.value, kv.path, err.Error())
		}
		*k.field(r) = s
		return nil
	}
	for _, k := range ruleNumbers {
		if k.name == kv.key.Value {
			v, err := parseNumber(kv, k)
			*k.field(r) = v
			return err
		}
	}
	return errorAt(kv.key, kv.path, "unknown key")
}

// checkFileRules says with the line what is wrong with the rules as a whole.
func checkFileRules(t Tenant, nodes []ruleNode) error {
	c := ruleChecker{tenant: t, at: func(i int) string { return fmt.Sprintf("%s, line %d", rulePath(i), nodes[i].node.Line) }}
	e := c.check()
	if e == nil {
		return nil
	}
	n := nodes[e.index]
	if kv, ok := n.keys[e.key]; ok {
		return errorAt(kv.value, e.path(), e.reason)
	}
	return errorAt(n.node, e.path(), e.reason)
}
