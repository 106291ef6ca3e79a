package message_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

func ExampleSubject() {
	fmt.Println(message.Subject("acme", "sensors/room 1/temp"))
	topic, ok := message.Topic("acme", "mqtt.acme.%.a.%.b")
	fmt.Println(topic, ok)
	fmt.Println(message.FilterSubjects("acme", "sensors/+/temp/#"))
	// Output:
	// mqtt.acme.sensors.room%201.temp
	// /a//b true
	// [mqtt.acme.sensors.*.temp mqtt.acme.sensors.*.temp.>]
}

// A message of a device, as a service finds it in NATS, and the answer to that device.
func ExampleFromMsg() {
	received := &nats.Msg{
		Subject: "mqtt.acme.devices.7.up",
		Header:  nats.Header{"Mqtt-Client-Id": {"thermostat%207"}, "Mqtt-Response-Topic": {"devices/7/down"}},
		Data:    []byte("21.5"),
	}
	m, err := message.FromMsg("acme", received)
	if err != nil {
		log.Fatal(err)
	}
	answer := message.New(string(m.ResponseTopic), []byte("22"))
	answer.To = m.ClientID
	msg := answer.Msg("acme")
	fmt.Println(msg.Subject, msg.Header)
	// Output: mqtt.acme.devices.7.down map[Mqtt-To:[thermostat%207]]
}

// The demo tenant of a Weir that was started without configuration.
func Example() {
	nc, err := nats.Connect("nats://127.0.0.1:4222", nats.UserInfo("demo/service", "demo"))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := natsjs.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s, err := message.Subscribe(ctx, js, "demo", "devices/+/up", "echo")
	if err != nil {
		log.Fatal(err)
	}
	err = s.Consume(ctx, func(d *message.Delivery) {
		answer := message.New(d.Topic+"/seen", d.Payload)
		answer.To = d.ClientID
		_, err := message.Publish(ctx, js, "demo", answer)
		if refused, ok := errors.AsType[*reason.Error](err); ok && refused.Reason == reason.BacklogFull {
			err = d.Nak(time.Second) // the device does not take its answers: try again, and let what is behind wait
		} else if err == nil {
			err = d.Ack()
		}
		if err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}
