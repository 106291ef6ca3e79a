// Package message is how a service that speaks NATS exchanges messages with the devices that speak MQTT to Weir: what an MQTT message looks like in
// JetStream, and what to do to publish and to consume one. It needs a connection of github.com/nats-io/nats.go, and nothing of Weir but this package and
// package reason, the names of what is refused. docs/native-nats.md does the same without it.
//
// A topic is a subject: Subject and Topic turn one into the other, FilterSubjects does it for topic filters. What MQTT knows of a message besides
// topic and payload is in headers: Msg writes them, FromMsg and FromJetStream read them. AppendHeader and DecodeHeader do the same on the bytes of the wire.
//
// Publish stores a message in the stream of its topic, and has Weir make that where there is none. With Message.To it is for one device only:
//
//	m := message.New("devices/room 1/down", []byte("22.5"))
//	m.To = "room 1"
//	_, err := message.Publish(ctx, js, "acme", m)
//
// Subscribe begins a durable subscription to a topic filter, over all streams that there are and will be, and Consume hands on what comes:
//
//	s, err := message.Subscribe(ctx, js, "acme", "devices/+/up", "mapper")
//	// …
//	err = s.Consume(ctx, func(d *message.Delivery) {
//		fmt.Println(d.Topic, d.ClientID, string(d.Payload))
//		d.Ack()
//	})
package message
