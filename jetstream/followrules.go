package jetstream

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// OnMove sets who is told when the rules move topics. It is called before the first Attach.
func (l *Log) OnMove(m reader.Mover) { l.rules.alsoFollow(l, m) }

// alsoFollow has a reader told for one who reads, unfollow ends that.
func (r *rules) alsoFollow(who any, m reader.Mover) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.movers[who] = m
}

func (r *rules) unfollow(who any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.movers, who)
}

// readers lists who is told.
func (r *rules) readers() []reader.Mover {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.movers))
}

// progress is how far this bridge has come with a move.
type progress struct {
	revision                 uint64
	prepared, held, released bool
}

// start brings this bridge into the tenant's rules as they are, in whatever phase. Its own record comes first, so that who moves topics either waits
// for it or has written the phase before.
func (r *rules) start(ctx context.Context) error {
	if err := r.confirm(ctx, 0, ""); err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	rec := r.now.Load().Value
	if rec.Phase == phaseSettled {
		r.progress = progress{revision: rec.Revision, prepared: true, held: true, released: true}
		r.endMove(rec.Revision)
	}
	placing := rec.placing()
	r.routes.Store(&placing)
	r.log.followRules()
	return nil
}

// keepUp follows the record, until the store is closed.
func (r *rules) keepUp() {
	for {
		v := r.now.Load()
		if r.progress.revision != v.Value.Revision {
			r.progress = progress{revision: v.Value.Revision}
		}
		err := r.catchUp(r.log.store.ctx, v.Value, &r.progress)
		var retry <-chan time.Time
		if err != nil && r.log.store.ctx.Err() == nil {
			r.log.log.Warn("topic rules not followed yet", zap.String("phase", string(v.Value.Phase)), zap.Error(err))
			retry = time.After(moveRetry)
		}
		if r.now.Load() != v && retry == nil {
			continue
		}
		select {
		case <-r.follow:
		case <-retry:
		case <-r.log.store.ctx.Done():
			return
		}
	}
}

// catchUp does what a phase asks of this bridge, and what those before it asked if it has missed them, and confirms it.
func (r *rules) catchUp(ctx context.Context, rec rulesRecord, p *progress) error {
	ctx, cancel := context.WithTimeout(ctx, preparePatience)
	defer cancel()
	m := tenant.Move{Revision: rec.Revision, From: rec.Former, To: rec.Policies}
	if !p.prepared && rec.Former != nil {
		if err := r.awaitReturning(ctx); err != nil {
			return err
		}
		for _, mover := range r.readers() {
			if err := mover.Prepare(ctx, m); err != nil {
				return err
			}
		}
		p.prepared = true
	}
	if !p.held && rec.Former != nil && rec.Phase != phasePreparing {
		for _, mover := range r.readers() {
			mover.Hold(m)
		}
		r.holdLines(ctx, &rec)
		p.held = true
	}
	if !p.released && rec.Phase == phaseSettled {
		if rec.Former != nil {
			r.log.tellMoved(&rec)
			r.retireReaders(&rec)
			for _, t := range r.log.openTransient() {
				t.flush(ctx)
			}
			for _, mover := range r.readers() {
				mover.Release(m, r.boundaries(&rec))
			}
			if err := r.releaseLines(ctx, &rec); err != nil {
				return err
			}
		}
		r.routes.Store(&rec.Policies)
		r.log.followRules()
		p.released = true
		r.endMove(rec.Revision)
	}
	if rec.Phase == phaseOpening {
		return nil
	}
	return r.confirm(ctx, rec.Revision, rec.Phase)
}

// boundaries are the last sequences of what was parked by a move. A topic that has come back has none: what is left of an earlier stream does not
// count in the next one's sequences.
func (r *rules) boundaries(rec *rulesRecord) map[tenant.Place]uint64 {
	last := make(map[tenant.Place]uint64)
	for name, sequence := range rec.Last {
		last[tenant.Place{Stream: tenant.StreamShared, Name: name}] = sequence
	}
	for _, t := range r.log.register.all() {
		if rec.stays(t.name) || rec.Former.Place(t.name).Stream != tenant.StreamDedicated {
			continue
		}
		if e, _, _ := t.look(); e.Live && e.Value.Moved {
			last[tenant.Dedicated(t.name)] = e.Value.Last
		}
	}
	return last
}

// retireReaders lets the readers of dedicated topics that have moved stay with their streams, and makes room for those of streams of a later
// generation.
func (r *rules) retireReaders(rec *rulesRecord) {
	for _, t := range r.log.register.all() {
		e, _, _ := t.look()
		if !e.Live || !e.Value.Moved || rec.stays(t.name) {
			continue
		}
		r.log.retireReaders(t.name, naming.Stream(r.log.tenant, t.name, e.Value.Generation))
	}
}
