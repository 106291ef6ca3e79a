package fanout_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/filter"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// manyLog is a message log with one place for all topics, over real readers.
type manyLog struct {
	*streamLog
	place tenant.Place
}

func (e *env) many(kind tenant.StreamKind) *manyLog {
	return &manyLog{e.log, tenant.Place{Stream: kind, Name: "many"}}
}

func (l *manyLog) Places(string) ([]tenant.Place, bool) { return []tenant.Place{l.place}, false }

func (l *manyLog) Attach(
	ctx context.Context, _ tenant.Place, name string, from uint64, filters []string, sink reader.Sink,
) (reader.Attached, error) {
	if l.fail.Load() {
		return nil, context.DeadlineExceeded
	}
	n := strconv.FormatInt(l.opened.Add(1), 10)
	chooser := sink.(reader.Chooser) //nolint:forcetypeassert // that is what a place of many topics needs
	cfg := reader.Config{
		Conn: l.env.conn, JetStream: l.env.js, Stream: "S", Durable: "b_1_" + name, Deliver: "weir.deliver.1." + n,
		Log: zap.NewNop(), Metrics: l.metrics, Pace: l.pace,
		Decode: func(m *wire.Msg) (*message.Message, error) {
			topic, _ := message.Topic("t", string(m.Subject))
			if !chooser.Wants(topic) {
				return nil, nil
			}
			return &message.Message{Topic: topic, Payload: bytes.Clone(m.Data)}, nil
		},
	}
	if name == "" {
		cfg.MaxWindow = 16_384
	} else {
		cfg.MaxWindow = 1024
		for _, f := range filter.Cover(filters) {
			cfg.Filters = append(cfg.Filters, message.FilterSubjects("t", f)...)
		}
	}
	if from != 0 {
		cfg.Start, cfg.From = reader.StartSequence, from
	}
	r, err := reader.Open(ctx, cfg, sink)
	if err != nil {
		return nil, err
	}
	l.attached.Add(1)
	return counted{r, l.streamLog, false}, nil
}

// device is a session with any number of filters at a place of many topics. Of each topic it expects every message once and in order, from
// when it has subscribed to the first filter that it has and that matches.
type device struct {
	t    testing.TB
	name string
	hold bool
	m    *fanout.Member
	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
	came atomic.Int64 // messages

	mu      sync.Mutex
	cond    *sync.Cond
	sub     *fanout.Subscription
	stalled bool
	filters map[string]bool
	topics  map[string]*expectation
	kept    []uint64                      // unacknowledged
	keep    func(d *reader.Delivery) bool // whether not to acknowledge at once
}

// expectation is what a device is to get of one topic.
type expectation struct {
	filters map[string]span // that match
	next    int             // after the last one that came
}

// span is where a filter may begin: not before from, which was not stored yet when Subscribe was called, and not after until, which was
// stored after that.
type span struct{ from, until int }

// bounds are those of the next message.
func (x *expectation) bounds() (from, until int) {
	from, until = 1<<62, 1<<62
	for _, one := range x.filters {
		from, until = min(from, one.from), min(until, one.until)
	}
	return max(from, x.next), max(until, x.next)
}

func (d *device) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *device) Opened(sub *fanout.Subscription) {
	d.mu.Lock()
	again := d.sub == sub
	d.sub = sub
	d.mu.Unlock()
	if !again {
		sub.Bind(d)
		d.Wake()
	}
}

func (e *env) device(log fanout.Log, name string, hold bool) *device {
	d := &device{
		t: e.t, name: name, hold: hold, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		filters: map[string]bool{}, topics: map[string]*expectation{},
	}
	d.cond = sync.NewCond(&d.mu)
	d.m = e.hub.Join(log, d)
	d.done.Go(d.run)
	e.t.Cleanup(d.close)
	return d
}

func (d *device) close() {
	select {
	case <-d.stop:
	default:
		close(d.stop)
	}
	d.done.Wait()
	d.m.Leave()
}

// run takes messages as the bridge does: under the lock of the session.
func (d *device) run() {
	for {
		select {
		case <-d.wake:
		case <-d.stop:
			return
		}
		for d.step() {
		}
	}
}

func (d *device) step() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sub == nil || d.stalled {
		return false
	}
	one, held, ok := d.sub.Next()
	if !ok {
		return false
	}
	d.take(&one)
	d.came.Add(1)
	d.cond.Broadcast()
	switch {
	case !held:
	case d.keep != nil && d.keep(&one):
		d.kept = append(d.kept, one.Sequence)
	default:
		d.sub.Ack(one.Sequence)
	}
	return true
}

func (d *device) take(one *reader.Delivery) {
	n, err := strconv.Atoi(string(bytes.TrimRight(one.Payload, "\x00")))
	x := d.topics[one.Topic]
	if err != nil || x == nil || len(x.filters) == 0 {
		d.t.Errorf("%s: %s %d is not wanted (%v)", d.name, one.Topic, n, err)
		return
	}
	if from, until := x.bounds(); n < from || d.hold && n > until {
		d.t.Errorf("%s: %s %d, want %d to %d: %v", d.name, one.Topic, n, from, until, x.filters)
	}
	x.next = n + 1
}

// subscribe puts a filter into force; w knows how far each topic has come.
func (d *device) subscribe(w *world, name string) {
	d.mu.Lock()
	for topic, n := range w.stored() {
		if !filter.Match(name, topic) {
			continue
		}
		x := d.topics[topic]
		if x == nil {
			x = &expectation{filters: map[string]span{}}
			d.topics[topic] = x
		}
		x.filters[name] = span{n + 1, 1 << 62}
	}
	d.filters[name] = true
	d.mu.Unlock()
	if err := d.m.Subscribe(deadline(d.t), name, d.hold); err != nil {
		d.t.Errorf("%s: %s: %v", d.name, name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for topic, n := range w.begun() {
		if filter.Match(name, topic) {
			x := d.topics[topic]
			x.filters[name] = span{x.filters[name].from, n + 1}
		}
	}
}

func (d *device) unsubscribe(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.m.Unsubscribe(name)
	delete(d.filters, name)
	for topic, x := range d.topics {
		if delete(x.filters, name); len(x.filters) == 0 {
			delete(d.topics, topic)
		}
	}
	if len(d.filters) == 0 {
		d.sub, d.kept = nil, nil
	}
}

// stall makes it stop or go on reading.
func (d *device) stall(on bool) {
	d.mu.Lock()
	d.stalled = on
	d.mu.Unlock()
	d.Wake()
}

// ackAll acknowledges what was kept.
func (d *device) ackAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.kept {
		d.sub.Ack(q)
	}
	d.kept = nil
}

// waitFor blocks until the device has had everything of a topic up to a number.
func (d *device) waitFor(topic string, number int) {
	d.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		late = true
		d.cond.Broadcast()
	})
	defer timer.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for (d.topics[topic] == nil || d.topics[topic].next <= number) && !late {
		d.cond.Wait()
	}
	if late {
		d.t.Errorf("%s: timeout at %s %+v, want %d", d.name, topic, *d.topics[topic], number)
	}
}

// world publishes numbered messages of each topic, from 1 on.
type world struct {
	e      *env
	mu     sync.Mutex
	topics []string
	sent   map[string]int // handed to the server
	acked  map[string]int // stored, in order
	unsure []pending
}

type pending struct {
	topic  string
	number int
	future natsjs.PubAckFuture
}

func (e *env) world(topics ...string) *world {
	w := &world{e: e, topics: topics, sent: map[string]int{}, acked: map[string]int{}}
	for _, topic := range topics {
		w.sent[topic], w.acked[topic] = 0, 0
	}
	return w
}

// stored is the newest of each topic that is stored for sure: what is stored from now on has a higher number.
func (w *world) stored() map[string]int { return w.copy(w.acked) }

// begun is the newest of each topic that may be stored.
func (w *world) begun() map[string]int { return w.copy(w.sent) }

func (w *world) copy(m map[string]int) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(map[string]int, len(m))
	for topic, n := range m {
		c[topic] = n
	}
	return c
}

// publish stores one more message of a topic, some time; wait stores all.
func (w *world) publish(topic string, size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[topic]++
	payload := make([]byte, max(size, 8))
	copy(payload, strconv.Itoa(w.sent[topic]))
	f, err := w.e.js.PublishAsync("mqtt.t."+strings.ReplaceAll(topic, "/", "."), payload, natsjs.WithStallWait(patience))
	if err != nil {
		w.e.t.Fatal(err)
	}
	if w.unsure = append(w.unsure, pending{topic, w.sent[topic], f}); len(w.unsure) == 256 {
		w.settle()
	}
}

func (w *world) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
}

func (w *world) settle() {
	for _, p := range w.unsure {
		select {
		case <-p.future.Ok():
			w.acked[p.topic] = p.number
		case err := <-p.future.Err():
			w.e.t.Error(err)
		}
	}
	w.unsure = w.unsure[:0]
}

// all publishes that many messages of every topic.
func (w *world) all(n, size int) {
	for range n {
		for _, topic := range w.topics {
			w.publish(topic, size)
		}
	}
	w.wait()
}

func topics(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(prefix, "/", i))
	}
	return all
}

// arrived waits until a device has had all that is stored of the topics that it subscribes to.
func (w *world) arrived(d *device) {
	w.e.t.Helper()
	for topic, n := range w.stored() {
		d.mu.Lock()
		x := d.topics[topic]
		wanted := false
		if x != nil {
			_, until := x.bounds()
			wanted = x.next > 0 || until <= n
		}
		d.mu.Unlock()
		if wanted {
			d.waitFor(topic, n)
		}
	}
}

func (*device) Moved(*fanout.Subscription) {}

func (*device) Ended(*fanout.Subscription) {}
