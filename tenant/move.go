package tenant

// Move is a change of the rules of a tenant by which topics get other places.
type Move struct {
	Revision uint64 // of the tenant that has the new rules; higher with each move
	From, To Policies
}

// Gains reports whether messages of topics that were elsewhere come to a place.
func (m Move) Gains(p Place) bool { return m.To.has(p) && m.changes(p) }

// Loses reports whether topics whose messages came to a place are elsewhere afterwards.
func (m Move) Loses(p Place) bool { return m.From.has(p) && m.changes(p) }

// changes reports whether a place has other topics by one of the lists than by the other. It may say yes for a transient place that has
// the same.
func (m Move) changes(p Place) bool {
	switch p.Stream {
	case StreamDedicated:
		return m.From.has(p) != m.To.has(p)
	case StreamShared:
		from, to := m.From.named(p.Name), m.To.named(p.Name)
		return from == nil || to == nil || from.Filter != to.Filter
	case StreamTransient:
	}
	return true
}

// has reports whether a place has topics.
func (p Policies) has(place Place) bool {
	switch place.Stream {
	case StreamDedicated:
		return p.Place(place.Name) == place
	case StreamShared:
		return p.named(place.Name) != nil
	case StreamTransient:
		for i := range p {
			if p[i].Stream == StreamTransient && p[i].Filter == place.Name {
				return true
			}
		}
	}
	return false
}

// named returns the shared rule of that name, nil where there is none.
func (p Policies) named(name string) *Policy {
	for i := range p {
		if p[i].Stream == StreamShared && p[i].Name == name {
			return &p[i]
		}
	}
	return nil
}
