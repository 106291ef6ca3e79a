package authn

import "sync"

// memory is a bounded set of macs. It forgets those that were not looked for while max/2 others were, in two
// generations: what is found in the old one moves to the young one, and when the young one is full it
// becomes the old one.
type memory struct {
	// immutable
	max int

	mu         sync.Mutex
	young, old map[mac]struct{} // guarded by mu
}

func (m *memory) has(id mac) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.young[id]; ok {
		return true
	}
	if _, ok := m.old[id]; !ok {
		return false
	}
	m.insert(id)
	return true
}

func (m *memory) add(id mac) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.insert(id)
}

// insert puts id into the young generation. The caller holds mu.
func (m *memory) insert(id mac) {
	if m.young == nil || len(m.young) >= m.max/2 {
		m.young, m.old = map[mac]struct{}{}, m.young
	}
	m.young[id] = struct{}{}
}
