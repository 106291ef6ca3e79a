package index

// children are nodes by the first levels of their labels: a hash table with open addressing, so that in a large one a
// lookup reads one place in memory. The zero value is empty.
type children[V comparable] struct {
	slots []slot[V] // their number is a power of two; at most three quarters are in use
	count int
}

type slot[V comparable] struct {
	first level
	node  *node[V] // nil: not in use
}

// home is where a level belongs: it is there, or after it without a slot between that is not in use.
func (c *children[V]) home(first level) int {
	// The numbers follow one another; this scatters them.
	return int(uint64(first)*0x9E3779B97F4A7C15>>32) & (len(c.slots) - 1)
}

// find returns the slot of a level, or the one in which to put it. There is at least one slot.
func (c *children[V]) find(first level) int {
	i := c.home(first)
	for c.slots[i].node != nil && c.slots[i].first != first {
		i = (i + 1) & (len(c.slots) - 1)
	}
	return i
}

// get returns the child whose label begins with that level, or nil.
func (c *children[V]) get(first level) *node[V] {
	if c == nil {
		return nil
	}
	return c.slots[c.find(first)].node
}

// put adds a child, or puts it in the place of the one with the same first level.
func (c *children[V]) put(child *node[V]) {
	if (c.count+1)*4 > len(c.slots)*3 {
		c.resize(max(2, 2*len(c.slots)))
	}
	s := &c.slots[c.find(child.label[0])]
	if s.node == nil {
		c.count++
	}
	*s = slot[V]{child.label[0], child}
}

// remove takes the child with that first level away. There is one.
func (c *children[V]) remove(first level) {
	mask := len(c.slots) - 1
	gap := c.find(first)
	for i := (gap + 1) & mask; c.slots[i].node != nil; i = (i + 1) & mask {
		// What may be as far from home as the gap is closes it, so that it is still found.
		if (i-c.home(c.slots[i].first))&mask >= (i-gap)&mask {
			c.slots[gap] = c.slots[i]
			gap = i
		}
	}
	c.slots[gap] = slot[V]{}
	if c.count--; c.count > 0 && c.count <= len(c.slots)/8 {
		c.resize(len(c.slots) / 2)
	}
}

func (c *children[V]) resize(n int) {
	old := c.slots
	c.slots = make([]slot[V], n)
	for _, s := range old {
		if s.node != nil {
			c.slots[c.find(s.first)] = s
		}
	}
}

// only returns the child where there is one.
func (c *children[V]) only() *node[V] {
	i := 0
	for c.slots[i].node == nil {
		i++
	}
	return c.slots[i].node
}
