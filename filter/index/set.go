package index

import "slices"

// subscribers are those of one filter. Most filters have one, which then is at hand.
type subscribers[V comparable] struct {
	one  V
	some bool    // there is one, or more
	more *set[V] // all, when there are two or more; one is then unused
}

// add reports whether v is the first.
func (s *subscribers[V]) add(v V) (first bool) {
	switch {
	case !s.some:
		s.one, s.some = v, true
		return true
	case s.more != nil:
		s.more.add(v)
	case s.one != v:
		*s = subscribers[V]{some: true, more: &set[V]{items: []V{s.one, v}}}
	}
	return false
}

// remove reports whether v was the last.
func (s *subscribers[V]) remove(v V) (last bool) {
	if s.more != nil {
		s.more.remove(v)
		if len(s.more.items) == 1 {
			*s = subscribers[V]{some: true, one: s.more.items[0]}
		}
		return false
	}
	if !s.some || s.one != v {
		return false
	}
	*s = subscribers[V]{}
	return true
}

func (s *subscribers[V]) appendTo(dst []V) []V {
	switch {
	case s.more != nil:
		return append(dst, s.more.items...)
	case s.some:
		return append(dst, s.one)
	}
	return dst
}

// set is a set of values in a slice, for the sake of reading all of them.
type set[T comparable] struct {
	items []T
	at    map[T]int // their positions; nil while they are few
}

// few values are looked for one by one, which is faster than a map and costs no memory.
const few = 8

// find returns the position of v, or -1.
func (s *set[T]) find(v T) int {
	if s.at == nil {
		return slices.Index(s.items, v)
	}
	if i, ok := s.at[v]; ok {
		return i
	}
	return -1
}

func (s *set[T]) add(v T) {
	if s.find(v) >= 0 {
		return
	}
	s.items = append(s.items, v)
	switch {
	case s.at != nil:
		s.at[v] = len(s.items) - 1
	case len(s.items) > few:
		s.locate()
	}
}

// remove puts the last value in the place of v, and gives memory back when three quarters are unused.
func (s *set[T]) remove(v T) {
	i := s.find(v)
	if i < 0 {
		return
	}
	last := len(s.items) - 1
	s.items[i] = s.items[last]
	clear(s.items[last:])
	s.items = s.items[:last]
	if cap(s.items) > 2*few && last <= cap(s.items)/4 {
		s.items = append(make([]T, 0, 2*last), s.items...)
		s.locate() // maps do not shrink
		return
	}
	if s.at == nil {
		return
	}
	delete(s.at, v)
	if i < last {
		s.at[s.items[i]] = i
	}
}

// locate makes the map of positions anew, or none where the values are few.
func (s *set[T]) locate() {
	s.at = nil
	if len(s.items) <= few {
		return
	}
	s.at = make(map[T]int, len(s.items))
	for i, v := range s.items {
		s.at[v] = i
	}
}
