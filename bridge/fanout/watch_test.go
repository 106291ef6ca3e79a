package fanout_test

import (
	"fmt"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/bridge/fanout"
)

// watcher is a session that takes the first subscription that it is handed.
type watcher struct {
	*session
	opened chan *fanout.Subscription
}

func (w *watcher) Opened(sub *fanout.Subscription) {
	select {
	case w.opened <- sub:
	default: // told again
	}
}

// watcher makes a session that watches a filter; Watch has returned.
func (e *env) watcher(name, filter string, hold bool) *watcher {
	e.t.Helper()
	w := &watcher{session: e.session(name, hold), opened: make(chan *fanout.Subscription, 1)}
	w.m = e.hub.Join(e.log, w)
	e.t.Cleanup(w.m.Leave)
	if err := w.m.Subscribe(deadline(e.t), filter, hold); err != nil {
		e.t.Fatal(err)
	}
	return w
}

// take waits for the subscription and reads it.
func (w *watcher) take() {
	w.t.Helper()
	select {
	case w.sub = <-w.opened:
	case <-deadline(w.t).Done():
		w.t.Fatalf("%s: nothing is opened", w.name)
	}
	if !w.sub.Bind(w) {
		w.t.Fatalf("%s: the subscription is closed", w.name)
	}
	w.read()
}

// kept keeps what nobody has taken, as the consumer of a creator does.
func kept(c *natsjs.StreamConfig) { c.Retention = natsjs.LimitsPolicy }

// TestWatchExistingTopic: what was stored before Watch is skipped, whoever reads the topic already.
func TestWatchExistingTopic(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprint("read before: ", before), func(t *testing.T) {
			e := start(t, 0)
			e.log.exist("a", "b/c")
			if before {
				silent := e.session("silent", true)
				e.attach(silent)
				t.Cleanup(silent.m.Leave)
			}
			e.publish(0, 300)
			w := e.watcher("w", "+", true)
			e.publish(300, 310)
			w.take()
			w.waitFor(309)
			if w.got != 10 {
				t.Errorf("got %d messages, want the 10 stored after Watch", w.got)
			}
		})
	}
}

// TestWatchCreatedTopic: who watches sees everything since the topic was created; who subscribes to it by name nothing that was
// stored before.
func TestWatchCreatedTopic(t *testing.T) {
	e := start(t, 0, kept)
	one, two := e.watcher("one", "#", true), e.watcher("two", "+", false)
	e.log.create("a", func() { e.publish(0, 100) })
	one.take()
	two.take()
	late := e.subscribe("late", true)
	e.publish(100, 110)
	for _, s := range []*session{one.session, two.session, late} {
		s.waitFor(109)
	}
	if one.got != 110 || two.got != 110 || late.got != 10 {
		t.Errorf("got %d, %d and %d messages, want 110, 110 and 10", one.got, two.got, late.got)
	}
	if n := e.log.attached.Load(); n != 1 {
		t.Errorf("%d readers, want 1", n)
	}
}

// TestSubscribeAttachesForThoseWhoWatch: the reader is made for somebody who subscribes by name, before anybody is told that the
// topic was created.
func TestSubscribeAttachesForThoseWhoWatch(t *testing.T) {
	e := start(t, 0, kept)
	w := e.watcher("w", "#", true)
	var exact *session
	e.log.create("a", func() {
		e.publish(0, 100)
		exact = e.subscribe("exact", true)
		e.publish(100, 110)
	})
	w.take()
	w.waitFor(109)
	exact.waitFor(109)
	if w.got != 110 || exact.got != 10 {
		t.Errorf("got %d and %d messages, want 110 and 10", w.got, exact.got)
	}
}

// TestOneSubscriptionForAllFilters: a topic that is subscribed to in several ways is one subscription.
func TestOneSubscriptionForAllFilters(t *testing.T) {
	e := start(t, 0)
	e.log.exist("a")
	w := e.watcher("w", "#", false)
	w.take()
	e.publish(0, 10)
	w.waitFor(9)
	if err := w.m.Subscribe(deadline(t), "+", true); err != nil {
		t.Fatal(err)
	}
	if err := w.m.Subscribe(deadline(t), "a", false); err != nil {
		t.Fatal(err)
	}
	for len(w.opened) > 0 {
		if sub := <-w.opened; sub != w.sub {
			t.Errorf("got %p, want %p", sub, w.sub)
		}
	}
	e.publish(10, 20)
	w.waitFor(19)
	if w.got != 20 {
		t.Errorf("got %d messages", w.got)
	}
	w.m.Unsubscribe("#")
	w.m.Unsubscribe("+")
	w.m.Unsubscribe("+") // twice is once
	if len(e.log.filters) != 0 {
		t.Errorf("still announced: %v", e.log.filters)
	}
	e.publish(20, 30)
	w.waitFor(29)
}

// TestHold: what the shared source had acknowledged already is read once more, and what comes is held.
func TestHold(t *testing.T) {
	e := start(t, 0)
	s := e.session("s", false)
	e.attach(s)
	e.publish(0, 20)
	e.until("empty", empty)
	s.sub.Hold()
	s.sub.Hold() // twice is once
	e.publish(20, 30)
	e.until("held", func(i natsjs.StreamInfo) bool { return i.State.Msgs == 10 })
	s.read()
	s.waitFor(29)
	if s.got != 30 {
		t.Errorf("got %d messages", s.got)
	}
	e.until("empty", empty)
}

// TestCreatedTopicThatNobodyWants is given back.
func TestCreatedTopicThatNobodyWants(t *testing.T) {
	e := start(t, 0)
	w := e.watcher("w", "b/#", true)
	e.log.released = make(chan string)
	go e.log.told("a")
	expect := func(topic string) {
		t.Helper()
		select {
		case got := <-e.log.released:
			if got != topic {
				t.Errorf("released %q, want %q", got, topic)
			}
		case <-deadline(t).Done():
			t.Errorf("%s is not released", topic)
		}
	}
	expect("a")
	w.m.Leave()
	go e.log.told("b/c")
	expect("b/c")
	if n := e.log.attached.Load(); n != 0 {
		t.Errorf("%d readers", n)
	}
}

// TestCreatedTopicThatCannotBeAttached is tried again.
func TestCreatedTopicThatCannotBeAttached(t *testing.T) {
	e := start(t, 0, kept)
	w := e.watcher("w", "#", true)
	e.log.fail.Store(true)
	e.log.create("a", func() { e.publish(0, 10) })
	if err := e.session("x", true).m.Subscribe(deadline(t), "a", true); err == nil {
		t.Error("Subscribe does not fail")
	}
	e.log.fail.Store(false)
	w.take()
	w.waitFor(9)
}

// TestWatchFails: nothing is left of it.
func TestWatchFails(t *testing.T) {
	e := start(t, 0)
	e.log.exist("a", "b", "c")
	e.log.fail.Store(true)
	w := &watcher{session: e.session("w", true)}
	m := e.hub.Join(e.log, w)
	if err := m.Subscribe(deadline(t), "#", true); err == nil {
		t.Fatal("Watch does not fail")
	}
	e.log.fail.Store(false)
	if len(e.log.filters) != 0 {
		t.Errorf("still announced: %v", e.log.filters)
	}
	s := e.subscribe("s", true)
	e.publish(0, 10)
	s.waitFor(9)
	e.until("nobody else holds", empty)
	m.Leave()
	if err := m.Subscribe(deadline(t), "#", true); err == nil {
		t.Error("a session that has left watches")
	}
}

func (*watcher) Moved(*fanout.Subscription) {}

func (*watcher) Ended(*fanout.Subscription) {}
