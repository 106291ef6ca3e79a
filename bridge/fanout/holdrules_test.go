package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// fill publishes until the stream is full and returns how many messages it has taken.
func (e *env) fill(from int) (published int) {
	e.t.Helper()
	for n := from; ; n++ {
		if _, err := e.js.Publish(deadline(e.t), "mqtt.t.a", fmt.Appendf(nil, "%08d", n)); err != nil {
			return n
		}
	}
}

// TestBoundsWhileLive has a subscription that has filled the backlog before there were bounds, alone or detached because another is
// ahead. When the rule changes it lets go what is too much, also of what nobody has counted; and when that is taken back it holds all again.
func TestBoundsWhileLive(t *testing.T) {
	const size, hold, inflight = 2000, 300, 20
	for _, kind := range kinds {
		for _, alone := range []bool{true, false} {
			t.Run(fmt.Sprint(kind, " alone ", alone), func(t *testing.T) {
				e := start(t, 0, backlog(size))
				log, name := e.place(kind)
				c := e.client(log, name, true, inflight)
				if !alone {
					e.client(log, name, true, 0)
				}
				e.publish(0, inflight)
				c.has(inflight - 1)
				n := e.fill(inflight)
				if n != size {
					t.Fatalf("%d published, want %d", n, size)
				}
				e.log.limit(hold, 0)
				e.holds(hold)
				e.paced(n, 2*n, hold)
				c.revive()
				c.has(2*n - 1)
				c.check(2*n, inflight, hold)
			})
		}
	}
}

// TestBoundsTakenBack lets a subscription hold all that comes again.
func TestBoundsTakenBack(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			e := start(t, 0, backlog(2000))
			e.log.limit(100, 0)
			log, name := e.place(kind)
			c := e.client(log, name, true, 20)
			e.publish(0, 20)
			c.has(19)
			e.paced(20, 1000, 100)
			e.log.limit(0, 0)
			n := 1000
			for info := (natsjs.StreamInfo{}); info.State.Msgs < 200; n++ {
				e.publish(n, n+1)
				e.until("", func(i natsjs.StreamInfo) bool {
					info = i
					return true
				})
			}
			last := e.fill(n)
			over := int(e.value("weir_session_overflow_total"))
			c.revive()
			c.has(last - 1)
			c.check(last, 20, last-20-over)
			e.until("all acknowledged", empty)
		})
	}
}

// TestBoundsOfEveryStream has the bounds with every way that a stream may keep messages.
func TestBoundsOfEveryStream(t *testing.T) {
	const published, hold, inflight = 3000, 100, 20
	for _, kind := range kinds {
		for _, retention := range []natsjs.RetentionPolicy{natsjs.InterestPolicy, natsjs.LimitsPolicy} {
			for _, discard := range []natsjs.DiscardPolicy{natsjs.DiscardNew, natsjs.DiscardOld} {
				t.Run(fmt.Sprint(kind, retention, discard), func(t *testing.T) {
					e := start(t, 0, func(c *natsjs.StreamConfig) {
						c.Retention, c.Discard = retention, discard
						if retention == natsjs.InterestPolicy || discard == natsjs.DiscardOld {
							c.MaxMsgs = 1000
						}
					})
					e.log.limit(hold, 0)
					log, name := e.place(kind)
					c := e.client(log, name, true, inflight)
					e.publish(0, inflight)
					c.has(inflight - 1)
					if retention == natsjs.InterestPolicy {
						e.paced(inflight, published, hold)
					} else {
						for n := inflight; n < published; n += 596 {
							e.publish(n, n+596)
							e.until("seen", func(i natsjs.StreamInfo) bool {
								return int(e.value("weir_session_overflow_total")) == n+596-inflight-hold
							})
						}
					}
					c.revive()
					c.has(published - 1)
					c.check(published, inflight, hold)
				})
			}
		}
	}
}

// TestBoundsRandomly has subscriptions that stand still and go on as they like, with bounds that change and little memory. What each of
// them gets ascends, those that were let go are counted one by one, and nothing remains held.
func TestBoundsRandomly(t *testing.T) {
	for _, kind := range kinds {
		for _, budget := range []int64{0, 200_000} {
			t.Run(fmt.Sprint(kind, " ", budget), func(t *testing.T) {
				e := start(t, budget)
				e.log.limit(300, 0)
				log, name := e.place(kind)
				seed := time.Now().UnixNano()
				t.Log("seed", seed)
				r := rand.New(rand.NewPCG(uint64(seed), 1))
				var all []*client
				for range 4 {
					all = append(all, e.client(log, name, true, 1+r.IntN(50)))
				}
				n := 0
				for range 60 {
					more := 50 + r.IntN(300)
					e.publishSized(n, n+more, 200)
					n += more
					switch one := all[r.IntN(len(all))]; r.IntN(4) {
					case 0:
						one.revive()
					case 1:
						one.stall(1 + r.IntN(50))
					case 2:
						e.log.limit(100+r.Int64N(600), 0)
					case 3:
						one.revive()
						one.has(n - 1)
						one.stall(1 + r.IntN(50))
					}
				}
				delivered := 0
				for _, one := range all {
					one.revive()
				}
				e.publish(n, n+1)
				for _, one := range all {
					one.has(n)
					delivered += len(one.got)
				}
				e.until("all acknowledged", empty)
				over := int(e.value("weir_session_overflow_total"))
				if total := len(all) * (n + 1); delivered+over != total {
					t.Errorf("%d delivered and %d overflowed of %d", delivered, over, total)
				}
				t.Logf("%d delivered, %d overflowed, %v detached, %v came back, %v discards", delivered, over,
					e.value("weir_fanout_detaches_total"), e.value("weir_fanout_rejoins_total"), e.value("weir_fanout_discards_total"))
			})
		}
	}
}

// stall lets it take that many messages without acknowledgement.
func (c *client) stall(inflight int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inflight = inflight
}
