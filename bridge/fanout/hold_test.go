package fanout_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// holds is what a log says of bounds: none, before limit.
type holds struct {
	mu              sync.Mutex
	messages, bytes int64
	revision        uint64
}

func (h *holds) Hold(tenant.Place) (messages, bytes int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	messages, bytes = h.messages, h.bytes
	if messages == 0 {
		messages = tenant.Unlimited
	}
	if bytes == 0 {
		bytes = tenant.Unlimited
	}
	return messages, bytes, true
}

func (h *holds) Revision() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revision
}

// limit sets the bounds; 0: none.
func (h *holds) limit(messages, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages, h.bytes = messages, bytes
	h.revision++
}

func (s *session) Overflowed(tenant.Place, uint64) {}
func (d *device) Overflowed(tenant.Place, uint64)  {}

// client is a session that takes messages when it is told to, and has some of them in flight, as a bridge has.
type client struct {
	e   *env
	m   *fanout.Member
	sub *fanout.Subscription

	mu       sync.Mutex
	changed  *sync.Cond
	ready    bool
	gone     bool
	inflight int // that it does not acknowledge
	open     []uint64
	got      []int
	told     uint64 // messages that overflowed
	tells    []time.Time

	done sync.WaitGroup
}

func (c *client) Opened(sub *fanout.Subscription) { c.sub = sub }

func (*client) Moved(*fanout.Subscription) {}

func (*client) Ended(*fanout.Subscription) {}

func (c *client) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = true
	c.changed.Broadcast()
}

func (c *client) Overflowed(_ tenant.Place, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told += n
	c.tells = append(c.tells, time.Now())
	c.changed.Broadcast()
}

// client subscribes and takes that many messages without acknowledging them, and then none, until go.
func (e *env) client(log fanout.Log, name string, hold bool, inflight int) *client {
	e.t.Helper()
	c := &client{e: e, inflight: inflight, ready: true}
	c.changed = sync.NewCond(&c.mu)
	c.m = e.hub.Join(log, c)
	if err := c.m.Subscribe(deadline(e.t), name, hold); err != nil {
		e.t.Fatal(err)
	}
	c.sub.Bind(c)
	c.done.Go(c.run)
	e.t.Cleanup(c.leave)
	return c
}

func (c *client) leave() {
	c.mu.Lock()
	c.gone = true
	c.changed.Broadcast()
	c.mu.Unlock()
	c.done.Wait()
	c.m.Leave()
}

func (c *client) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for !c.gone && (!c.ready || len(c.open) > 0 && len(c.open) >= c.inflight) {
			c.changed.Wait()
		}
		if c.gone {
			return
		}
		c.ready = false
		c.mu.Unlock()
		d, held, ok := c.sub.Next()
		c.mu.Lock()
		if !ok {
			continue
		}
		c.ready = true
		c.take(d, held)
	}
}

// take notes a message. The caller holds mu.
func (c *client) take(d reader.Delivery, held bool) {
	n, err := strconv.Atoi(string(d.Payload[:8]))
	if err != nil || len(c.got) > 0 && n <= c.got[len(c.got)-1] {
		c.e.t.Errorf("%d after %d (%v)", n, c.got[len(c.got)-1], err)
	}
	c.got = append(c.got, n)
	c.changed.Broadcast()
	switch {
	case !held:
	case c.inflight > 0:
		c.open = append(c.open, d.Sequence)
	default:
		c.sub.Ack(d.Sequence)
	}
}

// revive lets it acknowledge what it has and all that is to come.
func (c *client) revive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sequence := range c.open {
		c.sub.Ack(sequence)
	}
	c.open, c.inflight = nil, 0
	c.changed.Broadcast()
}

// until waits for a condition.
func (c *client) until(what string, condition func() bool) {
	c.e.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		late = true
		c.changed.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !condition() && !late {
		c.changed.Wait()
	}
	if late {
		c.e.t.Errorf("timeout: %s; %d messages, %d told", what, len(c.got), c.told)
	}
}

// has waits for the message with a number.
func (c *client) has(number int) {
	c.e.t.Helper()
	c.until(fmt.Sprint("message ", number), func() bool { return len(c.got) > 0 && c.got[len(c.got)-1] >= number })
}

// check holds it to having got from 0 what was in flight, and the newest of all, as many as it may hold; and to the counts.
func (c *client) check(published, inflight, newest int) {
	c.e.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) != inflight+newest {
		c.e.t.Errorf("%d messages, want %d and %d", len(c.got), inflight, newest)
	}
	for i, n := range c.got {
		want := i
		if i >= inflight {
			want = published - len(c.got) + i
		}
		if n != want {
			c.e.t.Errorf("message %d is %d, want %d", i, n, want)
			break
		}
	}
	if n := int(c.e.value("weir_session_overflow_total")); n+len(c.got) != published {
		c.e.t.Errorf("%d of %d overflowed, %d delivered", n, published, len(c.got))
	}
}

// kinds are the places that hold.
var kinds = []tenant.StreamKind{tenant.StreamDedicated, tenant.StreamShared}

func (e *env) place(kind tenant.StreamKind) (fanout.Log, string) {
	if kind == tenant.StreamDedicated {
		return e.log, "a"
	}
	return e.many(kind), "+"
}

// holds waits until the stream has no more than that.
func (e *env) holds(messages int) {
	e.t.Helper()
	e.until(fmt.Sprint("no more than ", messages), func(i natsjs.StreamInfo) bool { return i.State.Msgs <= uint64(messages) })
}

// paced publishes so that a stream has room as long as nobody holds more than that. A publisher without that is faster than
// subscribers that do acknowledge.
func (e *env) paced(first, last, hold int) {
	e.t.Helper()
	const chunk = 100
	for n := first; n < last; n += chunk {
		e.publish(n, min(n+chunk, last))
		e.holds(hold)
	}
}

// backlog bounds a stream of one topic.
func backlog(messages int64) func(*natsjs.StreamConfig) {
	return func(c *natsjs.StreamConfig) { c.MaxMsgs = messages }
}

// TestOverflow has one subscription, alone, that does not acknowledge. No publisher is refused, and it has the newest messages.
func TestOverflow(t *testing.T) {
	for _, kind := range kinds {
		for _, test := range []struct{ hold, backlog, inflight, published int }{
			{100, 1000, 20, 10_000}, {100, 1000, 100, 2000}, {200, 1000, 100, 2000}, {2000, 3000, 20, 5000}, {1, 1000, 1, 2000},
		} {
			t.Run(fmt.Sprint(kind, " ", test.hold, " ", test.inflight), func(t *testing.T) {
				published := test.published
				e := start(t, 0, backlog(int64(test.backlog)))
				e.log.limit(int64(test.hold), 0)
				log, name := e.place(kind)
				c := e.client(log, name, true, test.inflight)
				e.publish(0, test.inflight)
				c.has(test.inflight - 1)
				e.paced(test.inflight, published, test.hold)
				c.revive()
				c.has(published - 1)
				c.check(published, test.inflight, test.hold)
				e.until("all acknowledged", empty)
			})
		}
	}
}

// TestOverflowBytes has the same with a bound in bytes.
func TestOverflowBytes(t *testing.T) {
	const published, size = 2000, 10_000 // 10 and ten times 199
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			e := start(t, 0, func(c *natsjs.StreamConfig) { c.MaxBytes = 10 << 20 })
			e.log.limit(0, 1<<20)
			log, name := e.place(kind)
			c := e.client(log, name, true, 10)
			e.publishSized(0, 10, size)
			c.has(9)
			for n := 10; n < published; n += 199 {
				e.publishSized(n, n+199, size)
				e.holds(1 << 20 / size)
			}
			c.revive()
			c.has(published - 1)
			c.mu.Lock()
			newest := len(c.got) - 10
			c.mu.Unlock()
			if most := 1 << 20 / size; newest > most || newest < most-5 {
				t.Errorf("the newest %d, want %d or a little less", newest, most)
			}
			c.check(published, 10, newest)
			e.until("all acknowledged", empty)
		})
	}
}

// TestOverflowStarving has two subscriptions that stand still and may hold more than there is memory for.
func TestOverflowStarving(t *testing.T) {
	const published, hold, inflight, size = 4000, 1000, 20, 1000
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			e := start(t, 100*size, backlog(2000))
			e.log.limit(hold, 0)
			log, name := e.place(kind)
			all := []*client{e.client(log, name, true, inflight), e.client(log, name, true, inflight)}
			for n := 0; n < published; n += 200 {
				e.publishSized(n, n+200, size)
				e.holds(hold)
			}
			delivered := 0
			for _, c := range all {
				c.revive()
				c.has(published - 1)
				delivered += len(c.got)
				if newest := len(c.got) - inflight; newest > hold || newest < hold*7/8 {
					t.Errorf("the newest %d, want no more than %d", newest, hold)
				}
			}
			if n := int(e.value("weir_session_overflow_total")); n+delivered != 2*published {
				t.Errorf("%d overflowed and %d delivered of %d", n, delivered, 2*published)
			}
			e.until("all acknowledged", empty)
			t.Logf("%v discards, %v resets", e.value("weir_fanout_discards_total"), e.value("weir_reader_resets_total"))
		})
	}
}

// TestOverflowBeside has one that does not acknowledge beside one that does and one of QoS 0, who get everything.
func TestOverflowBeside(t *testing.T) {
	const published = 5000
	for _, kind := range kinds {
		for _, hold := range []int{100, 1500} {
			t.Run(fmt.Sprint(kind, " ", hold), func(t *testing.T) {
				e := start(t, 0, backlog(4000))
				e.log.limit(int64(hold), 0)
				log, name := e.place(kind)
				c, other, qos0 := e.client(log, name, true, 20), e.client(log, name, true, 0), e.client(log, name, false, 0)
				e.publish(0, 20)
				c.has(19)
				for n := 20; n < published; n += 20 { // so that it is never behind by more than it may hold
					e.publish(n, n+20)
					other.has(n + 19)
					qos0.has(n + 19)
				}
				e.holds(hold)
				c.revive()
				c.has(published - 1)
				c.check(published, 20, hold)
				for _, one := range []*client{other, qos0} {
					if len(one.got) != published {
						t.Errorf("%d messages, want %d", len(one.got), published)
					}
				}
				e.until("all acknowledged", empty)
			})
		}
	}
}

// TestOverflowTold tells the session what it has lost, once a second.
func TestOverflowTold(t *testing.T) {
	e := start(t, 0)
	e.log.limit(10, 0)
	c := e.client(e.log, "a", true, 5)
	e.publish(0, 100)
	e.holds(10)
	for n := 100; ; n += 10 {
		c.mu.Lock()
		told := len(c.tells)
		c.mu.Unlock()
		if told == 3 {
			break
		}
		e.publish(n, n+10)
	}
	e.holds(10)
	c.leave()
	if n := uint64(e.value("weir_session_overflow_total")); c.told != n || n == 0 {
		t.Errorf("told of %d, %d overflowed", c.told, n)
	}
	for i := 1; i < len(c.tells)-1; i++ {
		if d := c.tells[i].Sub(c.tells[i-1]); d < 500*time.Millisecond {
			t.Errorf("told after %v", d)
		}
	}
}
