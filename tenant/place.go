package tenant

import "github.com/weirmq/weir/filter"

// Place is where the messages of topics are: one dedicated topic, or all topics of a shared or of a transient rule.
type Place struct {
	Stream StreamKind
	Name   string // the dedicated topic, the name of the shared rule, or the filter of the transient one
}

// Dedicated is the place of a dedicated topic.
func Dedicated(topic string) Place { return Place{Stream: StreamDedicated, Name: topic} }

// Place is where a valid topic name that does not start with $ has its messages.
func (p Policies) Place(topic string) Place {
	_, policy := p.Match(topic)
	return policy.place(topic)
}

// Places are the shared and transient places with topics that a valid filter may match, in the order of the rules; dedicated tells
// whether dedicated topics may be among those it matches.
func (p Policies) Places(f string) (places []Place, dedicated bool) {
	for i := range p {
		rule := p[i].Filter
		switch {
		case !filter.Intersects(rule, f):
			continue
		case p[i].Stream == StreamDedicated:
			dedicated = true
		default:
			places = append(places, p[i].place(""))
		}
		if filter.Covers(rule, f) {
			return places, dedicated // no later rule has any of its topics
		}
	}
	return places, dedicated
}

func (p *Policy) place(topic string) Place {
	switch p.Stream {
	case StreamShared:
		return Place{p.Stream, p.Name}
	case StreamTransient:
		return Place{p.Stream, p.Filter}
	case StreamDedicated:
	}
	return Dedicated(topic)
}
