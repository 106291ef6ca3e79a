package fanout

// What a subscription has yet to take from its source is everything from its cursor on. At a place of many topics the shared source
// has what others want besides; there it is a queue of indexes. Only the methods below know the difference.

// many tells that the subscription reads a source that others fill with what it does not want.
func (s *Subscription) many() bool { return s.topics != nil && s.source.owner == nil }

// head is the index of the first message that it has yet to take, or the end of the ring.
func (s *Subscription) head() uint64 {
	if !s.many() {
		return s.cursor
	}
	if q := &s.topics.queue; q.len() > 0 {
		return q.at(0).index
	}
	return s.source.ring.next
}

// pass takes the message at the head, index i, off what it has yet to take.
func (s *Subscription) pass(i uint64) {
	if s.many() {
		s.topics.queue.pop()
	}
	s.cursor = i + 1
}

// each calls do for the index of everything that it has yet to take.
func (s *Subscription) each(do func(index uint64)) {
	if s.many() {
		q := &s.topics.queue
		for i := range q.len() {
			do(q.at(i).index)
		}
		return
	}
	for i := s.cursor; i < s.source.ring.next; i++ {
		do(i)
	}
}

// skip moves a subscription that does not hold past messages that are gone.
func (s *Subscription) skip() {
	r := &s.source.ring
	if s.many() {
		for q := &s.topics.queue; q.len() > 0 && q.at(0).index < r.readable; {
			q.pop()
			s.feed.skipped(1)
		}
		return
	}
	if s.cursor < r.readable {
		s.feed.skipped(r.readable - s.cursor)
		s.cursor = r.readable
	}
}
