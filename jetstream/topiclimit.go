package jetstream

import (
	"context"
	"errors"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/tenant"
)

// relist gives a shared rule a list of its topics, or takes it away, as its policy says. The caller holds mu.
func (l *Log) relist(s *shared) {
	limit := int64(tenant.Unlimited)
	if p := s.policy.Load(); p != nil {
		limit = p.Topics
	}
	t := s.list.Load()
	switch {
	case limit != tenant.Unlimited && t == nil:
		s.list.Store(newTopicList(s, limit))
	case limit != tenant.Unlimited:
		t.limit.Store(limit)
	case t != nil:
		s.list.Store(nil)
		l.formerLists = append(l.formerLists, t)
	}
}

// applyLists brings the streams of the lists to the limits, and deletes those of former lists.
func (l *Log) applyLists(ctx context.Context) error {
	select {
	case l.listWork <- struct{}{}:
		defer func() { <-l.listWork }()
	case <-ctx.Done():
		return ctx.Err()
	}
	errs := []error{l.deleteLists(ctx)}
	for _, s := range l.currentRouting().shared {
		if s == nil {
			continue
		}
		if t := s.list.Load(); t != nil {
			errs = append(errs, t.apply(ctx))
		}
	}
	return errors.Join(errs...)
}

// apply makes the stream, or brings it to the limit. A smaller one takes no topic away that is there.
func (t *topicList) apply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	js := t.rule.log.link.js
	stream, err := js.Stream(ctx, t.stream)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		if err := t.ensure(ctx); err != nil {
			return err
		}
		stream, err = js.Stream(ctx, t.stream)
	}
	if err != nil {
		return err
	}
	t.existed.Store(true)
	t.follow()
	config := stream.CachedInfo().Config
	if limit := bounded(t.limit.Load()); config.MaxMsgs != limit {
		config.MaxMsgs = limit
		_, err = js.UpdateStream(ctx, config)
	}
	return err
}

// ensure makes the stream where there is none.
func (t *topicList) ensure(ctx context.Context) error {
	select {
	case t.work <- struct{}{}:
		defer func() { <-t.work }()
	case <-ctx.Done():
		return ctx.Err()
	}
	l := t.rule.log
	_, err := l.link.js.Stream(ctx, t.stream)
	if !errors.Is(err, natsjs.ErrStreamNotFound) {
		return err // another has made it in the meantime
	}
	l.mu.Lock()
	wait := time.Until(l.listDeleted.Add(deletionTime))
	l.mu.Unlock()
	if t.existed.Load() {
		wait = deletionTime // somebody else has deleted it
	}
	if wait > 0 {
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
	if t.ctx.Err() != nil {
		return errNoRule
	}
	config := l.listStream(t.rule.name, t.limit.Load())
	config.FirstSeq = uint64(time.Now().UnixMicro()) // beyond what the copy has seen of a former one
	err = ensureStream(ctx, l.link.js, config)
	if hasCode(err, codeStreamStore) { // another bridge has just deleted it
		if err := pause(ctx, deletionTime); err != nil {
			return err
		}
		err = ensureStream(ctx, l.link.js, config)
	}
	if err == nil {
		t.existed.Store(true)
	}
	return err
}

// deleteLists ends the lists of rules that have no limit any more, and deletes their streams.
func (l *Log) deleteLists(ctx context.Context) error {
	l.mu.Lock()
	former := l.formerLists
	l.formerLists = nil
	l.mu.Unlock()
	var errs []error
	for n, t := range former {
		t.close()
		if s := l.currentRouting().sharedRule(t.rule.name); s != nil && s.list.Load() != nil {
			continue // again
		}
		if err := l.deleteList(ctx, t.stream); err != nil {
			errs = append(errs, err)
			l.mu.Lock()
			l.formerLists = append(l.formerLists, former[n])
			l.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}

func (l *Log) deleteList(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := l.link.js.DeleteStream(ctx, stream)
	l.mu.Lock()
	l.listDeleted = time.Now()
	l.mu.Unlock()
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil
	}
	return err
}

// deleteEmptyLists deletes the streams of lists that no rule has, which are left when a rule was taken away while no bridge ran. They are
// deleted once they are empty, as every list is at last that nobody uses, and of some age: another bridge may have heard of a new rule
// sooner.
func (l *Log) deleteEmptyLists(ctx context.Context, age time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	var used []string
	for _, s := range l.currentRouting().shared {
		if s != nil && s.list.Load() != nil {
			used = append(used, l.names.listStream(s.name))
		}
	}
	var errs []error
	streams := l.link.js.ListStreams(ctx, natsjs.WithStreamListSubject(l.names.listSubjects("*")))
	for info := range streams.Info() {
		name := info.Config.Name
		if info.State.Msgs == 0 && time.Since(info.Created) > age && info.Config.Metadata[metaTenant] == l.tenant && !slices.Contains(used, name) {
			errs = append(errs, l.deleteList(ctx, name))
		}
	}
	if err := streams.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// closeLists ends all lists at this bridge.
func (l *Log) closeLists() {
	l.mu.Lock()
	lists := l.formerLists
	l.formerLists = nil
	for _, s := range l.shared {
		if t := s.list.Load(); t != nil {
			lists = append(lists, t)
		}
	}
	l.mu.Unlock()
	for _, t := range lists {
		t.close()
	}
}
