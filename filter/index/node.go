package index

import "slices"

// node stands for one or more levels after those of its parent. It has subscribers or at least two children; only the root
// may have less.
type node[V comparable] struct {
	label    []level        // the levels, "+" among them, but never "#"
	exact    subscribers[V] // of the filter that ends here
	below    subscribers[V] // of the filter that goes on with "#"
	plus     *node[V]       // the child whose label begins with "+"
	literals *children[V]   // the others; nil: none
}

// match appends the subscribers that match the levels of a topic, from n on.
func (n *node[V]) match(dst []V, topic []level) []V {
	if !agree(n.label, topic) {
		return dst
	}
	topic = topic[len(n.label):]
	dst = n.below.appendTo(dst)
	if len(topic) == 0 {
		return n.exact.appendTo(dst)
	}
	if child := n.literals.get(topic[0]); child != nil {
		dst = child.match(dst, topic)
	}
	if n.plus != nil {
		dst = n.plus.match(dst, topic)
	}
	return dst
}

// agree tells whether a label matches the first levels of a topic. It has no branch per level: with wildcards at random
// places each would be mispredicted half of the time.
func agree(label, topic []level) bool {
	if len(label) > len(topic) {
		return false
	}
	var differ level
	for i, one := range topic[:len(label)] {
		literal := level(int32(label[i]|-label[i]) >> 31) // all bits, or none for "+"
		differ |= (label[i] ^ one) & literal
	}
	return differ == 0
}

// subscribers are those of the filter that ends at n.
func (n *node[V]) subscribers(below bool) *subscribers[V] {
	if below {
		return &n.below
	}
	return &n.exact
}

// grow returns the node at a path below n, which it makes if there is none: the caller gives it subscribers.
func (n *node[V]) grow(path []level) *node[V] {
	for len(path) > 0 {
		child := n.child(path[0])
		if child == nil {
			child = &node[V]{label: path}
			n.put(child)
			return child
		}
		shared := common(child.label, path)
		if shared < len(child.label) {
			child = n.split(child, shared)
		}
		n, path = child, path[shared:]
	}
	return n
}

// common is the number of first levels in which two paths are the same.
func common(a, b []level) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

// split puts a node for the first levels of a child's label between the child and n.
func (n *node[V]) split(child *node[V], at int) *node[V] {
	upper := &node[V]{label: child.label[:at:at]}
	child.label = child.label[at:]
	upper.put(child)
	n.put(upper)
	return upper
}

// remove takes v away from the filter at a path below n, reports whether it was the last, and if so removes the nodes that
// have no purpose any more.
func (n *node[V]) remove(path []level, v V, below bool) (last bool) {
	if len(path) == 0 {
		return n.subscribers(below).remove(v)
	}
	child := n.child(path[0])
	if child == nil || common(child.label, path) < len(child.label) {
		return false
	}
	last = child.remove(path[len(child.label):], v, below)
	if last && !child.exact.some && !child.below.some {
		n.tidy(child)
	}
	return last
}

// tidy removes a child without subscribers and children, and joins one with a single child with that.
func (n *node[V]) tidy(child *node[V]) {
	switch child.count() {
	case 0:
		n.cut(child)
	case 1:
		only := child.plus
		if only == nil {
			only = child.literals.only()
		}
		only.label = slices.Concat(child.label, only.label)
		n.put(only)
	}
}

// count is the number of children.
func (n *node[V]) count() (count int) {
	if n.plus != nil {
		count = 1
	}
	if n.literals != nil {
		count += n.literals.count
	}
	return count
}

// child is the child whose label begins with that level, or nil.
func (n *node[V]) child(first level) *node[V] {
	if first == plus {
		return n.plus
	}
	return n.literals.get(first)
}

// put adds a child, or puts it in the place of the one with the same first level.
func (n *node[V]) put(child *node[V]) {
	if child.label[0] == plus {
		n.plus = child
		return
	}
	if n.literals == nil {
		n.literals = &children[V]{}
	}
	n.literals.put(child)
}

// cut removes a child.
func (n *node[V]) cut(child *node[V]) {
	if child.label[0] == plus {
		n.plus = nil
		return
	}
	n.literals.remove(child.label[0])
	if n.literals.count == 0 {
		n.literals = nil
	}
}
