package jetstream

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	topicfilter "github.com/weirmq/weir/filter"
)

const (
	// linger is how long the record of a filter stays after its last use: sessions come and go with the same ones.
	linger = 5 * time.Second
	// watchWidth is how many records of filters are written at a time in the background.
	watchWidth = 4
)

// Watch announces a topic filter of this bridge (with wildcards): every matching dedicated topic that anybody creates after it
// has returned is attached for this bridge by its creator before its first message is stored, and told to the function given
// to OnCreated. It returns the topics that exist at that moment and match; those being created are waited for. One of them may be
// told to that function too. Calls with the same filter are counted; each needs an Unwatch. Errors are *reason.Error:
// nats_unavailable, subscription_limit.
func (l *Log) Watch(ctx context.Context, filter string) (topics []string, err error) {
	w, err := l.filters.use(filter)
	if err != nil {
		return nil, err
	}
	if err = l.filters.announce(ctx, w); err == nil {
		topics, err = l.matching(ctx, filter)
	}
	if err != nil {
		l.Unwatch(filter)
		return nil, refusal(err, 0)
	}
	return topics, nil
}

// Unwatch takes one Watch of the filter back. It never blocks: the record goes in the background, some seconds after the last.
func (l *Log) Unwatch(filter string) { l.filters.unuse(filter) }

// matching returns the topics that exist and match. It is called when the own filter is in the register: what is created
// after that has a creator who has seen it.
func (l *Log) matching(ctx context.Context, filter string) (topics []string, err error) {
	for _, t := range l.register.all() {
		if !topicfilter.Match(filter, t.name) {
			continue
		}
		there, err := l.there(ctx, t)
		if err != nil {
			return nil, err
		}
		if e, _, _ := t.look(); there && !e.Value.Moved {
			topics = append(topics, t.name)
		}
	}
	return topics, nil
}

// there reports whether a topic exists, and waits for those that are being made, or looked at whether they can go. One on which
// nobody works any more is what it was before.
func (l *Log) there(ctx context.Context, t *Topic) (bool, error) {
	for {
		e, seen, changed := t.look()
		switch {
		case !e.Live || e.Value.State == gone || e.Value.State == deleting:
			return false, nil
		case e.Value.State == live:
			return true, nil
		case l.unattended(t, e, seen):
			return e.Value.State == removing, nil
		}
		if err := l.await(ctx, e, seen, changed); err != nil {
			return false, err
		}
	}
}

// unattended reports whether nobody works on a topic that is neither live nor gone; unlike abandoned, for callers that do
// not hold the topic's work.
func (l *Log) unattended(t *Topic, e topicEntry, seen time.Time) bool {
	if e.Value.Bridge != l.store.config.Bridge || time.Since(seen) >= staleAfter {
		return l.abandoned(e, seen)
	}
	if len(t.work) > 0 {
		return false
	}
	now, _, _ := t.look()
	return now.Sequence == e.Sequence
}

// keepFilters removes the records of filters that nobody uses any more, and writes those again that are missing, until the store is
// closed.
func (l *Log) keepFilters() {
	f := l.filters
	var due, retry <-chan time.Time
	for {
		select {
		case <-f.leave:
		case <-due:
		case <-f.restore:
			if err := l.restoreFilters(l.store.ctx); err != nil {
				l.log.Warn("filters not announced again", zap.Error(err))
				retry = time.After(cleanUpRetry)
			}
		case <-retry:
			retry = nil
			f.restoreAll()
		case <-l.store.ctx.Done():
			return
		}
		due = nil
		if next := l.withdraw(l.store.ctx); !next.IsZero() {
			due = time.After(time.Until(next))
		}
	}
}

// withdraw ends the filters that have not been used for long enough, and gives back what their topics' creators made for them. It
// returns when to come again.
func (l *Log) withdraw(ctx context.Context) (next time.Time) {
	gone, next := l.filters.takeLeft(time.Now())
	if len(gone) == 0 {
		return next
	}
	var g errgroup.Group
	g.SetLimit(watchWidth)
	for _, w := range gone {
		g.Go(func() error {
			if err := l.filters.write(ctx, w.filter, l.store.config.Bridge, w, false); err != nil {
				l.log.Info("filter not withdrawn", zap.String("filter", w.filter), zap.Error(err))
				l.filters.leaveLater(w)
				return nil
			}
			l.filters.forget(w)
			return nil
		})
	}
	_ = g.Wait()
	// What is being created for them still comes, and is not wanted.
	for _, t := range l.register.all() {
		if _, _, ok := t.offered(); ok && !l.filters.wants(t.name) {
			l.adoption.discard(t)
		}
	}
	return l.filters.nextLeft()
}

// takeLeft returns the filters whose time has come, and else when that of the first comes.
func (f *filters) takeLeft(now time.Time) (gone []*watched, next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.leaving) > 0 {
		w := f.leaving[0]
		if due := w.left.Add(f.log.store.config.linger); w.uses == 0 && due.After(now) {
			next = due
			break
		}
		f.leaving = f.leaving[1:]
		w.leaving = false
		if w.uses == 0 {
			gone = append(gone, w)
		}
	}
	return gone, next
}

func (f *filters) nextLeft() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.leaving) == 0 {
		return time.Time{}
	}
	return f.leaving[0].left.Add(f.log.store.config.linger)
}

// leaveLater tries again with one that could not be withdrawn.
func (f *filters) leaveLater(w *watched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.uses > 0 || w.leaving {
		return
	}
	w.left, w.leaving = time.Now(), true
	f.leaving = append(f.leaving, w)
}

// forget drops a filter whose record is gone.
func (f *filters) forget(w *watched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.uses == 0 && !w.leaving && f.watched[w.filter] == w {
		delete(f.watched, w.filter)
	}
}

// restoreFilters writes the records of this bridge's filters again, after it was taken for dead, and tells of every topic that
// matches: nobody has attached those that were created meanwhile.
func (l *Log) restoreFilters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	if err := l.register.settle(ctx); err != nil {
		return err
	}
	g, announcing := errgroup.WithContext(ctx)
	g.SetLimit(watchWidth)
	for _, w := range l.filters.inUseNow() {
		g.Go(func() error { return l.filters.announce(announcing, w) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, t := range l.register.all() {
		if l.filters.wants(t.name) {
			if there, err := l.there(ctx, t); err != nil {
				return err
			} else if e, _, _ := t.look(); there && !e.Value.Moved {
				l.adoption.tell(t)
			}
		}
	}
	return nil
}
