// Mapper-go is a microservice beside Weir: it takes what devices publish, publishes it in the words of whoever works on it, and answers the device.
//
//	devices/<id>/up    {"temperature":21.5}             from a device
//	mapped/<id>        {"source":"<client identifier>","celsius":21.5,"time":"…"}
//	devices/<id>/down  {"accepted":true}                to that device alone
//
// It speaks NATS, and needs no more of Weir than its library. Each flag can be set in the environment, too.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// publishTimeout bounds one publish, also while the mapper stops.
const publishTimeout = 10 * time.Second

func main() {
	url := flag.String("nats", env("NATS_URL", nats.DefaultURL), "NATS server, NATS_URL")
	user := flag.String("user", env("MAPPER_USER", "demo/service"), "<tenant>/<user>, an application, MAPPER_USER")
	durable := flag.String("durable", env("MAPPER_DURABLE", "mapper-go"), "name of the subscription, MAPPER_DURABLE")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The password is not a flag: those of a process are visible to others.
	if err := run(ctx, *url, *user, env("MAPPER_PASSWORD", "demo"), *durable); err != nil {
		say("%v", err)
		os.Exit(1)
	}
}

func env(name, standard string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return standard
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "mapper-go: "+format+"\n", args...) }

// run maps until ctx ends.
func run(ctx context.Context, url, user, password, durable string) error {
	tenant, _, ok := strings.Cut(user, "/")
	if !ok {
		return fmt.Errorf("the user %q is not <tenant>/<user>", user)
	}
	nc, err := nats.Connect(url, nats.Name("mapper-go"), nats.UserInfo(user, password), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := natsjs.New(nc)
	if err != nil {
		return err
	}
	s, err := message.Subscribe(ctx, js, tenant, "devices/+/up", durable)
	if err != nil {
		return err
	}
	say("maps devices/+/up of tenant %s", tenant)
	m := mapper{js: js, tenant: tenant}
	if err := s.Consume(ctx, m.take); err != nil {
		return err
	}
	return nc.FlushTimeout(time.Second) // the last acknowledgement
}

type mapper struct {
	js     natsjs.JetStream
	tenant string
}

// take maps one message, and settles it. What cannot be published now comes again in a second, before all that is behind it.
func (m mapper) take(d *message.Delivery) {
	err := m.handle(d)
	switch {
	case err == nil:
		err = d.Ack()
	case hopeless(err):
		say("%s: %v", d.Topic, err)
		err = d.Term()
	default:
		say("%s: %v; again in a second", d.Topic, err)
		err = d.Nak(time.Second)
	}
	if err != nil {
		say("%s: %v", d.Topic, err) // it comes again
	}
}

var errPayload = errors.New(`the payload is not {"temperature":<number>}`)

// hopeless tells whether an error would be the same the next time.
func hopeless(err error) bool {
	refused, ok := errors.AsType[*reason.Error](err)
	return errors.Is(err, errPayload) || ok && (refused.Reason == reason.TopicInvalid || refused.Reason == reason.MessageTooLarge)
}

func (m mapper) handle(d *message.Delivery) error {
	var in struct {
		Temperature *float64 `json:"temperature"`
	}
	if json.Unmarshal(d.Payload, &in) != nil || in.Temperature == nil {
		return errors.Join(errPayload, m.answer(d, map[string]any{"accepted": false, "error": errPayload.Error()}))
	}
	id := strings.Split(d.Topic, "/")[1]
	if err := m.publish("mapped/"+id, "", nil, map[string]any{"source": d.ClientID, "celsius": *in.Temperature, "time": d.Stored}); err != nil {
		return err
	}
	return m.answer(d, map[string]any{"accepted": true})
}

// answer publishes for the device that the message is from.
func (m mapper) answer(d *message.Delivery, body any) error {
	if d.ClientID == "" { // from another service
		return nil
	}
	return m.publish(strings.TrimSuffix(d.Topic, "/up")+"/down", d.ClientID, d.CorrelationData, body)
}

func (m mapper) publish(topic, to string, correlationData []byte, body any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	out := message.New(topic, payload)
	out.To, out.ContentType, out.CorrelationData = to, []byte("application/json"), correlationData
	_, err = message.Publish(ctx, m.js, m.tenant, out)
	return err
}
