package index

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// check fails where a node below n has no purpose or is not found where it belongs. It counts the nodes below n.
func (n *node[V]) check(t *testing.T) (nodes int) {
	t.Helper()
	var children []*node[V]
	if n.plus != nil {
		children = append(children, n.plus)
		if n.plus.label[0] != plus {
			t.Errorf("%v is where + belongs", n.plus.label)
		}
	}
	if n.literals != nil {
		inUse := 0
		for _, one := range n.literals.slots {
			if one.node == nil {
				continue
			}
			inUse++
			children = append(children, one.node)
			if one.first != one.node.label[0] || n.literals.get(one.first) != one.node {
				t.Errorf("%v is not found", one.node.label)
			}
		}
		if inUse == 0 || inUse != n.literals.count {
			t.Errorf("%v: %d children, counted %d", n.label, inUse, n.literals.count)
		}
	}
	for _, s := range []subscribers[V]{n.exact, n.below} {
		if s.more != nil && (len(s.more.items) < 2 || !s.some) {
			t.Errorf("%v: a set of %d subscribers", n.label, len(s.more.items))
		}
	}
	for _, child := range children {
		if !child.exact.some && !child.below.some && child.count() < 2 {
			t.Errorf("%v has nobody and %d children", child.label, child.count())
		}
		nodes += 1 + child.check(t)
	}
	return nodes
}

func (ix *Index[V]) empty() bool {
	return reflect.ValueOf(ix.root).IsZero() && reflect.ValueOf(ix.words).IsZero()
}

// expectBounded checks the bound that holds whatever the filters are: twice as many nodes as filters.
func expectBounded(t *testing.T, ix *Index[int], filters int) {
	t.Helper()
	if nodes := ix.root.check(t); nodes > 2*filters {
		t.Errorf("%d nodes for %d filters", nodes, filters)
	}
}

// A match visits each node at most once, and this is how many there are, however the levels and wildcards of the filters
// are chosen.
func TestTwoNodesPerFilter(t *testing.T) {
	for name, filters := range map[string][]string{
		"wildcards in 12 levels":  everyMask(12, "a"),
		"wildcards in 64 levels":  hostile64(1000, "a"),
		"prefixes of one another": prefixes(64),
		"wildcards at random":     random(10_000, 10),
	} {
		t.Run(name, func(t *testing.T) {
			var ix Index[int]
			distinct, check := 0, len(filters)/10
			for i, f := range filters {
				if ix.Add(f, i) {
					distinct++
				}
				if i%check == 0 {
					expectBounded(t, &ix, distinct)
				}
			}
			expectBounded(t, &ix, distinct)
			order := rand.New(rand.NewPCG(1, 1)).Perm(len(filters))
			for n, i := range order {
				if ix.Remove(filters[i], i) {
					distinct--
				}
				if n%check == 0 {
					expectBounded(t, &ix, distinct)
				}
			}
			if distinct != 0 || !ix.empty() {
				t.Errorf("%d filters are left, or this: %+v, %+v", distinct, ix.root, ix.words)
			}
		})
	}
}

// The longest way that a topic can take: as many levels as it has, one node each.
func prefixes(levels int) (filters []string) {
	for n := 1; n <= levels; n++ {
		filters = append(filters, strings.Repeat("+/", n-1)+"+", strings.Repeat("a/", n-1)+"a/#")
	}
	return filters
}

// everyMask are the 2^levels filters of that many levels, each "+" or "a", and a last one. For the topic of equal levels "a"
// all their nodes are searched; they match it where last is "a".
func everyMask(levels int, last string) (filters []string) {
	for mask := range 1 << levels {
		filters = append(filters, wild(levels, uint64(mask))+last)
	}
	return filters
}

// hostile64 are n different filters of 64 levels with wildcards at random places, of which the topic of 64 equal levels
// "a" agrees with all but the last level, or with that too.
func hostile64(n int, last string) (filters []string) {
	random := rand.New(rand.NewPCG(64, 64))
	for range n {
		filters = append(filters, wild(63, random.Uint64())+last)
	}
	return filters
}

// wild is that many levels, "+" where the mask has a bit and "a" elsewhere, each with the separator after it.
func wild(levels int, mask uint64) string {
	var b strings.Builder
	for i := range levels {
		if mask>>i&1 != 0 {
			b.WriteString("+/")
		} else {
			b.WriteString("a/")
		}
	}
	return b.String()
}

// random are n filters of 4 to 6 levels out of that many words; every fourth level is "+", every fourth filter ends in "#".
func random(n, words int) (filters []string) {
	random := rand.New(rand.NewPCG(4, 6))
	for range n {
		levels := make([]string, 4+random.IntN(3))
		for i := range levels {
			if random.IntN(4) == 0 {
				levels[i] = "+"
			} else {
				levels[i] = fmt.Sprintf("level-%d", random.IntN(words))
			}
		}
		if random.IntN(4) == 0 {
			levels[len(levels)-1] = "#"
		}
		filters = append(filters, strings.Join(levels, "/"))
	}
	return filters
}

// A filter's subscribers, a level's children and the words that were many give their memory back before they are empty.
func TestShrink(t *testing.T) {
	const n = 10_000
	var ix Index[int]
	for i := range n {
		ix.Add("a/+", i)
		ix.Add(fmt.Sprintf("a/%d", i), i)
	}
	for i := range n - few {
		ix.Remove("a/+", i)
		ix.Remove(fmt.Sprintf("a/%d", i), i)
	}
	a := ix.root.literals.only()
	subscribers, children := a.plus.exact.more.items, a.literals
	if len(subscribers) != few || children.count != few {
		t.Fatalf("%d subscribers, %d children", len(subscribers), children.count)
	}
	if cap(subscribers) > 4*few || len(children.slots) > 8*few {
		t.Errorf("room for %d and %d", cap(subscribers), len(children.slots))
	}
	if ix.words.most > 4*(few+1) {
		t.Errorf("%d words, room for %d", len(ix.words.known), ix.words.most)
	}
	a.check(t)
	if got := ix.Match(nil, "a/9999"); !slices.Contains(got, 9999) || len(got) != few+1 {
		t.Errorf("a/9999: %v", got)
	}
}
