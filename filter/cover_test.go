package filter_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weirmq/weir/filter"
)

func TestCover(t *testing.T) {
	for _, c := range []struct{ filters, want string }{
		{"a", "a"},
		{"a a", "a"},
		{"a/b a/c", "a/b a/c"},
		{"a/b a/+", "a/+"},
		{"a/# a a/b/c", "a/#"},
		{"a/+ +/b", "+/+"},
		{"a/+ +/b c", "+/+ c"},
		{"a/+/c a/b/# d", "a/+/# d"},
		{"a/+ b/+ +/c", "+/+"},
		{"# a", "#"},
		{"/a /+ +/b/c", "/+ +/b/c"},
	} {
		got := filter.Cover(strings.Fields(c.filters))
		slices.Sort(got)
		want := strings.Fields(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.filters, got, want)
		}
	}
	if got := filter.Cover(nil); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}

// Whatever the filters are, nothing is left out and nothing is matched twice.
func TestCoverOfRandomFilters(t *testing.T) {
	words := []string{"a", "b", "+", ""}
	random := func() string {
		levels := make([]string, 1+rand.N(3))
		for i := range levels {
			levels[i] = words[rand.N(len(words))]
		}
		if rand.N(4) == 0 {
			levels = append(levels, "#")
		}
		return strings.Join(levels, "/")
	}
	for range 5000 {
		var filters []string
		for range 1 + rand.N(6) {
			if f := random(); filter.Check(f) == nil {
				filters = append(filters, f)
			}
		}
		cover := filter.Cover(filters)
		for _, f := range filters {
			if !slices.ContainsFunc(cover, func(c string) bool { return filter.Covers(c, f) }) {
				t.Fatalf("%q leaves out %s of %q", cover, f, filters)
			}
		}
		for i, c := range cover {
			for _, other := range cover[:i] {
				if filter.Intersects(c, other) {
					t.Fatalf("%q of %q overlap", cover, filters)
				}
			}
		}
	}
}
