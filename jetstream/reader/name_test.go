package reader_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// directories are those of a consumer of stream S.
func (s *natsServer) directories(consumer string) []string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.opts.StoreDir, "jetstream", "*", "streams", "S", "obs", consumer))
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// wedge leaves a consumer as a deletion does that another one by the same name overtook: without its directory.
func (s *natsServer) wedge(consumer string) {
	s.t.Helper()
	found := s.directories(consumer)
	if len(found) != 1 {
		s.t.Errorf("consumer %s has the directories %v", consumer, found)
	}
	for _, d := range found {
		// The server may be writing there just now.
		for err := os.RemoveAll(d); err != nil; err = os.RemoveAll(d) {
			if !errors.Is(err, syscall.ENOTEMPTY) {
				s.t.Error(err)
				return
			}
		}
	}
}

// consumers names those of stream S.
func consumers(t testing.TB, js natsjs.JetStream) []string {
	t.Helper()
	stream, err := js.Stream(deadline(t), "S")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	names := stream.ConsumerNames(deadline(t))
	for name := range names.Name() {
		found = append(found, name)
	}
	if err := names.Err(); err != nil && !errors.Is(err, natsjs.ErrEndOfData) {
		t.Fatal(err)
	}
	return found
}

// created names the consumer of an advisory.
func created(t testing.TB, m *nats.Msg) string {
	t.Helper()
	var told struct {
		Consumer string `json:"consumer"`
	}
	if err := json.Unmarshal(m.Data, &told); err != nil {
		t.Fatal(err)
	}
	return told.Consumer
}

// onlyConsumer checks that the stream has no other consumer, and that the server has it on disk.
func onlyConsumer(t testing.TB, s *natsServer, js natsjs.JetStream, want string) {
	t.Helper()
	if got := consumers(t, js); len(got) != 1 || got[0] != want {
		t.Errorf("consumers %v, want %s", got, want)
	}
	if len(s.directories(want)) != 1 {
		t.Errorf("consumer %s has no directory", want)
	}
}

func TestConsumerWithoutDirectoryIsReplaced(t *testing.T) {
	s := startServer(t)
	nc, js := connect(t, s)
	makeStream(t, js)
	cfg, reg := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	for _, d := range sink.waitFor(10)[:4] {
		r.Ack(d)
	}
	gone := advisory(t, nc, "CONSUMER.DELETED.S.b_1")
	s.wedge("b_1")
	// A message of this size asks for another window, which the server refuses to change.
	if _, err := js.Publish(deadline(t), "mqtt.t.a", bytes.Repeat([]byte("x"), 512<<10)); err != nil {
		t.Fatal(err)
	}
	receive(t, gone)
	publish(t, js, 11, 20)
	got := sink.waitFor(20)
	expect(t, got[:10], 0, 10)
	expect(t, got[11:], 11, 20)
	// Those that came from the former consumer are acknowledged to the present one.
	for _, d := range got[4:] {
		r.Ack(d)
	}
	waitEmpty(t, js)
	onlyConsumer(t, s, js, "b_1_r1")
	if sink.lost != 0 {
		t.Errorf("lost %d", sink.lost)
	}
	if n := counter(t, reg, "weir_reader_resets_total", "wedged"); n != 1 {
		t.Errorf("%v resets, want 1", n)
	}
}

func TestReplacementWithoutDirectoryIsReplaced(t *testing.T) {
	s := startServer(t)
	nc, js := connect(t, s)
	makeStream(t, js)
	keepMessages(t, js)
	cfg, _ := config(t, nc, js)
	asked := 0
	cfg.Reattach = func(context.Context) (string, error) {
		if asked++; asked == 2 { // the consumer was just made again
			s.wedge("b_1_r1")
			return "", errors.New("not now")
		}
		return "S", nil
	}
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	sink.waitFor(10)
	wedged := advisory(t, nc, "CONSUMER.DELETED.S.b_1_r1")
	if err := js.DeleteConsumer(deadline(t), "S", "b_1"); err != nil {
		t.Fatal(err)
	}
	receive(t, wedged)
	if err := js.DeleteConsumer(deadline(t), "S", "other"); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 10, 20)
	got := sink.waitFor(20)
	expect(t, got, 0, 20)
	for _, d := range got {
		r.Ack(d)
	}
	waitEmpty(t, js)
	onlyConsumer(t, s, js, "b_1_r2")
}

func TestConsumerChangedByHandIsReplaced(t *testing.T) {
	s := startServer(t)
	nc, js := connect(t, s)
	makeStream(t, js)
	keepMessages(t, js)
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	publish(t, js, 0, 10)
	sink.waitFor(10)
	c, err := js.PushConsumer(deadline(t), "S", "b_1")
	if err != nil {
		t.Fatal(err)
	}
	changed := c.CachedInfo().Config
	changed.FilterSubject = "mqtt.t.b"
	if _, err := js.UpdatePushConsumer(deadline(t), "S", changed); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 10, 20)
	gone := advisory(t, nc, "CONSUMER.DELETED.S.b_1")
	// The next reset tells.
	r.Receive(skipped())
	receive(t, gone)
	if err := js.DeleteConsumer(deadline(t), "S", "other"); err != nil {
		t.Fatal(err)
	}
	got := sink.waitFor(20)
	expect(t, got, 0, 20)
	for _, d := range got {
		r.Ack(d)
	}
	waitEmpty(t, js)
	onlyConsumer(t, s, js, "b_1_r1")
	if sink.lost != 0 {
		t.Errorf("lost %d", sink.lost)
	}
}

func TestWindowChangedByHandIsBroughtBack(t *testing.T) {
	nc, js := connect(t, startServer(t))
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	c, err := js.PushConsumer(deadline(t), "S", "b_1")
	if err != nil {
		t.Fatal(err)
	}
	changed := c.CachedInfo().Config
	changed.MaxAckPending = 1
	if _, err := js.UpdatePushConsumer(deadline(t), "S", changed); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 0, 10)
	sink.waitFor(1)
	r.Receive(skipped())
	// Without an acknowledgement.
	expect(t, sink.waitFor(10), 0, 10)
}

// A place in the stream that others have taken meanwhile is waited for, under one name.
func TestConsumerWaitsForRoom(t *testing.T) {
	s := startServer(t)
	nc, js := connect(t, s)
	makeStream(t, js, func(c *natsjs.StreamConfig) { c.MaxConsumers = 1 })
	cfg, _ := config(t, nc, js)
	asked := make(chan struct{}, 64)
	cfg.Reattach = func(ctx context.Context) (string, error) {
		if len(asked) == 0 { // the reader has just learned that its consumer is gone
			_, err := js.CreateConsumer(ctx, "S", natsjs.ConsumerConfig{Durable: "other", AckPolicy: natsjs.AckExplicitPolicy})
			if err != nil {
				return "", err
			}
		}
		asked <- struct{}{}
		return "S", nil
	}
	sink := newCollector(t)
	r := open(t, cfg, sink)
	if err := js.DeleteConsumer(deadline(t), "S", "b_1"); err != nil {
		t.Fatal(err)
	}
	made := advisory(t, nc, "CONSUMER.CREATED.S.*")
	for len(asked) < 4 {
		publish(t, js, 0, 1)
	}
	if err := js.DeleteConsumer(deadline(t), "S", "other"); err != nil {
		t.Fatal(err)
	}
	for created(t, receive(t, made)) == "other" {
		continue
	}
	publish(t, js, 1, 10)
	for _, d := range sink.waitFor(9) {
		r.Ack(d)
	}
	waitEmpty(t, js)
	onlyConsumer(t, s, js, "b_1_r1")
}

func TestConsumerDeletedOverAndOver(t *testing.T) {
	s := startServer(t)
	nc, js := connect(t, s)
	makeStream(t, js)
	cfg, _ := config(t, nc, js)
	sink := newCollector(t)
	r := open(t, cfg, sink)
	_, operator := connect(t, s)
	made := advisory(t, nc, "CONSUMER.CREATED.S.*")
	name, sent := "b_1", 0
	for range 20 {
		publish(t, js, sent, sent+10)
		sent += 10
		for _, d := range sink.waitFor(sent)[sent-10:] {
			r.Ack(d)
		}
		if err := operator.DeleteConsumer(deadline(t), "S", name); err != nil {
			t.Fatal(err)
		}
		name = created(t, receive(t, made))
	}
	publish(t, js, sent, sent+10)
	got := sink.waitFor(sent + 10)
	for _, d := range got[sent:] {
		r.Ack(d)
	}
	waitEmpty(t, js)
	onlyConsumer(t, s, js, name)
}
