package index_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/filter/index"
)

// FuzzMatch builds an index of filters, one per line, takes every third of them away again and compares what matches with
// the naive matching.
func FuzzMatch(f *testing.F) {
	f.Add("#\n+/#\na/#\na/+\n+/a\na/a", "a/a")
	f.Add("a/b/c/d\na/b/+/d\na/b/x\na/b/c/#\n//\n/+", "a/b/c/d")
	f.Add("$SYS/#\n+/x\n#\n$SYS/+", "$SYS/x")
	f.Add("/\n//\n///#\n+/+\n+//", "//")
	f.Fuzz(func(t *testing.T, lines, topic string) {
		if !codec.ValidTopicName(topic) {
			return
		}
		var filters []string
		for filter := range strings.SplitSeq(lines, "\n") {
			if codec.ValidFilter(filter) {
				filters = append(filters, filter)
			}
		}
		var ix index.Index[int]
		for i, filter := range filters {
			ix.Add(filter, i)
		}
		var want []int
		for i, filter := range filters {
			if i%3 == 2 {
				ix.Remove(filter, i)
				continue
			}
			matches := naive(filter, topic)
			if topicfilter.Match(filter, topic) != matches {
				t.Errorf("Match(%q, %q): %v", filter, topic, !matches)
			}
			if matches {
				want = append(want, i)
			}
		}
		got := ix.Match(nil, topic)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("topic %q: got %v, want %v", topic, got, want)
		}
	})
}
