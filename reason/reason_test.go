package reason_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/reason"
)

// constants returns the values of all constants in reason.go, in order.
func constants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, value := range spec.Values {
			literal, ok := value.(*ast.BasicLit)
			if !ok {
				t.Fatalf("the value of %s is not a literal", spec.Names[0])
			}
			s, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, s)
		}
		return false
	})
	return values
}

// Operators look reasons up in docs/errors.md, so it has a row for each, in the same order, and for nothing else.
func TestEveryReasonIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(page, -1) {
		documented = append(documented, string(match[1]))
	}
	if diff := cmp.Diff(constants(t), documented); diff != "" {
		t.Errorf("reason.go (-) and docs/errors.md (+):\n%s", diff)
	}
}

// A reason is a metric label, a JSON code and something that people search for.
func TestReasonsAreDistinctWords(t *testing.T) {
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	var seen []string
	for _, value := range constants(t) {
		if !word.MatchString(value) {
			t.Errorf("%q is not lower case words with underscores", value)
		}
		if slices.Contains(seen, value) {
			t.Errorf("%q twice", value)
		}
		seen = append(seen, value)
	}
}

func TestError(t *testing.T) {
	cause := errors.New("connection refused")
	err := &reason.Error{Reason: reason.NATSUnavailable, Message: "not connected", Err: cause}
	if got, want := err.Error(), "nats_unavailable: not connected"; got != want {
		t.Errorf("got %q, want %q: the cause is not for clients", got, want)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got, want := reason.New(reason.TopicQuota, "").Error(), "topic_quota"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
