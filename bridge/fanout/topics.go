package fanout

import (
	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/reader"
)

// At places of many topics.
const (
	// manyHeld and its history are what maxHeld is elsewhere: all topics together have the room of one reader, whose window is
	// as large.
	manyHeld           = 16_384
	manyHeldByOne      = 2048 // of a source of a single subscription, whose window is half of that
	manyHistoryEntries = 4096
	manyHistoryBytes   = 4 << 20
)

// topics is what a subscription has at a place of many topics besides; guarded by feed.mu.
type topics struct {
	exact map[string]*interest // by topic
	wild  []*interest
	// queue is what the shared ring has for it, in order, and what it has yet to take while it reads there. While it reads a source
	// of its own it is what it would find on its return: the newest of that, see prune.
	queue queue
	gone  uint64 // stream sequence of the newest that prune has taken off although it was not taken
	round uint64 // of the matcher, when a message was last for this subscription
	// narrowing: a goroutine makes a source of its own for less filters.
	narrowing bool
	change    chan struct{} // has a token while a source of its own is made for changed filters; never closed
}

// interest is one topic filter of a subscription.
type interest struct {
	sub    *Subscription
	filter string
	after  uint64 // it wants messages above this stream sequence
}

func newTopics() *topics {
	return &topics{exact: make(map[string]*interest), change: make(chan struct{}, 1)}
}

// find returns the interest of a filter, nil where there is none.
func (t *topics) find(name string) *interest {
	if !filter.HasWildcards(name) {
		return t.exact[name]
	}
	for _, in := range t.wild {
		if in.filter == name {
			return in
		}
	}
	return nil
}

func (t *topics) add(in *interest) {
	if filter.HasWildcards(in.filter) {
		t.wild = append(t.wild, in)
	} else {
		t.exact[in.filter] = in
	}
}

func (t *topics) remove(in *interest) {
	if !filter.HasWildcards(in.filter) {
		delete(t.exact, in.filter)
		return
	}
	for i := range t.wild {
		if t.wild[i] == in {
			last := len(t.wild) - 1
			t.wild[i], t.wild[last] = t.wild[last], nil
			t.wild = t.wild[:last]
			return
		}
	}
}

func (t *topics) len() int { return len(t.exact) + len(t.wild) }

// names lists the filters.
func (t *topics) names() []string {
	names := make([]string, 0, t.len()+1)
	for name := range t.exact {
		names = append(names, name)
	}
	for _, in := range t.wild {
		names = append(names, in.filter)
	}
	return names
}

// matches tells whether a filter matches a topic.
func (t *topics) matches(topic string) bool {
	if t.exact[topic] != nil {
		return true
	}
	for _, in := range t.wild {
		if filter.Match(in.filter, topic) {
			return true
		}
	}
	return false
}

// wants tells whether a filter wants a message.
func (t *topics) wants(d *reader.Delivery) bool {
	if in := t.exact[d.Topic]; in != nil && in.after < d.Sequence {
		return true
	}
	for _, in := range t.wild {
		if in.after < d.Sequence && filter.Match(in.filter, d.Topic) {
			return true
		}
	}
	return false
}

// within tells whether all filters are covered by some of a list; nil is everything.
func (t *topics) within(list []string) bool {
	if list == nil {
		return true
	}
	for name := range t.exact {
		if !covered(name, list) {
			return false
		}
	}
	for _, in := range t.wild {
		if !covered(in.filter, list) {
			return false
		}
	}
	return true
}

// covered tells whether one of a list covers a filter; nil is everything.
func covered(name string, list []string) bool {
	if list == nil {
		return true
	}
	for _, other := range list {
		if filter.Covers(other, name) {
			return true
		}
	}
	return false
}
