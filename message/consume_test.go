package message

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// The streams in these tests are made by hand, as Weir makes them; jetstream has tests with Weir's own.

func newJetStream(t *testing.T) natsjs.JetStream {
	t.Helper()
	js, err := natsjs.New(connect(t, startServer(t)))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func dedicated(topic string) natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name: "MQTT_acme_t_" + topic, Subjects: []string{Subject("acme", topic)}, Retention: natsjs.InterestPolicy,
		Metadata: map[string]string{metaTenant: "acme", metaTopic: topic},
	}
}

func create(t *testing.T, js natsjs.JetStream, config natsjs.StreamConfig) {
	t.Helper()
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// consume consumes in the background until the test ends.
func consume(t *testing.T, s *Subscription) (<-chan string, <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	payloads, ended := make(chan string), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- s.Consume(ctx, func(d *Delivery) {
			select {
			case payloads <- string(d.Payload):
			case <-ctx.Done():
			}
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return payloads, ended
}

func receive[V any](t *testing.T, what string, from <-chan V) V {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// A stream that takes no more messages is consumed, and then has no consumer any more, so that Weir can delete it. Others keep theirs.
func TestParkedStreamIsReleased(t *testing.T) {
	js := newJetStream(t)
	create(t, js, dedicated("a"))
	create(t, js, dedicated("b"))
	s, err := attached(t, js, "#")
	if err != nil {
		t.Fatal(err)
	}
	s.retireAfter = 0
	deleted := make(chan *nats.Msg, 10)
	if _, err := js.Conn().ChanSubscribe("$JS.EVENT.ADVISORY.CONSUMER.DELETED.>", deleted); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "mqtt.acme.a", []byte("last")); err != nil {
		t.Fatal(err)
	}
	parked := dedicated("a")
	parked.Subjects = []string{drainPrefix + parked.Name}
	if _, err := js.UpdateStream(t.Context(), parked); err != nil {
		t.Fatal(err)
	}
	payloads, _ := consume(t, s)
	if got := receive(t, "message", payloads); got != "last" {
		t.Errorf("got %q", got)
	}
	if m := receive(t, "deletion", deleted); m.Subject != "$JS.EVENT.ADVISORY.CONSUMER.DELETED.MQTT_acme_t_a."+ConsumerName("mapper") {
		t.Errorf("deleted %s", m.Subject)
	}
	if _, err := js.Consumer(t.Context(), "MQTT_acme_t_b", ConsumerName("mapper")); err != nil {
		t.Error(err)
	}
}

// Where JetStream does not want the consumer, the service learns it: it would miss what is published there.
func TestConsumeEndsWhereItCannotFollow(t *testing.T) {
	js := newJetStream(t)
	s, err := attached(t, js, "#")
	if err != nil {
		t.Fatal(err)
	}
	full := dedicated("a")
	full.MaxConsumers = 1
	create(t, js, full)
	if _, err := js.CreateConsumer(t.Context(), full.Name, natsjs.ConsumerConfig{Durable: "other"}); err != nil {
		t.Fatal(err)
	}
	_, ended := consume(t, s)
	if err := receive(t, "end of Consume", ended); err == nil || !strings.Contains(err.Error(), "maximum consumers") {
		t.Errorf("Consume: %v", err)
	}
}

func TestConsumeEndsWithItsConnection(t *testing.T) {
	js := newJetStream(t)
	create(t, js, dedicated("a"))
	s, err := attached(t, js, "#")
	if err != nil {
		t.Fatal(err)
	}
	_, ended := consume(t, s)
	js.Conn().Close()
	if err := receive(t, "end of Consume", ended); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Consume: %v", err)
	}
}

// What belongs to another tenant of the same account, or to Weir, is none of the subscription's.
func TestSubscriptionIsOfItsTenant(t *testing.T) {
	js := newJetStream(t)
	other := dedicated("a")
	other.Name, other.Subjects, other.Metadata[metaTenant] = "MQTT_other_t_a", []string{"mqtt.other.a"}, "other"
	strange := dedicated("b")
	strange.Name = "STRANGE"
	for _, config := range []natsjs.StreamConfig{dedicated("a"), other, strange} {
		create(t, js, config)
	}
	if _, err := attached(t, js, "+"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"MQTT_acme_t_a": nil, "MQTT_other_t_a": natsjs.ErrConsumerNotFound, "STRANGE": natsjs.ErrConsumerNotFound} {
		if _, err := js.Consumer(t.Context(), name, ConsumerName("mapper")); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// attached is a subscription to the streams that there are, where no Weir is.
func attached(t *testing.T, js natsjs.JetStream, topicFilter string) (*Subscription, error) {
	s := newSubscription(js, "acme", topicFilter, "mapper")
	return s, s.begin(t.Context())
}
