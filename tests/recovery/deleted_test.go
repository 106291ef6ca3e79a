package recovery

import (
	"strconv"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// An operator deletes the consumers of a topic, or its stream, while a subscriber is up to date and messages come: it gets messages
// again within 15 s, and what it does not get is counted.
func TestDeletedUnderLoad(t *testing.T) {
	const times = 2
	for name, remove := range map[string]func(*testing.T, natsjs.JetStream, string){"consumers": deleteConsumers, "stream": deleteStream} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, p weirtest.Pair, s subject) {
				w := newWork(t, p, s)
				for range times {
					w.deliveredAgain(func() { remove(t, p.JS, s.topic) })
				}
				w.check(-1)
			})
		})
	}
}

// Where the stream still has every message, because somebody else needs them, nothing is lost with the consumers.
func TestConsumersDeletedAndNothingLost(t *testing.T) {
	const times = 3
	each(t, func(t *testing.T, p weirtest.Pair, s subject) {
		weirtest.Durable(t, weirtest.Connect(t, p.NATS.URL()), "demo", s.topic, "holder-"+s.topic[2:])
		w := newWork(t, p, s)
		for range times {
			w.deliveredAgain(func() { deleteConsumers(t, p.JS, s.topic) })
		}
		w.check(0)
	})
}

// work is a publisher on one bridge and a subscriber on the other.
type work struct {
	t         *testing.T
	p         weirtest.Pair
	s         subject
	device    *load.Device
	publisher *weirtest.Publisher
	sent      []int64
	before    counts
}

func newWork(t *testing.T, p weirtest.Pair, s subject) *work {
	t.Helper()
	w := &work{
		t: t, p: p, s: s, before: count(p.B),
		device:    load.Subscribe(t, p.B.MQTT(), s.v, "subscriber to "+s.topic, s.filters...),
		publisher: weirtest.NewPublisher(t, p.A, s.v, s.topic),
	}
	w.publish(100)
	return w
}

func (w *work) publish(count int) {
	w.t.Helper()
	for range count {
		w.publisher.MustPublish(len(w.sent), len(w.sent)+1)
		w.sent = append(w.sent, int64(len(w.sent)))
	}
}

// deliveredAgain lets something happen to the reader, and publishes until something that was published after the reader has noticed is
// delivered.
func (w *work) deliveredAgain(happens func()) {
	w.t.Helper()
	resets := count(w.p.B).resets
	happens()
	noticed := int64(-1)
	weirtest.UntilWithin(w.t, again, "messages are delivered again", func() bool {
		w.publish(10)
		if noticed < 0 && count(w.p.B).resets > resets {
			noticed = w.sent[len(w.sent)-1]
		}
		return noticed >= 0 && w.device.Last(w.s.topic) > noticed
	})
}

// check expects that so many messages are missing, or any number with -1, that they are counted as lost, and the others in order.
func (w *work) check(missing int) {
	w.t.Helper()
	w.publish(10)
	lost := w.device.CheckOrder(w.t, map[string][]int64{w.s.topic: w.sent})[w.s.topic]
	if missing >= 0 && len(lost) != missing {
		w.t.Errorf("%d messages are missing instead of %d: %v", len(lost), missing, lost)
	}
	w.t.Logf("%d of %d messages are missing", len(lost), len(w.sent))
	countedAsLost(w.t, w.p.B, w.before, len(lost))
}

// An operator deletes the consumers of a topic, or its stream, with messages for a subscriber that is slow: it gets what the bridge has
// for it already, and what comes later; the rest is counted.
func TestDeletedWithABacklog(t *testing.T) {
	const backlog, later = 3000, 10
	for name, remove := range map[string]func(*testing.T, natsjs.JetStream, string){"consumers": deleteConsumers, "stream": deleteStream} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, p weirtest.Pair, s subject) {
				before := count(p.B)
				slow := weirtest.Device(t, p.B, s.v, "subscriber to "+s.topic)
				for _, filter := range s.filters {
					slow.Subscribe(filter, 1)
				}
				var messages []*codec.Publish
				for n := range backlog {
					messages = append(messages, &codec.Publish{Topic: []byte(s.topic), Payload: []byte(number(n))})
				}
				if err := weirtest.Device(t, p.A, s.v, "publisher").PublishAll(messages); err != nil {
					t.Fatal(err)
				}
				if s.topic[0] == 's' { // there it has a consumer of its own, even alone
					weirtest.Until(t, "it is detached", func() bool { return p.B.Metric("weir_fanout_detached_subscriptions") > 0 })
				}
				weirtest.UntilWithin(t, again, "the bridge knows how far it lags behind", func() bool { return p.B.Metric("weir_reader_lag_messages") >= backlog })
				readers := consumers(t, p, s.topic)
				remove(t, p.JS, s.topic)
				weirtest.UntilWithin(t, again, "the readers are back", func() bool { return consumers(t, p, s.topic) >= readers })
				weirtest.NewPublisher(t, p.A, s.v, s.topic).MustPublish(backlog, backlog+later)

				next, missing := 0, 0
				for next < backlog+later {
					n, err := strconv.Atoi(string(slow.Message().Payload))
					if err != nil || n < next || n > next && next >= backlog {
						t.Fatalf("received %d instead of %d, %v", n, next, err)
					}
					missing += n - next
					next = n + 1
				}
				t.Logf("%d of %d messages are missing", missing, backlog)
				if s.topic[0] == 'd' && missing == 0 {
					t.Error("nothing is missing: the test has lost its sense")
				}
				countedAsLost(t, p.B, before, missing)
				slow.Send(&codec.Disconnect{})
				slow.ExpectClosed()
			})
		})
	}
}

// consumers are how many the stream of a topic has; 0 where there is none.
func consumers(t *testing.T, p weirtest.Pair, topic string) (n int) {
	t.Helper()
	streams := p.JS.ListStreams(weirtest.Context(t), natsjs.WithStreamListSubject(message.Subject("demo", topic)))
	for info := range streams.Info() {
		n += info.State.Consumers
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}
