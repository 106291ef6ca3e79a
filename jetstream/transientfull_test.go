package jetstream

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirmq/weir/jetstream/reader"
)

// limitedSink takes what it has room for, and waits before each while it is stopped.
type limitedSink struct {
	*sink
	room    chan struct{} // a token for each message that is taken
	refused chan struct{}
	gate    chan struct{} // closed: it waits for nothing
	waiting chan struct{}
}

func (c *limitedSink) Deliver(d reader.Delivery) bool {
	select {
	case c.waiting <- struct{}{}:
	default:
	}
	<-c.gate
	select {
	case <-c.room:
		return c.sink.Deliver(d)
	default:
		c.refused <- struct{}{}
		return false
	}
}

// What the sink does not take is dropped and counted, and never comes again. So is what comes while the reader is stopped.
func TestTransientSinkIsFull(t *testing.T) {
	l := two(t, transientLive)[0]
	c := &limitedSink{sink: newSink(), room: make(chan struct{}, 10), refused: make(chan struct{}, 10), gate: make(chan struct{})}
	close(c.gate)
	r := listen(t, l, "live/#", c)
	for i := range 6 {
		if i%2 == 0 {
			c.room <- struct{}{}
		}
		publishTransient(t, l, "live/x", numbered(i))
		if i%2 == 1 {
			<-c.refused
		} else if d := c.next(t); string(d.Payload) != numbered(i) || d.Sequence != uint64(i+1) {
			t.Errorf("message %d: %q with sequence %d", i, d.Payload, d.Sequence)
		}
	}
	r.Discard(0)
	for range 2 {
		c.room <- struct{}{}
		publishTransient(t, l, "live/x", "to a reader that is stopped")
	}
	flushShards(t, l)
	r.Resume()
	publishTransient(t, l, "live/x", "last")
	if d := c.next(t); string(d.Payload) != "last" {
		t.Errorf("%q is delivered", d.Payload)
	}
	c.wantNothing(t)
	if n := testutil.ToFloat64(l.store.metrics.transientOverflow); n != 5 {
		t.Errorf("%v messages dropped", n)
	}
}

// flushShards returns when everything that was confirmed has come to this bridge.
func flushShards(t *testing.T, l *Log) {
	t.Helper()
	for _, s := range l.link.shards {
		epoch, _ := s.conn.State()
		if err := s.conn.Flush(ctxOf(t), epoch); err != nil {
			t.Fatal(err)
		}
	}
}

// A sink that stands still costs what a backlog holds, and neither the connection nor those who publish and read other topics.
func TestTransientSinkStandsStill(t *testing.T) {
	l := two(t, transientLive)[0]
	const size, count = 100_000, 3 * maxBacklog / 100_000
	c := &limitedSink{
		sink: newSink(), room: make(chan struct{}, count), refused: make(chan struct{}, count),
		gate: make(chan struct{}), waiting: make(chan struct{}, 1),
	}
	r := listen(t, l, "live/#", c)
	epochs := func() (all []uint64) {
		for _, s := range l.link.shards {
			epoch, _ := s.conn.State()
			all = append(all, epoch)
		}
		return all
	}
	before := epochs()
	publishTransient(t, l, "live/x", "first")
	<-c.waiting
	other, _ := attach(t, l, "other", "")
	for range count {
		publishTransient(t, l, "live/x", string(make([]byte, size)))
	}
	flushShards(t, l)
	mustStore(t, l, "other", "stored")
	if d := other.next(t); string(d.Payload) != "stored" {
		t.Errorf("%q", d.Payload)
	}
	dropped := int(testutil.ToFloat64(l.store.metrics.transientOverflow))
	if kept := count - dropped; kept < maxBacklog/size-10 || kept > maxBacklog/size {
		t.Errorf("%d messages are kept, %d dropped", kept, dropped)
	}
	for range count {
		c.room <- struct{}{}
	}
	close(c.gate)
	for i := range count - dropped + 1 {
		if d := c.next(t); d.Sequence != uint64(i+1) {
			t.Fatalf("message %d has sequence %d", i, d.Sequence)
		}
	}
	publishTransient(t, l, "live/x", "last")
	if d := c.next(t); string(d.Payload) != "last" {
		t.Errorf("%d bytes are delivered", len(d.Payload))
	}
	if now := epochs(); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("connections %v instead of %v", now, before)
	}
	closeReader(t, r)
}

// picky wants the topics of one name.
type picky struct {
	*sink
	topic string
}

func (p picky) Wants(topic string) bool { return topic == p.topic }

// A sink is asked which topics it wants, and gets no others.
func TestTransientSinkChooses(t *testing.T) {
	l := two(t, transientLive)[0]
	p := picky{newSink(), "live/wanted"}
	listen(t, l, "live/#", p)
	for i := range 10 {
		publishTransient(t, l, fmt.Sprint("live/", i), "not wanted")
		publishTransient(t, l, p.topic, numbered(i))
		if d := p.next(t); d.Topic != p.topic || string(d.Payload) != numbered(i) || d.Sequence != uint64(i+1) {
			t.Errorf("%q on %s", d.Payload, d.Topic)
		}
	}
	if n := testutil.ToFloat64(l.store.metrics.transientOverflow); n != 0 {
		t.Errorf("%v messages dropped", n)
	}
}
