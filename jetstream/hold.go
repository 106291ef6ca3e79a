package jetstream

import (
	"context"
	"sync"

	"github.com/weirmq/weir/tenant"
)

// holdLines lets everything wait that is published from now on to topics that move, and returns when what was published before has its
// answer, or is taken for lost. Nothing of this bridge changes their streams any more either.
func (r *rules) holdLines(ctx context.Context, rec *rulesRecord) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for _, l := range r.lines(rec) {
		l.mu.Lock()
		l.moving, l.sorting = true, false
		l.mu.Unlock()
	}
	var wg sync.WaitGroup
	for _, t := range r.log.transients {
		wg.Go(func() { t.hold(ctx) })
	}
	for _, l := range r.lines(rec) { // those that have come meanwhile wait for the record
		wg.Go(func() { l.drain(ctx) })
	}
	for _, name := range rec.changedShared() {
		if s := r.log.sharedOf(name); s != nil {
			wg.Go(func() {
				if release, err := s.hold(ctx); err == nil {
					release()
				}
			})
		}
	}
	wg.Wait()
}

// lines are those that topics may leave.
func (r *rules) lines(rec *rulesRecord) (all []*line) {
	for _, t := range r.log.register.all() {
		if !rec.stays(t.name) {
			all = append(all, &t.line)
		}
	}
	for _, name := range rec.changedShared() {
		if s := r.log.sharedOf(name); s != nil {
			for _, of := range s.lines {
				all = append(all, &of.line)
			}
		}
	}
	return all
}

// releaseLines sends what was held on its way, and returns when it is: what is published by other lines then comes after it. It can be done
// again where the context has ended before.
func (r *rules) releaseLines(ctx context.Context, rec *rulesRecord) error {
	for _, t := range r.log.transients {
		t.release()
	}
	for _, l := range r.lines(rec) {
		l.mu.Lock()
		m := l.mend
		if m == nil {
			l.moving, l.sorting = false, true
		}
		l.mu.Unlock()
		if m == nil {
			continue
		}
		select {
		case <-m.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// split divides publishes into those of topics that are still at the line's place and others.
func (l *line) split(batch []*pending) (stay, moved []*pending) {
	policies := l.log.rules.now.Load().Value.placing()
	if onlyDedicated(policies) && l.target.place().Stream == tenant.StreamDedicated {
		return batch, nil
	}
	for _, p := range batch {
		if policies.Place(p.message.Topic) == l.target.place() {
			stay = append(stay, p)
		} else {
			moved = append(moved, p)
		}
	}
	return stay, moved
}

// resend publishes what has moved where it belongs now, in order. The caller does not hold mu, because that of other lines is taken.
func (l *line) resend(batch []*pending) {
	policies := l.log.rules.now.Load().Value.placing()
	for _, p := range batch {
		m, done, token := p.release()
		l.log.routeAt(policies.Place(m.Topic), m.Topic).Publish(m, done, token)
	}
}

// routeAt is what the messages of a topic at a place are published through. It makes nothing: a publish that finds no stream does.
func (l *Log) routeAt(place tenant.Place, topic string) Route {
	if place.Stream == tenant.StreamShared {
		if s := l.sharedOf(place.Name); s != nil {
			return s.route(topic)
		}
	}
	if place.Stream == tenant.StreamTransient {
		return l.transientRoute(topic)
	}
	return l.register.topic(topic)
}

// sharedOf returns the shared rule of that name, of the rules in force or, while topics move, of the former or the new ones; nil where there is none.
func (l *Log) sharedOf(name string) *shared {
	rec := &l.rules.now.Load().Value
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shared[name]
	if s != nil && s.policy.Load() != nil {
		return s
	}
	p, ok := sharedRules(rec.Policies)[name]
	if !ok && rec.Phase != phaseSettled {
		p, ok = sharedRules(rec.Former)[name]
	}
	if !ok {
		return nil
	}
	if s == nil {
		s = newShared(l, name)
		l.shared[name] = s
	}
	s.policy.Store(&p)
	return s
}
