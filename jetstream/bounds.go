package jetstream

import "github.com/weirmq/weir/tenant"

// Hold is how much one subscription to a place may hold, tenant.Unlimited where there is no bound. ok is false where no rule in force
// puts topics there.
func (l *Log) Hold(place tenant.Place) (messages, bytes int64, ok bool) {
	r := l.currentRouting()
	var p *tenant.Policy
	if place.Stream == tenant.StreamShared {
		if s := r.sharedRule(place.Name); s != nil {
			p = s.policy.Load()
		}
	} else if r.policies.Place(place.Name) == place {
		_, p = r.policies.Match(place.Name)
	}
	if p == nil {
		return 0, 0, false
	}
	return p.HoldMessages, p.HoldBytes, true
}

// Revision is another one after every change of the topic rules.
func (l *Log) Revision() uint64 { return l.currentRouting().revision }
