package reader_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
)

func TestDeliversInOrderAndFreesTheStream(t *testing.T) {
	nc, js := connect(t, startServer(t))
	stream := makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	publish(t, js, -5, 0) // before the consumer: not for it
	r := open(t, cfg, sink)
	publish(t, js, 0, 300)
	got := sink.waitFor(256) // the window is full
	for _, d := range got {
		r.Ack(d)
	}
	got = sink.waitFor(300)
	expect(t, got, 0, 300)
	if got[0].Stored.IsZero() || got[0].Stream != "S" || got[0].Size < len("mqtt.t.a") {
		t.Errorf("delivery lacks what it should tell: %+v", got[0])
	}
	if lag := counter(t, reg, "weir_reader_lag_messages", ""); lag != 44 {
		t.Errorf("lag %v, want 44", lag)
	}
	for _, d := range got {
		r.Ack(d) // those of before for a second time: no harm
	}
	if err := r.Close(deadline(t)); err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 0 || info.State.Consumers != 0 {
		t.Errorf("left: %d messages, %d consumers", info.State.Msgs, info.State.Consumers)
	}
}

func TestStarts(t *testing.T) {
	for _, tt := range []struct {
		start       reader.Start
		from        uint64
		first, last int
	}{{reader.StartNew, 0, 3, 4}, {reader.StartSequence, 2, 1, 4}, {reader.StartAll, 0, 0, 4}} {
		t.Run(fmt.Sprint(tt.start), func(t *testing.T) {
			nc, js := connect(t, startServer(t))
			makeStream(t, js, func(c *natsjs.StreamConfig) { c.Retention = natsjs.LimitsPolicy })
			publish(t, js, 0, 3)
			cfg, _ := config(t, nc, js)
			cfg.Start, cfg.From = tt.start, tt.from
			sink := newCollector(t)
			open(t, cfg, sink)
			publish(t, js, 3, 4)
			expect(t, sink.waitFor(tt.last-tt.first), tt.first, tt.last)
		})
	}
}

func TestOrderAcrossServerRestart(t *testing.T) {
	s := startServer(t)
	nc, js := connect(t, s)
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 100)
	for i, d := range sink.waitFor(100) {
		if i%3 != 0 { // holes: every third is not acknowledged
			r.Ack(d)
		}
	}
	for round := range 3 {
		restart(t, s, nc)
		awaitEpoch(t, cfg.Conn, uint64(round+2))
		publish(t, js, 100+round*100, 200+round*100)
		for _, d := range sink.waitFor(200 + round*100)[100+round*100:] {
			r.Ack(d)
		}
	}
	got := sink.waitFor(400)
	expect(t, got, 0, 400)
	// An acknowledgement may find out before the connection says so.
	if n := counter(t, reg, "weir_reader_resets_total", "reconnect") + counter(t, reg, "weir_reader_resets_total", "no_responders"); n < 3 {
		t.Errorf("%v resets after three restarts", n)
	}
	for i := 0; i < 100; i += 3 {
		r.Ack(got[i])
	}
	waitEmpty(t, js)
}

// waitEmpty publishes until the stream holds nothing but the last message: that is, until all else is acknowledged.
func waitEmpty(t testing.TB, js natsjs.JetStream) {
	t.Helper()
	ctx := deadline(t)
	for {
		stream, err := js.Stream(ctx, "S")
		if err != nil {
			t.Fatal(err)
		}
		if stream.CachedInfo().State.Msgs == 0 {
			return
		}
	}
}

// skipped is a message with a consumer sequence that skips some, as after a loss in between.
func skipped() *wire.Msg {
	return &wire.Msg{Subject: []byte("mqtt.t.a"), Reply: []byte("$JS.ACK.S.b_1.1.999.99.1700000000000000000.0")}
}

func TestGapResets(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	for _, d := range sink.waitFor(10)[:5] {
		r.Ack(d)
	}
	r.Receive(skipped())
	publish(t, js, 10, 20)
	got := sink.waitFor(20)
	expect(t, got, 0, 20)
	if n := counter(t, reg, "weir_reader_resets_total", "gap"); n != 1 {
		t.Errorf("%v resets, want 1", n)
	}
	for _, d := range got {
		r.Ack(d)
	}
	waitEmpty(t, js)
}

// send sends the reader what a server says besides messages.
func send(t testing.TB, cfg reader.Config, header string) {
	t.Helper()
	epoch, _ := cfg.Conn.State()
	if err := cfg.Conn.Publish(epoch, cfg.Deliver, "", []byte(header), nil); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Conn.Flush(deadline(t), epoch); err != nil {
		t.Fatal(err)
	}
}

func TestHeartbeatThatTellsOfMore(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	open(t, cfg, sink)
	publish(t, js, 0, 3)
	sink.waitFor(3)
	send(t, cfg, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n")
	publish(t, js, 3, 6)
	expect(t, sink.waitFor(6), 0, 6)
	if n := counter(t, reg, "weir_reader_resets_total", "heartbeat"); n != 1 {
		t.Errorf("%v resets, want 1", n)
	}
}

func TestConsumerDeletedByHand(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	keepMessages(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	for _, d := range sink.waitFor(10)[:4] {
		r.Ack(d)
	}
	made := advisory(t, nc, "CONSUMER.CREATED.S.b_1_r1")
	if err := js.DeleteConsumer(deadline(t), "S", cfg.Durable); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 10, 20)
	receive(t, made)
	publish(t, js, 20, 30)
	expect(t, sink.waitFor(30), 0, 30)
	if sink.lost != 0 {
		t.Errorf("lost %d", sink.lost)
	}
	if n := counter(t, reg, "weir_reader_resets_total", "deleted"); n != 1 {
		t.Errorf("%v resets, want 1", n)
	}
}

func TestConsumerDeletedByHandLosesWhatNobodyKeeps(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	// Where the reader is faster than the deletion, its new consumer keeps the messages.
	deleted := make(chan struct{})
	cfg.Reattach = func(context.Context) (string, error) {
		<-deleted
		return "S", nil
	}
	sink := newCollector(t)
	open(t, cfg, sink)
	publish(t, js, 0, 300)
	sink.waitFor(256)
	made := advisory(t, nc, "CONSUMER.CREATED.S.b_1_r1")
	if err := js.DeleteConsumer(deadline(t), "S", cfg.Durable); err != nil {
		t.Fatal(err)
	}
	close(deleted)
	receive(t, made)
	sink.wait("the loss", func() bool { return sink.lost > 0 })
	if sink.lost != 44 {
		t.Errorf("lost %d, want the 44 that were not delivered", sink.lost)
	}
	publish(t, js, 300, 310)
	expect(t, sink.waitFor(266)[256:], 300, 310)
}

// A stream that keeps what is acknowledged still has it when the consumer is made again: that makes up for nothing that is lost.
func TestConsumerDeletedByHandWhereAcknowledgedMessagesStay(t *testing.T) {
	nc, js := connect(t, startServer(t))
	stream := makeStream(t, js, func(c *natsjs.StreamConfig) { c.Retention = natsjs.LimitsPolicy })
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 300)
	const acknowledged = 10
	for _, d := range sink.waitFor(256)[1 : 1+acknowledged] {
		r.Ack(d) // and never the first, so that all that follows is delivered again
	}
	expect(t, sink.waitFor(256+acknowledged), 0, 256+acknowledged)
	for sequence := uint64(281); sequence <= 290; sequence++ {
		if err := stream.DeleteMsg(deadline(t), sequence); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.DeleteConsumer(deadline(t), "S", cfg.Durable); err != nil {
		t.Fatal(err)
	}
	sink.wait("the loss", func() bool { return sink.lost > 0 })
	if sink.lost != 10 {
		t.Errorf("lost %d, want 10", sink.lost)
	}
	// 24 of the 300 are left, and none comes twice.
	for _, d := range sink.waitFor(256 + acknowledged) {
		r.Ack(d)
	}
	rest := sink.waitFor(290)[256+acknowledged:]
	expect(t, rest[:14], 256+acknowledged, 280)
	expect(t, rest[14:], 290, 300)
}

func TestStreamDeletedAndReplaced(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	cfg.Reattach = func(ctx context.Context) (string, error) {
		_, err := js.CreateOrUpdateStream(ctx, natsjs.StreamConfig{Name: "S2", Subjects: []string{"mqtt.t.>"}, Retention: natsjs.InterestPolicy})
		return "S2", err
	}
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	sink.waitFor(10)
	made := advisory(t, nc, "CONSUMER.CREATED.S2.b_1_r1")
	if err := js.DeleteStream(deadline(t), "S"); err != nil {
		t.Fatal(err)
	}
	receive(t, made)
	publish(t, js, 10, 20)
	got := sink.waitFor(20)
	expect(t, got, 0, 20)
	if got[19].Stream != "S2" || got[19].Sequence != 10 {
		t.Errorf("delivery of %s, sequence %d", got[19].Stream, got[19].Sequence)
	}
	for _, d := range got {
		r.Ack(d) // those of the old stream are void
	}
	made2 := advisory(t, nc, "CONSUMER.CREATED.S2.b_1_r2")
	if err := js.DeleteConsumer(deadline(t), "S2", "b_1_r1"); err != nil {
		t.Fatal(err)
	}
	receive(t, made2)
	publish(t, js, 20, 25)
	expect(t, sink.waitFor(25), 0, 25)
}

func TestConsumerGoneWithoutAdvisory(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	open(t, cfg, sink)
	publish(t, js, 0, 1)
	sink.waitFor(1)
	// The answer of a server that knows no such consumer.
	send(t, cfg, "NATS/1.0 503\r\n\r\n")
	publish(t, js, 1, 5)
	expect(t, sink.waitFor(5), 0, 5)
	if n := counter(t, reg, "weir_reader_resets_total", "no_responders"); n != 1 {
		t.Errorf("%v resets, want 1", n)
	}
}

func TestAcknowledgementToNobodyIsNoticed(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 1)
	d := sink.waitFor(1)[0]
	d.Reply = "$JS.ACK.S.nobody.1.1.1.1700000000000000000.0"
	r.Ack(d)
	publish(t, js, 1, 5)
	expect(t, sink.waitFor(5), 0, 5)
	for counter(t, reg, "weir_reader_resets_total", "no_responders") == 0 {
		publish(t, js, 5, 6)
	}
}

func TestMessageExpiredWhileUnacknowledgedTakesNoOtherWithIt(t *testing.T) {
	nc, js := connect(t, startServer(t))
	stream := makeStream(t, js)
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	gone := advisory(t, nc, "CONSUMER.MSG_TERMINATED.S.b_1")
	publish(t, js, 0, 5)
	publish(t, js, 5, 6, natsjs.WithMsgTTL(time.Second))
	publish(t, js, 6, 10)
	got := sink.waitFor(10)
	receive(t, gone)
	info, err := stream.Info(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 9 {
		t.Fatalf("%d messages left, want 9", info.State.Msgs)
	}
	// And a reset does not change that.
	r.Receive(skipped())
	publish(t, js, 10, 12)
	expect(t, sink.waitFor(12), 0, 12)
	for _, d := range append(got, sink.waitFor(12)[10:]...) {
		r.Ack(d)
	}
	waitEmpty(t, js)
}

func TestRefusedDeliveriesComeAgain(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	sink.waitFor(10)
	sink.mu.Lock()
	sink.deaf = true
	sink.mu.Unlock()
	publish(t, js, 10, 20)
	sink.mu.Lock()
	sink.deaf = false
	sink.mu.Unlock()
	r.Resume()
	expect(t, sink.waitFor(20), 0, 20)
	r.Discard(15)
	sink.mu.Lock()
	sink.got = sink.got[:15]
	sink.mu.Unlock()
	publish(t, js, 20, 30)
	r.Resume()
	got := sink.waitFor(30)
	expect(t, got, 0, 30)
	for _, d := range got {
		r.Ack(d)
	}
	waitEmpty(t, js)
}

func TestBadSubjectIsAcknowledgedAndCounted(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	if _, err := js.Publish(deadline(t), "mqtt.t.bad", nil); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 0, 1)
	r.Ack(sink.waitFor(1)[0])
	if n := counter(t, reg, "weir_reader_dropped_total", "bad_subject"); n != 1 {
		t.Errorf("counted %v, want 1", n)
	}
	waitEmpty(t, js)
}

func TestFullBacklogFreesRoom(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js, func(c *natsjs.StreamConfig) { c.MaxMsgs = 10 })
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	if _, err := js.Publish(deadline(t), "mqtt.t.a", nil); err == nil {
		t.Fatal("a full backlog took a message")
	}
	start := time.Now()
	for _, d := range sink.waitFor(10) {
		r.Ack(d)
	}
	waitEmpty(t, js)
	t.Logf("room after %v", time.Since(start))
	publish(t, js, 10, 20)
	expect(t, sink.waitFor(20), 0, 20)
}

func TestRemnantOfAnotherRunGivesWay(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	if _, err := js.CreateConsumer(deadline(t), "S", natsjs.ConsumerConfig{Durable: cfg.Durable, AckPolicy: natsjs.AckAllPolicy}); err != nil {
		t.Fatal(err)
	}
	sink := newCollector(t)
	open(t, cfg, sink)
	publish(t, js, 0, 5)
	expect(t, sink.waitFor(5), 0, 5)
}

func TestOpenFailsWithoutStream(t *testing.T) {
	nc, js := connect(t, startServer(t))
	cfg, _ := config(t, nc, js)
	if _, err := reader.Open(deadline(t), cfg, newCollector(t)); err == nil {
		t.Fatal("opened a reader on no stream")
	}
	if n := nc.NumSubscriptions(); n > 1 { // the library's own for replies
		t.Errorf("%d subscriptions left", n)
	}
}

func receive(t testing.TB, ch <-chan *nats.Msg) *nats.Msg {
	t.Helper()
	select {
	case m := <-ch:
		return m
	case <-deadline(t).Done():
		t.Fatal("timeout waiting for an advisory")
		return nil
	}
}

// interrupted is a sink that has a delivery discarded, and room for it again, while that is on its way.
type interrupted struct {
	*collector
	reader   reader.Attached
	discards uint64
	at       uint64 // stream sequence; 0: it has happened
}

func (s *interrupted) Deliver(d reader.Delivery) bool {
	if d.Sequence == s.at {
		s.at = 0
		s.mu.Lock()
		s.got = s.got[:10]
		s.mu.Unlock()
		s.reader.Discard(10)
		s.discards++
		s.reader.Resume()
	}
	return d.Discards == s.discards && s.collector.Deliver(d)
}

func TestDiscardedOnTheWay(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	sink := &interrupted{collector: newCollector(t), at: 16}
	r := open(t, cfg, sink)
	sink.reader = r
	publish(t, js, 0, 30)
	got := sink.waitFor(30)
	expect(t, got, 0, 30)
	for _, d := range got {
		r.Ack(d)
	}
	waitEmpty(t, js)
}
