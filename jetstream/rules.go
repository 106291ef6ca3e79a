package jetstream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/follow"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// phase of a move of topics between streams, see docs/adr/008-moving-topics-between-streams.md.
type phase string

const (
	phaseSettled   phase = "settled"
	phasePreparing phase = "preparing" // bridges attach to the places of both rules
	phaseMoving    phase = "moving"    // publishers of what moves wait; what the old streams held last is about to be known
	phaseOpening   phase = "opening"   // the boundaries are known; the shared streams get their subjects
)

// rulesRecord is what the register says about the rules that place topics.
type rulesRecord struct {
	Version  int    `json:"v"`
	Revision uint64 `json:"revision"` // of the tenant that has these rules
	Phase    phase  `json:"phase"`
	Bridge   string `json:"bridge"` // who carries the move out, and has written the record
	// Policies are the rules in force when this is settled, with what else they say at this revision.
	Policies tenant.Policies `json:"policies"`
	// Former are those before. They place topics until moving.
	Former tenant.Policies `json:"former,omitempty"`
	// Last is, of the shared streams that were parked, the sequence up to which they belong to the former rules; from opening on.
	Last map[string]uint64 `json:"last,omitempty"` // by name of the rule
}

// errMoved: the topic is not at that place any more.
var errMoved = reader.ErrMoved

// transientLinger is longer than a message that is not stored is on its way.
const transientLinger = 5 * time.Second

type rulesEntry = follow.Entry[rulesRecord]

// stays tells whether the record's former rules and its own have a topic at the same place.
func (r *rulesRecord) stays(topic string) bool {
	return r.Former == nil || r.Former.Place(topic) == r.Policies.Place(topic)
}

// sharedRules returns the shared rules of a list, by name.
func sharedRules(policies tenant.Policies) map[string]tenant.Policy {
	all := make(map[string]tenant.Policy)
	for _, p := range policies {
		if p.Stream == tenant.StreamShared {
			all[p.Name] = p
		}
	}
	return all
}

// changedShared returns the names of the shared rules that are only in one of the lists, or that have another filter there.
func (r *rulesRecord) changedShared() (names []string) {
	before, after := sharedRules(r.Former), sharedRules(r.Policies)
	for name, p := range before {
		if q, ok := after[name]; !ok || q.Filter != p.Filter {
			names = append(names, name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// placing is what of a list of rules decides where topics are.
type placing struct {
	filter string
	stream tenant.StreamKind
	name   string
}

// placesAlike reports whether two lists of rules have every topic at the same place. It may say no where they do.
func placesAlike(a, b tenant.Policies) bool {
	of := func(policies tenant.Policies) (all []placing) {
		for _, p := range policies {
			all = append(all, placing{p.Filter, p.Stream, p.Name})
		}
		return all
	}
	return slices.Equal(of(a), of(b)) || onlyDedicated(a) && onlyDedicated(b)
}

func onlyDedicated(policies tenant.Policies) bool {
	return !slices.ContainsFunc(policies, func(p tenant.Policy) bool { return p.Stream != tenant.StreamDedicated })
}

// allDedicated are the rules of a tenant before there is a record.
func allDedicated() tenant.Policies { return tenant.Rules(nil).Resolve(tenant.Quotas{}) }

// rules are the tenant's rules as the register says, and who has confirmed what of them.
type rules struct {
	// immutable
	log     *Log
	follow  chan struct{} // holds one token when there may be something to follow; never closed
	execute chan struct{} // holds one token when there may be something to carry out; never closed

	now atomic.Pointer[rulesView]
	// routes are the rules by which publishers find their way. They follow the record after what was held is on its way.
	routes atomic.Pointer[tenant.Policies]

	progress progress // owned by start, then by keepUp

	mu        sync.Mutex
	confirmed map[string]phaseEntry // by bridge: those that have the tenant open
	changed   chan struct{}         // closed when something of this changes, and replaced
	movers    map[any]reader.Mover  // by who reads
	// returning counts the subscribers that are about to be attached to the places as they are. A move waits for them, and those that come later
	// for the move.
	returning int
	caughtUp  uint64 // the revision whose move this bridge has seen the end of
}

// rulesView is the record at one sequence.
type rulesView struct {
	rulesEntry
	seen    time.Time
	changed chan struct{} // closed when there is another one
}

func newRules(l *Log) *rules {
	r := &rules{
		log: l, follow: make(chan struct{}, 1), execute: make(chan struct{}, 1),
		confirmed: make(map[string]phaseEntry), changed: make(chan struct{}), movers: make(map[any]reader.Mover),
	}
	r.now.Store(&rulesView{
		rulesEntry: rulesEntry{Value: rulesRecord{Phase: phaseSettled, Policies: allDedicated()}},
		changed:    make(chan struct{}),
	})
	r.routes.Store(&r.now.Load().Value.Policies)
	return r
}

// change takes what the register says. It runs on the goroutine of the register's copy.
func (r *rules) change(after registerEntry) {
	e := rulesEntry{Sequence: after.Sequence, Live: after.Live}
	if !after.Live {
		return // nobody ends it
	}
	e.Value = *after.Value.rules
	before := r.now.Swap(&rulesView{rulesEntry: e, seen: time.Now(), changed: make(chan struct{})})
	close(before.changed)
	signal(r.follow)
	signal(r.execute)
}

// inForce are the rules for publishers: those that this bridge has learned of, unless they place topics elsewhere than the register does, which
// then come into force with the end of a move.
func (r *rules) inForce(terms terms) tenant.Policies {
	routes := *r.routes.Load()
	if placesAlike(terms.policies, routes) {
		return terms.policies
	}
	return routes
}

// placing are the rules that place topics in a phase: the new ones once it is settled.
func (r *rulesRecord) placing() tenant.Policies {
	if r.Phase == phaseSettled {
		return r.Policies
	}
	return r.Former
}

// transient are the lists of rules by which a topic may be transient now, the first of them first: the new ones and the former too while topics move, and
// for as long afterwards as what was published by the former may take. They change places when no publisher is at work.
func (r *rules) transient() []tenant.Policies {
	v := r.now.Load()
	rec := &v.Value
	switch {
	case rec.Former == nil || rec.Phase == phaseSettled && time.Since(v.seen) > transientLinger:
		return []tenant.Policies{rec.Policies}
	case rec.Phase == phasePreparing || rec.Phase == phaseMoving:
		return []tenant.Policies{rec.Former, rec.Policies}
	}
	return []tenant.Policies{rec.Policies, rec.Former}
}

// attaching reports whether a shared rule's stream is, for the time of a move, only there to be attached to, as who carries that out has it.
func (r *rules) attaching(name string) bool {
	rec := &r.now.Load().Value
	return rec.Phase != phaseSettled && slices.Contains(rec.changedShared(), name)
}

// policies are the rules by which streams are: those of the register, with the settings that this bridge has learned of as soon as they place topics
// alike.
func (r *rules) policies(terms terms) tenant.Policies {
	placing := r.now.Load().Value.placing()
	if placesAlike(terms.policies, placing) {
		return terms.policies
	}
	return placing
}

// changes reports whether the stream of a shared rule is being parked and opened now.
func (r *rules) changes(name string) bool {
	rec := &r.now.Load().Value
	return (rec.Phase == phaseMoving || rec.Phase == phaseOpening) && slices.Contains(rec.changedShared(), name)
}

// keeps reports whether a shared rule is one of those in force, and its stream is nobody's who moves topics. Whoever holds the rule's work may then
// change the stream: a move waits for that before it begins to.
func (r *rules) keeps(p tenant.Policy) bool {
	rec := &r.now.Load().Value
	have, ok := sharedRules(rec.placing())[p.Name]
	return ok && have.Filter == p.Filter && !r.changes(p.Name)
}

// hasShared returns nil when there is a shared rule of that name, after the end of a move that may change it, and errMoved when there is not.
func (r *rules) hasShared(ctx context.Context, name string) error {
	for {
		v := r.now.Load()
		switch _, ok := sharedRules(v.Value.placing())[name]; {
		case r.changes(name):
		case ok:
			return nil
		default:
			return errMoved
		}
		if err := r.await(ctx, v); err != nil {
			return err
		}
	}
}

// places are those of both rules while topics move: whoever subscribes then has to be there when they do.
func (r *rules) places(filter string) (places []tenant.Place, dedicated bool) {
	v := r.now.Load()
	places, dedicated = v.Value.Policies.Places(filter)
	if v.Value.Phase == phaseSettled {
		return places, dedicated
	}
	former, was := v.Value.Former.Places(filter)
	for _, p := range former {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	return places, dedicated || was
}

// dedicated returns nil when a topic is a dedicated one, after the end of a move that may change that, and errMoved when it is not.
func (r *rules) dedicated(ctx context.Context, topic string) error {
	for {
		v := r.now.Load()
		switch {
		case v.Value.Phase != phaseSettled && v.Value.Phase != phasePreparing && !v.Value.stays(topic):
		case v.Value.placing().Place(topic).Stream == tenant.StreamDedicated:
			return nil
		default:
			return errMoved
		}
		if err := r.await(ctx, v); err != nil {
			return err
		}
	}
}

// await waits until there is another record.
func (r *rules) await(ctx context.Context, v *rulesView) error {
	select {
	case <-v.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write replaces the record.
func (r *rules) write(ctx context.Context, rec rulesRecord, e rulesEntry) error {
	rec.Version, rec.Bridge = recordVersion, r.log.store.config.Bridge
	was := registerEntry{Sequence: e.Sequence, Live: e.Live}
	_, err := r.log.register.set(ctx, r.log.names.rulesSubject(), rec, was, 0)
	if err == nil {
		r.log.log.Info("topic rules", zap.String("phase", string(rec.Phase)), zap.Uint64("revision", rec.Revision))
	}
	return err
}

// begin makes the record where the tenant has none, with its rules as this bridge knows them where nothing is to be moved.
func (r *rules) begin(ctx context.Context) error {
	terms := r.log.currentTerms()
	for r.now.Load().Sequence == 0 {
		rec := rulesRecord{Phase: phaseSettled, Revision: terms.revision, Policies: terms.policies}
		if len(r.log.register.all()) > 0 {
			rec.Revision, rec.Policies = 0, allDedicated()
		}
		if err := r.write(ctx, rec, rulesEntry{}); err != nil && !conflict(err) {
			return err
		}
		if err := r.log.register.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}
