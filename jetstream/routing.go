package jetstream

import (
	"context"
	"errors"

	"github.com/weirmq/weir/tenant"
)

// routing is what the topic rules mean for this bridge. It is replaced, never modified.
type routing struct {
	revision uint64 // counts the routings of the log
	policies tenant.Policies
	shared   []*shared // by the index of its policy; nil for the others
	// dedicated: all topics are.
	dedicated bool
	replaced  chan struct{} // closed when there is another routing
}

// reroute replaces the routing. The rules that stay shared keep their object, with what is on its way. The caller holds mu.
func (l *Log) reroute(policies tenant.Policies) {
	r := &routing{policies: policies, shared: make([]*shared, len(policies)), dedicated: true, replaced: make(chan struct{})}
	if former := l.routing.Load(); former != nil {
		r.revision = former.revision + 1
	}
	stays := make(map[string]bool)
	for i := range policies {
		p := &policies[i]
		r.dedicated = r.dedicated && p.Stream == tenant.StreamDedicated
		if p.Stream != tenant.StreamShared {
			continue
		}
		s := l.shared[p.Name]
		if s == nil {
			s = newShared(l, p.Name)
			l.shared[p.Name] = s
		}
		s.policy.Store(p)
		l.relist(s)
		stays[p.Name] = true
		r.shared[i] = s
	}
	for name, s := range l.shared {
		if !stays[name] {
			s.policy.Store(nil)
			l.relist(s)
			if s.idle() {
				delete(l.shared, name)
			}
		}
	}
	if before := l.routing.Swap(r); before != nil {
		close(before.replaced)
	}
}

func (l *Log) currentRouting() *routing { return l.routing.Load() }

// sharedRule returns the shared rule of a place, nil where there is none any more.
func (r *routing) sharedRule(name string) *shared {
	for _, s := range r.shared {
		if s != nil && s.name == name {
			return s
		}
	}
	return nil
}

// isDedicated reports whether a topic has a stream of its own.
func (r *routing) isDedicated(topic string) bool {
	if r.dedicated {
		return true
	}
	_, p := r.policies.Match(topic)
	return p == nil || p.Stream == tenant.StreamDedicated
}

// Lookup returns what the messages of a topic are published through, where this bridge knows that already, else nil, and the topic as
// a string. It does no I/O and is safe in the path of every message.
func (l *Log) Lookup(name []byte) (Route, string) {
	l.register.mu.RLock()
	t := l.register.topics[string(name)]
	l.register.mu.RUnlock()
	if t != nil && t.exists.Load() && t.dedicated.Load() {
		return t, t.name
	}
	r := l.currentRouting()
	if r.dedicated {
		return nil, string(name)
	}
	topic, e := r.listed(name)
	i, p := r.policies.Match(topic)
	switch {
	case p == nil:
	case p.Stream == tenant.StreamTransient:
		return l.transientRoute(topic), topic
	case p.Stream == tenant.StreamShared && r.shared[i].exists.Load():
		if list := r.shared[i].list.Load(); list == nil || e != nil && e.list == list && e.use() {
			return r.shared[i].route(topic), topic
		}
	}
	return nil, topic
}

// listed returns the topic as a string, and what the list of a rule has of it, nil where none has it.
func (r *routing) listed(name []byte) (string, *listedTopic) {
	for _, s := range r.shared {
		if s == nil {
			continue
		}
		if list := s.list.Load(); list != nil {
			if e := list.find(name); e != nil {
				return e.name, e
			}
		}
	}
	return string(name), nil
}

// Topic returns what the messages of a topic are published through, makes its stream where there is to be one and is none, and lists it where its rule has a
// limit. It waits for JetStream. Errors
// are *reason.Error: topic_quota, storage_full, nats_unavailable.
func (l *Log) Topic(ctx context.Context, name string) (Route, error) {
	for {
		r := l.currentRouting()
		route, err := l.route(ctx, r, name)
		if !errors.Is(err, errMoved) {
			return route, err
		}
		if err := r.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wait returns when there is another routing.
func (r *routing) wait(ctx context.Context) error {
	select {
	case <-r.replaced:
		return nil
	case <-ctx.Done():
		return refusal(ctx.Err(), 0)
	}
}

// route is Topic by one routing. The error is errMoved where there is about to be another one.
func (l *Log) route(ctx context.Context, r *routing, name string) (Route, error) {
	i, p := r.policies.Match(name)
	switch {
	case p == nil:
	case p.Stream == tenant.StreamTransient:
		return l.transientRoute(name), nil
	case p.Stream == tenant.StreamShared:
		if err := r.shared[i].ready(ctx, false); err != nil {
			return nil, err
		}
		if err := r.shared[i].enlist(ctx, name); err != nil {
			return nil, err
		}
		return r.shared[i].route(name), nil
	}
	t := l.register.topic(name)
	if err := t.ready(ctx, false); err != nil {
		return nil, err
	}
	return t, nil
}
