// Package index finds the subscribers of a topic among many topic filters.
//
// The filters are a tree by levels in which a chain of levels without a branch is one node. So there are at most twice as
// many nodes as filters, however many levels and wildcards these have. One topic visits each node at most once, and of n
// levels at most 2^(n+1): a client that adds s filters adds at most 2s visits to the match of a topic with many levels, and
// at most 126 to that of one with six. A visit compares a number per level, the same for equal levels of all filters.
package index

import (
	"strings"
	"sync"
)

// Index holds subscribers, each under a topic filter. The zero value is empty and ready for use, which is safe
// concurrently. Filters are valid as codec.ValidFilter tells, topics as codec.ValidTopicName tells; the index keeps no
// bytes of theirs.
//
// A lock guards the tree. To match without one, a change would have to copy what it changes, and that can be one level
// with 100,000 children.
type Index[V comparable] struct {
	mu    sync.RWMutex
	root  node[V] // guarded by mu; its label is no level
	words words   // guarded by mu
}

// Add puts v under the filter; under the same filter a second time, it has no effect. It reports whether the filter had
// nobody before.
func (ix *Index[V]) Add(filter string, v V) (first bool) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.words.hold(filter, 1)
	path, below := ix.words.numbers(make([]level, 0, 1+strings.Count(filter, "/")), filter)
	first = ix.root.grow(path).subscribers(below).add(v)
	if !first {
		ix.words.hold(filter, -1)
	}
	return first
}

// Remove takes v away from the filter, if it is there. It reports whether the filter has nobody any more because of it.
func (ix *Index[V]) Remove(filter string, v V) (last bool) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var levels [usualLevels]level
	path, below := ix.words.numbers(levels[:0], filter)
	last = ix.root.remove(path, v, below)
	if last {
		ix.words.hold(filter, -1)
	}
	return last
}

// usualLevels is how many levels a topic may have for a match without an allocation.
const usualLevels = 64

// Match appends the subscribers of the topic to dst, in no particular order: one that is under several filters that match
// comes once for each. It sees every Add and Remove that returned before, and allocates only to grow dst.
func (ix *Index[V]) Match(dst []V, topic string) []V {
	var levels [usualLevels]level
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	path, _ := ix.words.numbers(levels[:0], topic)
	if strings.HasPrefix(topic, "$") {
		if child := ix.root.literals.get(path[0]); child != nil {
			return child.match(dst, path)
		}
		return dst // [MQTT-4.7.2-1]
	}
	return ix.root.match(dst, path)
}
