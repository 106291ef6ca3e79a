package tenant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// lineError is the one form of error that ParseFile returns.
type lineError struct {
	line   int
	path   string // of the key, empty for the document itself
	reason string
}

func (e *lineError) Error() string {
	if e.path == "" {
		return fmt.Sprintf("line %d: %s", e.line, e.reason)
	}
	return fmt.Sprintf("line %d: %s: %s", e.line, e.path, e.reason)
}

func errorAt(n *yaml.Node, path, reason string) error {
	return &lineError{line: max(n.Line, 1), path: path, reason: reason}
}

// pair is one entry of a mapping. path is how errors name it.
type pair struct {
	key, value *yaml.Node
	path       string
}

// parseYAML returns the root node of the one document in data. Nodes, not Go structs: they know their line,
// keep duplicate keys apart, and do not expand aliases.
func parseYAML(data []byte) (*yaml.Node, error) {
	if len(data) > MaxFileBytes {
		return nil, &lineError{line: 1, reason: fmt.Sprintf("the file is over the maximum of %d bytes", MaxFileBytes)}
	}
	if i := badText(data); i >= 0 {
		return nil, &lineError{line: lineOf(data, i), reason: "not UTF-8 text, or a control character"}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, &lineError{line: 1, path: "tenants", reason: "missing"}
	case err != nil:
		return nil, syntaxError(data, err)
	}
	var more yaml.Node
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxError(data, err)
	default:
		return nil, errorAt(&more, "", "a second document is not allowed")
	}
	return doc.Content[0], nil
}

// badText returns the offset of the first thing that is not text, or -1. The YAML reader refuses the same,
// but without saying where.
func badText(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1,
			r < 0x20 && r != '\t' && r != '\n' && r != '\r',
			r >= 0x7F && r < 0xA0 && r != 0x85,
			r == 0xFEFF && i > 0,
			r == 0xFFFE, r == 0xFFFF:
			return i
		}
		i += n
	}
	return -1
}

func lineOf(data []byte, offset int) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }

var (
	yamlLine   = regexp.MustCompile(`^line ([0-9]+): `)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	// yamlGrammar are the problems of the second stage of the YAML parser, which counts lines from 0. Most
	// of them have the line where the enclosing mapping or list begins.
	yamlGrammar = regexp.MustCompile(`^did not find expected (key|node content|',' or .*|'-' indicator|<.*>)$|^found (duplicate|incompatible|undefined) `)
)

// syntaxError gives an error of the YAML parser our form. The parser leaves the line out where it is the
// first one, and where an alias has no anchor.
func syntaxError(data []byte, err error) error {
	e := &lineError{line: 1, reason: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(e.reason); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			e.line = n
		}
		e.reason = e.reason[len(m[0]):]
		if yamlGrammar.MatchString(e.reason) {
			e.line++
		}
	} else if m := yamlAnchor.FindStringSubmatch(e.reason); m != nil {
		e.line = lineOf(data, max(bytes.Index(data, []byte("*"+m[1])), 0))
		e.reason = aliasRefused
	}
	return e
}

const aliasRefused = "YAML aliases are not allowed"

// mapping returns the entries of n in order. It refuses what is not a mapping, keys that occur twice, and
// the parts of YAML that would let one thing be written in another place.
func mapping(n *yaml.Node, path string) ([]pair, error) {
	if n.Kind == yaml.AliasNode {
		return nil, errorAt(n, path, aliasRefused)
	}
	if n.Kind != yaml.MappingNode || n.Tag != "!!map" {
		return nil, errorAt(n, path, "must be a mapping")
	}
	pairs := make([]pair, 0, len(n.Content)/2)
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		kv := pair{key: n.Content[i], value: n.Content[i+1]}
		if kv.key.Kind != yaml.ScalarNode || kv.key.Tag == "!!merge" {
			return nil, errorAt(kv.key, path, "a key must be a plain word")
		}
		kv.path = quoteName(kv.key.Value)
		if path != "" {
			kv.path = path + "." + kv.path
		}
		if seen[kv.key.Value] {
			return nil, errorAt(kv.key, kv.path, "is there twice")
		}
		seen[kv.key.Value] = true
		if kv.value.Kind == yaml.AliasNode {
			return nil, errorAt(kv.value, kv.path, aliasRefused)
		}
		pairs = append(pairs, kv)
	}
	return pairs, nil
}

// text returns a value that is a string. What YAML takes for another type, such as 0123 or yes, has to be
// in quotes, so that nobody has to know how it would be turned into text.
func text(kv pair) (string, error) {
	if kv.value.Kind != yaml.ScalarNode || kv.value.Tag != "!!str" {
		return "", errorAt(kv.value, kv.path, "must be a string, in quotes if need be")
	}
	return kv.value.Value, nil
}

// integer returns a value that is a decimal whole number.
func integer(kv pair) (int64, error) {
	if kv.value.Kind == yaml.ScalarNode && kv.value.Tag == "!!int" {
		if v, err := strconv.ParseInt(kv.value.Value, 10, 64); err == nil {
			return v, nil
		}
	}
	return 0, errorAt(kv.value, kv.path, "must be a whole number")
}
