package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/tenant"
)

// watcher does for one log what a bridge does: it attaches to the topics that its filters match, and releases those of which it
// is told and that it does not want.
type watcher struct {
	log *Log
	wg  sync.WaitGroup // of the attaching after a call of OnCreated

	mu     sync.Mutex
	wanted map[string]bool // topics, where their filter is in use
	all    bool            // every topic is wanted
	feeds  map[string]*feed
	added  chan struct{} // closed when there is one more feed, and replaced
	errs   []error
}

// feed is one topic that is attached.
type feed struct {
	*sink
	ready  chan struct{} // closed when reader or err is set
	reader Reader
	err    error
}

func watch(l *Log) *watcher {
	w := &watcher{log: l, wanted: make(map[string]bool), feeds: make(map[string]*feed), added: make(chan struct{})}
	l.OnCreated(func(topic string) {
		w.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := w.attach(ctx, topic); err != nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.errs = append(w.errs, fmt.Errorf("attach to %s: %w", topic, err))
			}
		})
	})
	return w
}

// subscribe announces a filter for some topics, or for all of them, and attaches to those that exist.
func (w *watcher) subscribe(ctx context.Context, filter string, topics ...string) error {
	w.mu.Lock()
	w.all = len(topics) == 0
	for _, topic := range topics {
		w.wanted[topic] = true
	}
	w.mu.Unlock()
	existing, err := w.log.Watch(ctx, filter)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(4)
	for _, topic := range existing {
		g.Go(func() error { return w.attach(ctx, topic) })
	}
	return g.Wait()
}

func (w *watcher) attach(ctx context.Context, topic string) error {
	w.mu.Lock()
	if !w.all && !w.wanted[topic] {
		w.mu.Unlock()
		w.log.Release(topic)
		return nil
	}
	f := w.feeds[topic]
	if f != nil {
		w.mu.Unlock()
		<-f.ready
		return f.err
	}
	f = &feed{sink: newSink(), ready: make(chan struct{})}
	w.feeds[topic] = f
	close(w.added)
	w.added = make(chan struct{})
	w.mu.Unlock()
	f.reader, f.err = w.log.Attach(ctx, tenant.Dedicated(topic), "", 0, nil, f)
	close(f.ready)
	return f.err
}

// unsubscribe takes the filter back and ends the feeds of its topics.
func (w *watcher) unsubscribe(ctx context.Context, filter string, topics ...string) error {
	w.mu.Lock()
	var feeds []*feed
	for _, topic := range topics {
		delete(w.wanted, topic)
		if f := w.feeds[topic]; f != nil {
			feeds = append(feeds, f)
			delete(w.feeds, topic)
		}
	}
	w.mu.Unlock()
	w.log.Unwatch(filter)
	var errs []error
	for _, f := range feeds {
		<-f.ready
		if f.err == nil {
			errs = append(errs, f.reader.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// wait returns when everything is attached of which the watcher was told, with what went wrong.
func (w *watcher) wait() error {
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.errs...)
}

// feed returns the feed of a topic once there is one.
func (w *watcher) feed(ctx context.Context, topic string) (*feed, error) {
	for {
		w.mu.Lock()
		f, added := w.feeds[topic], w.added
		w.mu.Unlock()
		if f != nil {
			<-f.ready
			return f, f.err
		}
		select {
		case <-added:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is not attached: %w", topic, ctx.Err())
		}
	}
}

func feedOf(t *testing.T, w *watcher, topic string) *feed {
	t.Helper()
	f, err := w.feed(ctxOf(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// registerUntil waits until what the register says makes something true.
func registerUntil(t *testing.T, l *Log, done func() bool) {
	t.Helper()
	ctx := ctxOf(t)
	for {
		position := l.register.copy.Position()
		if done() {
			return
		}
		if err := l.register.copy.Wait(ctx, position+1); err != nil {
			t.Fatal(err)
		}
	}
}

// manyTopics opens the log of a tenant with many small topics.
func manyTopics(t *testing.T, s *Store) *Log {
	t.Helper()
	setQuotas(s, func(q *tenant.Quotas) { q.Topics, q.BacklogBytes = 5000, 1<<19 })
	return openLog(t, s)
}

// consumersOf returns the consumers of all streams of topics.
func consumersOf(t *testing.T, l *Log) (names []string) {
	t.Helper()
	for _, top := range l.register.all() {
		e, _, _ := top.look()
		stream, err := l.link.js.Stream(ctxOf(t), naming.Stream(l.tenant, top.name, generation(e)))
		if errors.Is(err, natsjs.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for name := range stream.ConsumerNames(ctxOf(t)).Name() {
			names = append(names, top.name+" "+name)
		}
	}
	slices.Sort(names)
	return names
}

// payloads takes n deliveries and acknowledges them.
func (f *feed) payloads(t *testing.T, n int) (got []string) {
	t.Helper()
	for range n {
		d := f.next(t)
		f.reader.Ack(d)
		got = append(got, string(d.Payload))
	}
	return got
}

func wantPayloads(t *testing.T, f *feed, want ...string) {
	t.Helper()
	if got := f.payloads(t, len(want)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A filter that was there before the topic: nothing is lost, although its bridge hears of the topic after the publisher.
func TestFilterBeforeTopic(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	told := make(chan string, 10)
	b.OnCreated(func(topic string) { told <- topic })
	for _, filter := range []string{"a/#", "+/b/#"} {
		if topics, err := b.Watch(ctxOf(t), filter); err != nil || len(topics) != 0 {
			t.Fatalf("topics %q: %v", topics, err)
		}
	}
	mustStore(t, a, "c", "nobody's")
	mustStore(t, a, "a/b/c", "one")
	mustStore(t, a, "a", "two")
	for _, topic := range []string{"a/b/c", "a"} {
		awaitTold(t, told, topic)
	}
	mustStore(t, a, "a/b/c", "three")
	s := newSink()
	r, err := b.Attach(ctxOf(t), tenant.Dedicated("a/b/c"), "", 0, nil, s)
	if err != nil || !r.Adopted() {
		t.Fatalf("adopted %v: %v", r != nil && r.Adopted(), err)
	}
	wantPayloads(t, &feed{sink: s, reader: r}, "one", "three")
	wantConsumers(t, a, "a/b/c", 1)
	b.Release("a/b/c") // which has no effect
	b.Release("a")
	deletion(t, b, "a", func() {})
	closeReader(t, r)
	r, err = b.Attach(ctxOf(t), tenant.Dedicated("a/b/c"), "", 0, nil, s)
	if err != nil || r.Adopted() {
		t.Fatalf("adopted once more: %v", err)
	}
	closeReader(t, r)
	wantConsumers(t, a, "a/b/c", 0)
}

// awaitTold waits until OnCreated has told of a topic.
func awaitTold(t *testing.T, told <-chan string, topic string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got := <-told:
			if got == topic {
				return
			}
		case <-deadline:
			t.Fatalf("not told of %s", topic)
		}
	}
}

// deletion waits until the bridge's own consumer on a topic is gone, as a consequence of what do does at the latest.
func deletion(t *testing.T, l *Log, topic string, do func()) {
	t.Helper()
	stream := l.register.topic(topic).stream()
	name := consumerName(l.store.config.Bridge, "")
	sub, err := l.link.nc.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.DELETED." + stream + "." + name)
	if err != nil {
		t.Fatal(err)
	}
	do()
	_, err = l.link.js.PushConsumer(ctxOf(t), stream, name)
	if err == nil {
		_, err = sub.NextMsgWithContext(ctxOf(t))
	} else if errors.Is(err, natsjs.ErrConsumerNotFound) {
		err = nil
	}
	if err = errors.Join(err, sub.Unsubscribe()); err != nil {
		t.Fatal(err)
	}
}

// A topic that was there before the filter is returned, and one that is being created is waited for.
func TestTopicBeforeFilter(t *testing.T) {
	srv := newServer(t, nil)
	a, b := openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
	mustStore(t, a, "a/1", "before")
	mustStore(t, a, "x", "of no interest")
	// a/2 is being created by a bridge that stops in the middle, and goes on.
	rec := topicRecord{Topic: "a/2", State: creating}.withPolicy(a.policyOf("x"))
	mine, err := a.register.write(ctxOf(t), rec, topicEntry{})
	if err != nil {
		t.Fatal(err)
	}
	w := watch(b)
	done := make(chan error, 1)
	go func() { done <- w.subscribe(ctxOf(t), "a/#") }()
	registerUntil(t, a, func() bool { return len(a.filters.of("a/2")) > 0 })
	select {
	case err := <-done:
		t.Fatalf("a topic that is being created was not waited for: %v", err)
	default:
	}
	rec.Generation = mine.Sequence
	if _, err := a.link.js.CreateStream(ctxOf(t), a.dedicatedStream("a/2", mine.Sequence, a.policyOf("x"))); err != nil {
		t.Fatal(err)
	}
	if _, err := a.register.write(ctxOf(t), rec.with(live), mine); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	topics := slices.Sorted(maps.Keys(w.feeds))
	w.mu.Unlock()
	if !slices.Equal(topics, []string{"a/1", "a/2"}) {
		t.Errorf("attached to %q", topics)
	}
	for _, topic := range topics {
		mustStore(t, a, topic, "after")
		f := feedOf(t, w, topic)
		if f.reader.Adopted() {
			t.Errorf("%s was adopted", topic)
		}
		wantPayloads(t, f, "after")
	}
	if err := w.unsubscribe(ctxOf(t), "a/#", topics...); err != nil {
		t.Fatal(err)
	}
	if err := w.wait(); err != nil {
		t.Error(err)
	}
}

func numberOf(payload string) (n int) {
	_, _ = fmt.Sscanf(payload, "message %d", &n)
	return n
}
