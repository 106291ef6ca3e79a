package reader_test

import (
	"context"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/reader"
)

// A consumer whose window is full tells nothing of what is stored meanwhile. The reader asks, so that the lag is true, and the loss is counted
// although the stream is gone with all that waited in it.
func TestLagOfAReaderThatStandsStill(t *testing.T) {
	for _, tt := range []struct {
		name string
		held int // by the sink
		deaf bool
	}{{"because its window is full", 256, false}, {"because the sink has no room", 100, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // mostly it waits
			const stored = 600
			nc, js := connect(t, startServer(t))
			makeStream(t, js)
			cfg, reg := config(t, nc, js)
			cfg.Pace = reader.NewPace()
			cfg.Reattach = func(ctx context.Context) (string, error) {
				_, err := js.CreateOrUpdateStream(ctx, natsjs.StreamConfig{Name: "S2", Subjects: []string{"mqtt.t.>"}, Retention: natsjs.InterestPolicy})
				return "S2", err
			}
			asks := make(chan struct{})
			cfg.JetStream = hooked{JetStream: js, asked: func() {
				select {
				case asks <- struct{}{}:
				default:
				}
			}}
			sink := newCollector(t)
			open(t, cfg, sink)
			publish(t, js, 0, tt.held)
			sink.waitFor(tt.held)
			sink.mu.Lock()
			sink.deaf = tt.deaf
			sink.mu.Unlock()
			publish(t, js, tt.held, stored)
			for range 3 { // the second question is from after the last message, and with the third its answer has been taken in
				select {
				case <-asks:
				case <-deadline(t).Done():
					t.Fatal("the reader does not ask for its lag")
				}
			}
			if lag := counter(t, reg, "weir_reader_lag_messages", ""); lag != stored {
				t.Errorf("lag %v, want %d", lag, stored)
			}
			if err := js.DeleteStream(deadline(t), "S"); err != nil {
				t.Fatal(err)
			}
			sink.wait("the loss", func() bool { return sink.lost > 0 })
			if want := uint64(stored - tt.held); sink.lost != want {
				t.Errorf("lost %d, want %d", sink.lost, want)
			}
		})
	}
}

// Thousands of readers that stand still ask one after the other.
func TestQuestionsForTheLagAreSpread(t *testing.T) {
	pace, now := reader.NewPace(), time.Now()
	var last time.Duration
	for i := range 1000 {
		wait := pace.Turn(now)
		if i > 0 && wait <= last {
			t.Fatalf("question %d comes after %v, the one before after %v", i, wait, last)
		}
		last = wait
	}
	if last < time.Second || last > 10*time.Second {
		t.Errorf("the last of 1,000 questions comes after %v", last)
	}
	if wait := pace.Turn(now.Add(time.Minute)); wait != 0 {
		t.Errorf("%v to wait after all the others", wait)
	}
}
