package index_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	topicfilter "github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/filter/index"
)

// naive is the matching of section 4.7, level by level.
func naive(filter, topic string) bool {
	if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	return naiveLevels(strings.Split(filter, "/"), strings.Split(topic, "/"))
}

func naiveLevels(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#":
		return true
	case len(topic) == 0:
		return false
	}
	return (filter[0] == "+" || filter[0] == topic[0]) && naiveLevels(filter[1:], topic[1:])
}

func TestMatch(t *testing.T) {
	for _, one := range []struct {
		statement, filter string
		matches, others   string // topics, separated by spaces
	}{
		{"MQTT-4.7.1-1", "sport/tennis/player1/#", "sport/tennis/player1 sport/tennis/player1/ranking sport/tennis/player1/score/wimbledon", "sport/tennis sport/tennis/player1x sport/tennis/player2"},
		{"MQTT-4.7.1-1", "sport/#", "sport sport/ sport/a sport//", "sports spor /sport a/sport"},
		{"MQTT-4.7.1-1", "#", "a a/b / /a a/ //", ""},
		{"MQTT-4.7.1-2", "sport/tennis/+", "sport/tennis/player1 sport/tennis/", "sport/tennis sport/tennis/player1/ranking"},
		{"MQTT-4.7.1-2", "sport/+", "sport/ sport/a", "sport sport/a/b"},
		{"MQTT-4.7.1-2", "+", "finance a", "/finance / a/"},
		{"MQTT-4.7.1-2", "+/+", "/finance a/b / a/", "a a/b/c //"},
		{"MQTT-4.7.1-2", "/+", "/finance /", "finance a/b //"},
		{"MQTT-4.7.1-2", "+/tennis/#", "a/tennis /tennis a/tennis/b/c", "tennis a/b/tennis"},
		{"MQTT-4.7.1-2", "sport/+/player1", "sport/tennis/player1 sport//player1", "sport/player1 sport/tennis/player12 sport/a/b/player1"},
		{"MQTT-4.7.1-2", "+/#", "a / a/b/c", ""},
		{"MQTT-4.7.2-1", "#", "a$ a/$b", "$SYS $SYS/monitor/Clients $ $/a"},
		{"MQTT-4.7.2-1", "+/monitor/Clients", "SYS/monitor/Clients", "$SYS/monitor/Clients $/monitor/Clients"},
		{"MQTT-4.7.2-1", "+/#", "a/$", "$ $SYS $SYS/a"},
		{"MQTT-4.7.2-1", "$SYS/#", "$SYS $SYS/ $SYS/a/b", "$SYSa SYS"},
		{"MQTT-4.7.2-1", "$SYS/monitor/+", "$SYS/monitor/Clients", "$SYS/monitor"},
		{"MQTT-4.7.3-4", "Accounts", "Accounts", "ACCOUNTS accounts /Accounts Accounts/"},
		{"MQTT-4.7.3-4", "/", "/", "// a a/ /a"},
	} {
		t.Run(fmt.Sprintf("[%s] %s", one.statement, strings.ReplaceAll(one.filter, "/", "|")), func(t *testing.T) {
			var ix index.Index[int]
			ix.Add(one.filter, 1)
			for i, topics := range []string{one.others, one.matches} {
				for _, topic := range strings.Fields(topics) {
					if want := i == 1; topicfilter.Match(one.filter, topic) != want || len(ix.Match(nil, topic)) != i {
						t.Errorf("topic %s: Matches %v, Match %v, want %v", topic, !want, ix.Match(nil, topic), want)
					}
				}
			}
		})
	}
}

func TestFirstAndLast(t *testing.T) {
	var ix index.Index[int]
	expect := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	for _, filter := range []string{"#", "a", "a/#", "a/+/c", "a/b/c", "+"} {
		expect("Remove before any "+filter, ix.Remove(filter, 1), false)
		expect("Add first "+filter, ix.Add(filter, 1), true)
		expect("Add second "+filter, ix.Add(filter, 2), false)
		expect("Add again "+filter, ix.Add(filter, 2), false)
		expect("Remove unknown "+filter, ix.Remove(filter, 3), false)
		expect("Remove one "+filter, ix.Remove(filter, 1), false)
		expect("Remove again "+filter, ix.Remove(filter, 1), false)
		expect("Remove last "+filter, ix.Remove(filter, 2), true)
		expect("Add "+filter, ix.Add(filter, 1), true)
	}
	// A path that ends within a node's levels, or goes on below a leaf, is nobody's.
	for _, filter := range []string{"a/b", "a/+", "a/+/#", "a/b/c/d", "a/b/cd", "a/b/c/#"} {
		expect("Remove unknown "+filter, ix.Remove(filter, 1), false)
	}
	if got := ix.Match(nil, "a/b/c"); len(got) != 4 {
		t.Errorf("a/b/c: %v", got)
	}
}

// Subscribers of one filter are found whatever their number, before, while and after most of them leave.
func TestManySubscribers(t *testing.T) {
	const n = 1000
	var ix index.Index[int]
	want := map[int]bool{}
	check := func() {
		t.Helper()
		got := ix.Match(nil, "a/b")
		for _, v := range got {
			if !want[v] {
				t.Fatalf("%d is no subscriber", v)
			}
		}
		if slices.Sort(got); len(got) != len(want) || len(slices.Compact(got)) != len(want) {
			t.Fatalf("got %d subscribers, want %d", len(got), len(want))
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, v := range random.Perm(n) {
		ix.Add("a/+", v)
		want[v] = true
		check()
	}
	for i, v := range random.Perm(n) {
		delete(want, v)
		if last := ix.Remove("a/+", v); last != (i == n-1) {
			t.Fatalf("Remove %d of %d: last is %v", i, n, last)
		}
		check()
	}
}

// Random changes to an index of few levels and words, so that filters share and branch at all places.
func TestAgainstNaive(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	words := []string{"", "a", "b", "ab", "$a", "+", "+"}
	pick := func(words []string) string {
		levels := make([]string, 1+random.IntN(6))
		for i := range levels {
			levels[i] = words[random.IntN(len(words))]
		}
		return strings.Join(levels, "/")
	}
	filter := func() string {
		f := pick(words)
		if random.IntN(4) == 0 {
			f += "/#"
		}
		if f == "" || random.IntN(100) == 0 {
			return "#"
		}
		return f
	}
	var ix index.Index[string] // each subscriber is its filter
	stored := map[string]bool{}
	var order []string
	for i := range 4000 {
		// Filling and emptying take turns.
		if i/200%2 == 0 {
			f := filter()
			if first := ix.Add(f, f); first == stored[f] {
				t.Fatalf("Add %q: first is %v", f, first)
			}
			if !stored[f] {
				stored[f], order = true, append(order, f)
			}
		} else if len(order) > 0 {
			at := random.IntN(len(order))
			f := order[at]
			order[at] = order[len(order)-1]
			order = order[:len(order)-1]
			delete(stored, f)
			if !ix.Remove(f, f) {
				t.Fatalf("Remove %q: not the last", f)
			}
		}
		topic := pick(words[:5])
		if topic == "" {
			continue
		}
		var want []string
		for f := range stored {
			matches := naive(f, topic)
			if topicfilter.Match(f, topic) != matches {
				t.Fatalf("Match(%q, %q): %v", f, topic, !matches)
			}
			if matches {
				want = append(want, f)
			}
		}
		got := ix.Match(nil, topic)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("topic %q: got %q, want %q", topic, got, want)
		}
	}
}

// Filters that nobody touches are found at any moment while others come and go around them, and what was added or removed
// is seen, or not, at once.
func TestConcurrent(t *testing.T) {
	const rounds = 2000
	var ix index.Index[int]
	for i, f := range []string{"a/b/c", "a/+/c", "a/#", "#"} {
		ix.Add(f, -1-i)
	}
	var work sync.WaitGroup
	for w := range 3 {
		work.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(w)))
			filters := []string{"a", "a/b", "a/b/+", "a/b/c/d", "+/b/c", "a/+/#", "a/b/#", "+/#", "a/b/c/+/e"}
			var matches []int
			for i := range rounds {
				f := filters[random.IntN(len(filters))]
				v := w*rounds + i
				ix.Add(f, v)
				matches = ix.Match(matches[:0], "a/b/c")
				if slices.Contains(matches, v) != naive(f, "a/b/c") {
					t.Errorf("%d under %s: wrong among %v", v, f, matches)
				}
				ix.Remove(f, v)
				matches = ix.Match(matches[:0], "a/b/c")
				if slices.Contains(matches, v) {
					t.Errorf("%d under %s: there after Remove", v, f)
				}
				for stays := -4; stays < 0; stays++ {
					if !slices.Contains(matches, stays) {
						t.Errorf("%d is missing", stays)
					}
				}
			}
		})
	}
	work.Wait()
	if got := ix.Match(nil, "a/b/c"); len(got) != 4 {
		t.Errorf("at the end: %v", got)
	}
}

// More levels than a match has room for without an allocation.
func TestManyLevels(t *testing.T) {
	var ix index.Index[string]
	topic := strings.Repeat("a/", 99) + "a"
	for _, f := range []string{topic, strings.Repeat("+/", 99) + "+", strings.Repeat("+/a/", 49) + "#", topic + "/#", topic + "/a", topic[2:]} {
		ix.Add(f, f)
	}
	for _, f := range ix.Match(nil, topic) {
		if !naive(f, topic) || !ix.Remove(f, f) {
			t.Errorf("%q matches", f)
		}
	}
	if got := ix.Match(nil, topic+"/a"); len(got) != 1 {
		t.Errorf("one level more: %q", got)
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	var ix index.Index[*int]
	for _, f := range []string{"a/b/c", "a/+/c", "a/#", "#", "+/b/+", "+/+/+/#"} {
		ix.Add(f, new(int))
	}
	var matches []*int
	matched := false
	if n := testing.AllocsPerRun(100, func() {
		matches = ix.Match(matches[:0], "a/b/c")
		matched = topicfilter.Match("+/b/#", "a/b/c")
	}); n != 0 || len(matches) != 6 || !matched {
		t.Errorf("%v allocations, matches %v, matched %v", n, matches, matched)
	}
}
