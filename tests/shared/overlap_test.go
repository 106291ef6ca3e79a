package shared

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// one is a subscription; its identifier is a property of MQTT 5.
type one struct {
	id     uint32
	filter string
	qos    codec.QoS
}

// match is what a subscriber gets for one message: once, at the highest QoS of the subscriptions that match
// [MQTT-3.3.5-1], with the identifiers of all of them [MQTT-3.3.4-4].
type match struct {
	QoS codec.QoS
	IDs []uint32
}

// Subscriptions, exact and by wildcard, that overlap over a shared stream, dedicated ones and what is transient.
func TestOverlappingSubscriptions(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoRules(
		`{filter: "s/#", stream: shared, name: s}`, `{filter: "+/x", stream: dedicated}`, `{filter: "t/#", stream: transient}`))
	each(t, func(t *testing.T, v codec.Version, _ string) {
		client := weirtest.Device(t, p.B, v, "subscriber")
		publisher := weirtest.Device(t, p.A, v, "publisher")
		delivered := p.B.Metric("weir_deliveries_total")
		expect := func(want map[string]match) {
			t.Helper()
			for topic, m := range want {
				for n := range 2 {
					if ack := publisher.Publish(topic, number(n)); ack.Code >= 0x80 {
						t.Fatalf("%s: PUBACK 0x%02X %s", topic, ack.Code, ack.ReasonString)
					}
				}
				for n := range 2 {
					got := client.Message()
					if string(got.Topic) != topic || string(got.Payload) != number(n) {
						t.Fatalf("received %q on %s instead of %d on %s", got.Payload, got.Topic, n, topic)
					}
					slices.Sort(got.Properties.SubscriptionIDs)
					is := match{got.QoS, got.Properties.SubscriptionIDs}
					if v != codec.V5 {
						is.IDs = m.IDs
					}
					if diff := cmp.Diff(m, is); diff != "" {
						t.Errorf("%s: %s", topic, diff)
					}
				}
				delivered += 2
			}
		}
		for _, s := range []one{
			{1, "#", 0},
			{2, "s/#", 1},
			{3, "+/x", 1},
			{4, "s/+", 0},
			{5, "s/x", 0},
			{6, "d/#", 0},
			{7, "d/+", 1},
			{8, "d/y", 0},
			{9, "+", 0},
			{10, "t/#", 1},
			{11, "t/y", 0},
		} {
			subscribe(t, client, s)
		}
		expect(map[string]match{
			"s":     {1, []uint32{1, 2, 9}},
			"s/x":   {1, []uint32{1, 2, 3, 4, 5}},
			"s/y":   {1, []uint32{1, 2, 4}},
			"s/x/y": {1, []uint32{1, 2}},
			"d":     {0, []uint32{1, 6, 9}},
			"d/x":   {1, []uint32{1, 3, 6, 7}},
			"d/y":   {1, []uint32{1, 6, 7, 8}},
			"d/x/y": {0, []uint32{1, 6}},
			"t":     {1, []uint32{1, 9, 10}},
			"t/x":   {1, []uint32{1, 3, 10}}, // dedicated
			"t/y":   {1, []uint32{1, 10, 11}},
			"t/x/y": {1, []uint32{1, 10}},
			"other": {0, []uint32{1, 9}},
		})
		// Some go, and one is replaced [MQTT-3.8.4-3].
		client.Send(&codec.Unsubscribe{PacketID: 2, Filters: []string{"s/#", "d/+", "t/#"}})
		weirtest.Expect[*codec.Unsuback](client)
		subscribe(t, client, one{12, "+", 1})
		expect(map[string]match{
			"s":     {1, []uint32{1, 12}},
			"s/x":   {1, []uint32{1, 3, 4, 5}},
			"s/y":   {0, []uint32{1, 4}},
			"s/x/y": {0, []uint32{1}},
			"d/x":   {1, []uint32{1, 3, 6}},
			"d/y":   {0, []uint32{1, 6, 8}},
			"t/y":   {0, []uint32{1, 11}},
			"other": {1, []uint32{1, 12}},
		})
		client.Send(&codec.Unsubscribe{PacketID: 3, Filters: []string{"#", "+", "s/+"}})
		weirtest.Expect[*codec.Unsuback](client)
		expect(map[string]match{
			"s/x": {1, []uint32{3, 5}},
			"d/y": {0, []uint32{6, 8}},
			"t/y": {0, []uint32{11}},
		})
		for _, topic := range []string{"s", "s/y", "t", "other"} {
			if ack := publisher.Publish(topic, "nobody's"); ack.Code >= 0x80 {
				t.Fatalf("%s: PUBACK 0x%02X %s", topic, ack.Code, ack.ReasonString)
			}
		}
		expect(map[string]match{"s/x": {1, []uint32{3, 5}}})
		if n := p.B.Metric("weir_deliveries_total"); n != delivered {
			t.Errorf("%v messages are delivered instead of %v", n, delivered)
		}
		client.Send(&codec.Disconnect{})
		client.ExpectClosed()
	})
}

// subscribe sends a SUBSCRIBE, with the identifier in MQTT 5.
func subscribe(t *testing.T, client *weirtest.Client, s one) {
	t.Helper()
	request := &codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: s.filter, QoS: s.qos}}}
	if client.Version == codec.V5 {
		request.SubscriptionID = s.id
	}
	client.Send(request)
	if ack := weirtest.Expect[*codec.Suback](client); len(ack.Codes) != 1 || ack.Codes[0] != codec.ReasonCode(s.qos) {
		t.Fatalf("%s: SUBACK %v", s.filter, ack.Codes)
	}
}
