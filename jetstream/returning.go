package jetstream

import "context"

// enter returns when no topics move, as far as this bridge has followed that. None move then until leave.
func (r *rules) enter(ctx context.Context) error {
	for {
		r.mu.Lock()
		v := r.now.Load()
		settled := v.Value.Phase == phaseSettled && r.caughtUp == v.Value.Revision
		if settled {
			r.returning++
		}
		changed := r.changed
		r.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave ends what enter has begun.
func (r *rules) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returning--
	r.tellChanged()
}

// awaitReturning waits for those who have entered.
func (r *rules) awaitReturning(ctx context.Context) error {
	for {
		r.mu.Lock()
		n, changed := r.returning, r.changed
		r.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endMove notes that this bridge has seen the end of a move, or that there was none.
func (r *rules) endMove(revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.caughtUp = revision
	r.tellChanged()
}

// tellChanged wakes who waits for a change. The caller holds mu.
func (r *rules) tellChanged() {
	close(r.changed)
	r.changed = make(chan struct{})
}
