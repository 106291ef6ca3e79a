package jetstream

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// NATS restarts. Nobody subscribes again, and messages come again. What is published meanwhile waits for the server.
func TestTransientOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	srv := startServer(t, dir, -1, nil)
	port := portOf(srv)
	l := openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{l}, transientLive)
	s := newSink()
	r := listen(t, l, "live/#", s)
	publishTransient(t, l, "live/x", "before")
	s.next(t)
	srv.Shutdown()
	srv.WaitForShutdown()
	for _, shard := range l.link.shards {
		awaitDown(t, shard.conn)
	}
	if _, err := l.Attach(ctxOf(t), tenant.Place{Stream: tenant.StreamTransient, Name: "live/#"}, "", 0, nil, newSink()); err == nil {
		t.Error("attached without NATS")
	} else {
		wantReason(t, err, reason.NATSUnavailable)
	}
	meanwhile := make(answers, 1)
	publishWith(t, l, textMessage("live/x", "meanwhile"), meanwhile)
	startServer(t, dir, port, nil)
	closeInTheEnd(t, l.store)
	if r := meanwhile.next(t); r.Outcome != publisher.Stored {
		t.Errorf("published while NATS was away: %v", r)
	}
	for n, delivered := 0, false; !delivered; n++ {
		publishTransient(t, l, "live/x", "after")
		select {
		case d := <-s.deliveries:
			delivered = string(d.Payload) == "after"
		case <-time.After(10 * time.Millisecond): // the subscription may come after what was published
			if n > 1000 {
				t.Fatal("nothing is delivered")
			}
		}
	}
	closeReader(t, r)
}

// awaitDown waits until a connection has noticed that it is lost.
func awaitDown(t *testing.T, conn *wire.Conn) {
	t.Helper()
	changed, stop := conn.Watch()
	defer stop()
	for {
		if _, up := conn.State(); !up {
			return
		}
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatal("the connection is up")
		}
	}
}

// NATS stands still, and is killed: nothing that was published since is confirmed.
func TestTransientWithoutNATS(t *testing.T) {
	url, process, _ := natsprocess.Start(t)
	l := openLog(t, newStoreAt(t, url, nil))
	enforce(t, []*Log{l}, transientLive)
	publishTransient(t, l, "live/x", "confirmed")
	var status syscall.WaitStatus
	if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(process.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the server goes on: %v", err)
	}
	const count = 100
	results := make(answers, count)
	for i := range count {
		publishWith(t, l, textMessage(fmt.Sprint("live/", i), ""), results)
	}
	select {
	case r := <-results:
		t.Errorf("an answer without NATS: %v", r)
	case <-time.After(200 * time.Millisecond):
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range count {
		r := results.next(t)
		if r.Outcome != publisher.Unknown {
			t.Fatal(r)
		}
		wantReason(t, r.Err, reason.PublishUnknown)
	}
	_ = process.Wait() // killed
}

// batches counts deliveries and tells of each batch that is complete.
type batches struct {
	count    int
	complete chan struct{}
}

const figuresBatch = 10_000 // messages, far fewer than a backlog holds

func (b *batches) Deliver(reader.Delivery) bool {
	if b.count++; b.count%figuresBatch == 0 {
		b.complete <- struct{}{}
	}
	return true
}

func (b *batches) Lost(uint64) {}

// What a message costs from its publish to its confirmation, and to its delivery on two bridges.
func TestTransientFigures(t *testing.T) {
	logs := two(t, transientLive)
	const count, topics = 100_000, 1000
	messages := make([]*message.Message, topics)
	for i := range messages {
		messages[i] = textMessage(fmt.Sprint("live/thermostat-", i), string(make([]byte, 128)))
		messages[i].ClientID, messages[i].User, messages[i].Role = "thermostat-7", "thermostat-7", "device"
	}
	publish := func(count int) {
		o := &ordered{all: make(chan struct{}), expected: count}
		for i := range count {
			m := messages[i%topics]
			route, _ := logs[0].Lookup([]byte(m.Topic))
			if err := route.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			route.Publish(m, o, uint64(i+1))
		}
		select {
		case <-o.all:
		case <-time.After(patience):
			t.Fatal("answers missing")
		}
		if len(o.bad) > 0 {
			t.Fatal(o.bad[0])
		}
	}
	begun := time.Now()
	publish(count)
	confirmed := time.Since(begun)
	sinks := [2]*batches{}
	for i, l := range logs {
		sinks[i] = &batches{complete: make(chan struct{}, count/figuresBatch)}
		listen(t, l, "live/#", sinks[i])
	}
	begun = time.Now()
	for range count / figuresBatch {
		publish(figuresBatch)
		for i, s := range sinks {
			select {
			case <-s.complete:
			case <-time.After(patience):
				t.Fatalf("messages missing; dropped: %v", testutil.ToFloat64(logs[i].store.metrics.transientOverflow))
			}
		}
	}
	delivered := time.Since(begun)
	t.Logf("%d messages, µs each: confirmed %.2f, delivered on two bridges %.2f", count, perMessage(confirmed, count), perMessage(delivered, count))
	if each := perMessage(confirmed, count); each > 50 && !raceEnabled {
		t.Errorf("%.2f µs from a publish to its confirmation", each)
	}
}

func perMessage(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
