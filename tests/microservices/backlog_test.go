package microservices

import (
	"testing"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// A subscriber that acknowledges nothing fills the backlog of its topics, while it is there and while it is away. Devices and producers are told so and
// stay connected; once it acknowledges they may publish again.
func TestBacklogIsFull(t *testing.T) {
	const backlog = 20
	weir := weirtest.Start(t, weirtest.Options{Tenants: weirtest.DemoRules(`{filter: "s/#", stream: shared, name: s, backlog_messages: 20}`) +
		"    quotas: {backlog_messages: 20}\n"})
	for _, topic := range []string{"d/x", "s/x"} {
		for _, as := range []encoding{asAvro, asJSON} {
			t.Run(topic+" "+string(as), func(t *testing.T) {
				topic := topic + "/" + string(as)
				token := tokenFor(t, weir, grant{Subscriber: "hoarder", Subscription: topic})
				consumer := mustOpen(t, weir, consumers, token, as)
				device := weirtest.NewPublisher(t, weir, codec.V5, topic)
				producer := mustOpen(t, weir, producers, tokenFor(t, weir, grant{Subscriber: "mqttServicePublisher", Subscription: topic}), as)
				full := func() {
					t.Helper()
					device.MustRefuse("backlog_full: ")
					if refused := producer.mustPublish(t, 7, topic, "refused"); refused != "backlog_full" {
						t.Errorf("the producer's message is refused for %q", refused)
					}
				}
				acknowledgeAll := func() {
					t.Helper()
					for range backlog {
						if err := consumer.ack(consumer.mustNext(t).id); err != nil {
							t.Fatal(err)
						}
					}
					weirtest.Until(t, "there is room", func() bool { taken, _ := device.Publish("room"); return taken })
					if err := consumer.ack(consumer.mustNext(t).id); err != nil {
						t.Fatal(err)
					}
					if refused := producer.mustPublish(t, 8, topic, "room"); refused != "" {
						t.Errorf("the producer's message is refused for %q", refused)
					}
					if err := consumer.ack(consumer.mustNext(t).id); err != nil {
						t.Fatal(err)
					}
				}
				device.MustPublish(0, backlog)
				full()
				acknowledgeAll()

				if err := consumer.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")); err != nil {
					t.Fatal(err)
				}
				consumer.mustClose(t, websocket.CloseNormalClosure)
				device.MustPublish(0, backlog)
				full()
				consumer = mustOpen(t, weir, consumers, token, as)
				acknowledgeAll()
			})
		}
	}
}
