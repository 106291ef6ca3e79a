package jetstream

import (
	"context"
	"errors"
	"fmt"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream/follow"
	"github.com/weirmq/weir/reason"
)

// flight is the listing of one topic; everybody who needs it waits for the same one.
type flight struct {
	done chan struct{} // closed by the goroutine that lists
	err  error         // set before done is closed
}

// enlist returns once the topic is in the rule's list, where the rule has one. Errors are *reason.Error.
func (s *shared) enlist(ctx context.Context, topic string) error {
	t := s.list.Load()
	if t == nil {
		return nil
	}
	if e := t.find([]byte(topic)); e != nil && e.use() {
		return nil
	}
	f := t.fly(topic, false)
	if f == nil {
		return errStopping
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return refusal(ctx.Err(), 0)
	}
}

// fly lists a topic, or renews it, in the background, unless that is under way. slot tells that the caller holds one of the slots, which is
// given back. It returns nil, and the slot stays the caller's, when the store is closed.
func (t *topicList) fly(topic string, slot bool) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.flights[topic]; f != nil {
		if slot {
			<-t.slots
		}
		return f
	}
	f := &flight{done: make(chan struct{})}
	if !t.rule.log.store.spawn(func() { t.land(f, topic, slot) }) {
		return nil
	}
	t.flights[topic] = f
	return f
}

func (t *topicList) land(f *flight, topic string, slot bool) {
	ctx, cancel := context.WithTimeout(t.ctx, mendTimeout)
	defer cancel()
	err := ctx.Err()
	if !slot {
		select {
		case t.slots <- struct{}{}:
			slot = true
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		err = t.take(ctx, topic)
	}
	if slot {
		<-t.slots
	}
	switch {
	case err == nil:
	case t.rule.list.Load() != t:
		f.err = errNoRule
	default:
		f.err = refusal(err, 0)
	}
	t.mu.Lock()
	delete(t.flights, topic)
	t.mu.Unlock()
	close(f.done)
}

// take lists a topic, or renews it if it is time for that, and returns once this bridge knows it.
func (t *topicList) take(ctx context.Context, topic string) error {
	known := t.follow()
	if known == nil {
		return follow.ErrClosed
	}
	if err := known.WaitSynced(ctx); err != nil {
		return err
	}
	for {
		e := t.find([]byte(topic))
		if e != nil && e.age() < t.ttl/2 {
			return nil
		}
		var expected uint64
		if e != nil {
			expected = e.sequence
		}
		sequence, err := t.write(ctx, topic, expected)
		if full(err) && e != nil {
			// With replicas not even one that is there is replaced. A newcomer may be faster.
			if err = t.leave(ctx, e); err == nil {
				sequence, err = t.write(ctx, topic, 0)
			}
		}
		switch {
		case err == nil:
			return known.Wait(ctx, sequence)
		case full(err), conflict(err):
			there, lookErr := t.look(ctx, topic)
			switch {
			case lookErr != nil:
				return lookErr
			case there > 0:
				err = known.Wait(ctx, there) // another bridge was faster
			case full(err):
				t.forget(e)
				return t.refused()
			default:
				t.forget(e) // it had expired
				err = nil
			}
		case errors.Is(err, natsjs.ErrNoStreamResponse), errors.Is(err, natsjs.ErrStreamNotFound):
			err = t.ensure(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// write stores the message of a topic, if its last one has the sequence that is expected.
func (t *topicList) write(ctx context.Context, topic string, expected uint64) (uint64, error) {
	l := t.rule.log
	return publish(ctx, l.link.control, l.names.listSubject(t.rule.name, topic), presence{Version: recordVersion, Topic: topic}, t.ttl,
		natsjs.WithExpectLastSequencePerSubject(expected))
}

// look returns the sequence of a topic's message, as the stream's leader knows it; 0 where there is none.
func (t *topicList) look(ctx context.Context, topic string) (uint64, error) {
	l := t.rule.log
	stream, err := l.link.js.Stream(ctx, t.stream)
	if err != nil {
		return 0, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, l.names.listSubject(t.rule.name, topic))
	if errors.Is(err, natsjs.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}

// leave gives a topic's place up, and not that of one listed since.
func (t *topicList) leave(ctx context.Context, e *listedTopic) error {
	l := t.rule.log
	stream, err := l.link.js.Stream(ctx, t.stream)
	if err != nil {
		return err
	}
	return stream.Purge(ctx, natsjs.WithPurgeSubject(l.names.listSubject(t.rule.name, e.name)), natsjs.WithPurgeSequence(e.sequence+1))
}

func (t *topicList) refused() error {
	var rule string
	if p := t.rule.policy.Load(); p != nil {
		rule = p.Filter
	}
	return reason.New(reason.TopicQuota, fmt.Sprintf("the rule %q has as many topics as it may (its topics: %d)", rule, t.limit.Load()))
}

// KeepTopic says that a topic is subscribed to, by its name, until release is called: if the rule that it falls under has a limit of topics, it
// counts. Errors are *reason.Error, topic_quota among them.
func (l *Log) KeepTopic(ctx context.Context, topic string) (release func(), err error) {
	r := l.currentRouting()
	i, p := r.policies.Match(topic)
	if p == nil || r.shared[i] == nil {
		return func() {}, nil
	}
	t := r.shared[i].list.Load()
	if t == nil {
		return func() {}, nil
	}
	t.mu.Lock()
	t.kept[topic]++
	t.mu.Unlock()
	release = func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.kept[topic]--; t.kept[topic] == 0 {
			delete(t.kept, topic)
		}
	}
	if err := t.rule.enlist(ctx, topic); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// keepRenewed renews what is subscribed to, until the list is closed.
func (t *topicList) keepRenewed() {
	for {
		if pause(t.ctx, t.ttl/16) != nil {
			return
		}
		t.mu.RLock()
		var due []string
		for topic := range t.kept {
			if e := t.topics[topic]; e == nil || e.age() >= t.ttl/2 {
				due = append(due, topic)
			}
		}
		t.mu.RUnlock()
		var g errgroup.Group
		g.SetLimit(maxListing / 2) // the others are for new topics
		for _, topic := range due {
			g.Go(func() error { return t.rule.enlist(t.ctx, topic) })
		}
		if err := g.Wait(); err != nil && t.ctx.Err() == nil {
			t.rule.log.log.Info("topics that are subscribed to are not listed", zap.String("stream", t.stream), zap.Error(err))
		}
	}
}
