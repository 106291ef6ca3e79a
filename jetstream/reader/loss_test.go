package reader_test

import (
	"context"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// hooked is a JetStream where something happens around some requests.
type hooked struct {
	natsjs.JetStream
	creating func() // before a consumer is made
	counting func() // before a stream is asked about again
	asked    func() // after a consumer was asked about
}

func (h hooked) CreatePushConsumer(ctx context.Context, stream string, cfg natsjs.ConsumerConfig) (natsjs.PushConsumer, error) {
	if h.creating != nil {
		h.creating()
	}
	return h.JetStream.CreatePushConsumer(ctx, stream, cfg)
}

func (h hooked) PushConsumer(ctx context.Context, stream, durable string) (natsjs.PushConsumer, error) {
	c, err := h.JetStream.PushConsumer(ctx, stream, durable)
	if h.asked != nil {
		h.asked()
	}
	return c, err
}

func (h hooked) Stream(ctx context.Context, name string) (natsjs.Stream, error) {
	stream, err := h.JetStream.Stream(ctx, name)
	if err != nil || h.counting == nil {
		return stream, err
	}
	return hookedStream{stream, h.counting}, nil
}

type hookedStream struct {
	natsjs.Stream
	counting func()
}

func (h hookedStream) Info(ctx context.Context, opts ...natsjs.StreamInfoOpt) (*natsjs.StreamInfo, error) {
	h.counting()
	return h.Stream.Info(ctx, opts...)
}

// What is stored after the reader has looked at the stream, and before it has a consumer, is lost where nobody else wants it; what is stored
// right after that is not, and does not make up for it.
func TestCountsWhatIsLostBeforeTheConsumerIsMade(t *testing.T) {
	for _, tt := range []struct{ name, subject string }{
		{"and the stream is empty", "mqtt.t.a"},
		{"and the stream has what another holds", "mqtt.t.held"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nc, js := connect(t, startServer(t))
			makeStream(t, js)
			if _, err := js.CreateConsumer(deadline(t), "S", natsjs.ConsumerConfig{
				Durable: "other", FilterSubject: "mqtt.t.held", AckPolicy: natsjs.AckExplicitPolicy,
			}); err != nil {
				t.Fatal(err)
			}
			cfg, _ := config(t, nc, js)
			homes := 0 // asked for, once before and once after the consumer is made again
			cfg.Reattach = func(context.Context) (string, error) {
				if homes++; homes == 2 {
					publish(t, js, 23, 28)
				}
				return "S", nil
			}
			cfg.JetStream = hooked{JetStream: js, creating: func() {
				if homes == 1 {
					publish(t, js, 10, 23)
				}
			}}
			sink := newCollector(t)
			r := open(t, cfg, sink)
			if _, err := js.Publish(deadline(t), tt.subject, []byte("0")); err != nil {
				t.Fatal(err)
			}
			publish(t, js, 1, 10)
			got := sink.waitFor(10)
			r.Ack(got[0])
			r.Ack(got[5])
			if err := js.DeleteConsumer(deadline(t), "S", cfg.Durable); err != nil {
				t.Fatal(err)
			}
			sink.wait("the loss", func() bool { return sink.lost > 0 })
			if sink.lost != 13 {
				t.Errorf("lost %d, want 13", sink.lost)
			}
			expect(t, sink.waitFor(15)[10:], 23, 28)
		})
	}
}

// The server may still be removing what the deleted consumer held when there is a new one. It is counted as well.
func TestCountsWhatTheServerRemovesBelatedly(t *testing.T) {
	nc, js := connect(t, startServer(t))
	stream := makeStream(t, js)
	keepMessages(t, js)
	cfg, _ := config(t, nc, js)
	removed := uint64(0)
	cfg.JetStream = hooked{JetStream: js, counting: func() {
		if removed < 3 { // one more each time
			removed++
			if err := stream.DeleteMsg(deadline(t), 280+removed); err != nil {
				t.Error(err)
			}
		}
	}}
	sink := newCollector(t)
	open(t, cfg, sink)
	publish(t, js, 0, 300)
	sink.waitFor(256)
	if err := js.DeleteConsumer(deadline(t), "S", cfg.Durable); err != nil {
		t.Fatal(err)
	}
	sink.wait("the loss", func() bool { return sink.lost > 0 })
	if sink.lost != 3 {
		t.Errorf("lost %d, want 3", sink.lost)
	}
}
