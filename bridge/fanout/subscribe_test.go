package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream/reader"
)

func TestSubscribersShareOneReader(t *testing.T) {
	e := start(t, 0)
	var all []*session
	for i := range 5 {
		all = append(all, e.subscribe(fmt.Sprint("s", i), i%2 == 0))
	}
	e.publish(0, 1000)
	for _, s := range all {
		s.waitFor(999)
	}
	if n := e.log.attached.Load(); n != 1 {
		t.Errorf("%d readers, want 1", n)
	}
	e.until("empty", empty)
	for _, s := range all {
		s.close()
	}
	e.until("no consumer and no bytes", func(i natsjs.StreamInfo) bool {
		return i.State.Consumers == 0 && e.value("weir_fanout_buffered_bytes") == 0
	})
}

func TestNothingStoredBeforeSubscribeAndEverythingAfter(t *testing.T) {
	e := start(t, 0)
	silent := e.session("silent", true)
	e.attach(silent) // takes nothing: the shared buffer is full of old messages
	t.Cleanup(silent.sub.Close)
	e.publish(0, 100)
	late := e.subscribe("late", true)
	e.publish(100, 110)
	late.waitFor(109)
	if late.got != 10 {
		t.Errorf("got %d messages, want the 10 stored after SUBSCRIBE", late.got)
	}
}

func TestSubscribeWhileOldMessagesAreUnderWay(t *testing.T) {
	e := start(t, 0)
	silent := e.session("silent", true)
	e.attach(silent)
	t.Cleanup(silent.sub.Close)
	e.publish(0, 600) // more than the reader may have unacknowledged: the rest is still in the stream
	late := e.session("late", true)
	e.attach(late)
	e.publish(600, 610)
	late.read()
	silent.read()
	late.waitFor(609)
	if late.got != 10 {
		t.Errorf("got %d messages, want the 10 stored after SUBSCRIBE", late.got)
	}
	silent.waitFor(609)
	e.until("empty", empty)
}

func TestQoS0NeverHolds(t *testing.T) {
	e := start(t, 0)
	silent := e.session("silent", false)
	e.attach(silent)
	t.Cleanup(silent.sub.Close)
	s := e.subscribe("reads", true)
	e.publish(0, 5000)
	s.waitFor(4999)
	e.until("empty", empty)
	silent.read()
	silent.waitFor(4999)
	if silent.got >= 5000 || silent.got == 0 {
		t.Errorf("got %d messages", silent.got)
	}
	if n := e.value("weir_fanout_dropped_total"); n != float64(5000-silent.got) {
		t.Errorf("%v drops counted, want %d", n, 5000-silent.got)
	}
}

func TestUnacknowledgedHoldsTheStream(t *testing.T) {
	e := start(t, 0, func(c *natsjs.StreamConfig) { c.MaxMsgs = 10 })
	s := e.session("late acks", true)
	s.each = func(int, reader.Delivery) bool { return false }
	e.attach(s)
	s.read()
	e.publish(0, 10)
	s.waitFor(9)
	if _, err := e.js.Publish(deadline(t), "mqtt.t.a", nil); err == nil {
		t.Fatal("a backlog that nobody acknowledged took a message")
	}
	for q := range uint64(10) {
		s.sub.Ack(q + 1)
		s.sub.Ack(q + 1) // twice is as once
	}
	s.sub.Ack(99) // never given
	e.until("empty", empty)
	e.publish(10, 20)
	s.waitFor(19)
}

func TestCloseLetsGo(t *testing.T) {
	e := start(t, 0)
	a, b := e.session("a", true), e.subscribe("b", true)
	a.each = func(int, reader.Delivery) bool { return false }
	e.attach(a)
	a.read()
	e.publish(0, 50)
	a.waitFor(49)
	b.waitFor(49)
	a.close()
	e.until("empty", empty)
	if _, _, ok := a.sub.Next(); ok {
		t.Error("Next gives messages after Close")
	}
	a.sub.Ack(1)
	a.sub.Close()
	e.publish(50, 60)
	b.waitFor(59)
}

func TestSubscribeFails(t *testing.T) {
	e := start(t, 0)
	e.log.fail.Store(true)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := e.session("x", true).m.Subscribe(deadline(t), "a", true); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	e.log.fail.Store(false)
	s := e.subscribe("later", true)
	e.publish(0, 3)
	s.waitFor(2)
}

func TestSubscribeGivenUpWhileAttaching(t *testing.T) {
	e := start(t, 0)
	e.log.gate = make(chan struct{})
	ctx, cancel := context.WithCancel(deadline(t))
	result := make(chan error, 1)
	go func() {
		result <- e.session("x", true).m.Subscribe(ctx, "a", true)
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	close(e.log.gate)
	s := e.subscribe("later", true) // waits until the first reader has gone
	e.publish(0, 3)
	s.waitFor(2)
	if n := e.log.attached.Load(); n != 1 {
		t.Errorf("%d readers, want 1", n)
	}
}

func TestErrorTopicHasAReaderOfItsOwn(t *testing.T) {
	e := start(t, 0, func(c *natsjs.StreamConfig) { c.Retention = natsjs.LimitsPolicy })
	for i := range 3 {
		if _, err := e.js.Publish(deadline(t), "mqtt.t.errors", fmt.Appendf(nil, "%08d", i)); err != nil {
			t.Fatal(err)
		}
	}
	s := e.session("dev", true)
	var err error
	if s.sub, err = s.m.SubscribeErrors(deadline(t), "dev", "u", true); err != nil {
		t.Fatal(err)
	}
	s.sub.Bind(s)
	s.read()
	s.waitFor(2)
	s.close()
}

func TestHubCloseEndsEverything(t *testing.T) {
	e := start(t, 0)
	a := e.subscribe("a", true)
	e.publish(0, 10)
	a.waitFor(9)
	if err := e.hub.Close(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if n := e.log.attached.Load(); n != 0 {
		t.Errorf("%d readers left", n)
	}
	if err := e.session("b", true).m.Subscribe(deadline(t), "a", true); err == nil {
		t.Error("a closed hub takes subscriptions")
	}
}

// TestJoinAndLeave races subscribers that come and go with messages: each gets all that were stored between its
// SUBSCRIBE and its last look, without a gap, and nothing older.
func TestJoinAndLeave(t *testing.T) {
	e := start(t, 0)
	const rounds, parallel = 1000, 4
	var mu sync.Mutex
	next := 0
	var wg sync.WaitGroup
	for p := range parallel {
		wg.Go(func() {
			for range rounds / parallel {
				s := e.session(fmt.Sprint("s", p), true)
				mu.Lock()
				before := next
				mu.Unlock()
				e.attach(s)
				mu.Lock()
				after := next
				if _, err := e.js.Publish(deadline(t), "mqtt.t.a", fmt.Appendf(nil, "%08d", next)); err != nil {
					t.Error(err)
				}
				next++
				mu.Unlock()
				first := -1
				s.each = func(n int, _ reader.Delivery) bool {
					if first < 0 {
						first = n
					}
					return true
				}
				s.read()
				s.waitFor(after)
				s.close()
				if first < before || first > after {
					t.Errorf("first message %d, stored before SUBSCRIBE: %d, after: %d", first, before, after)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	wg.Wait()
	e.until("no consumer", func(i natsjs.StreamInfo) bool { return i.State.Consumers == 0 && i.State.Msgs == 0 })
}

var _ fanout.Log = (*streamLog)(nil)
