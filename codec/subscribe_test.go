package codec

import "testing"

var subscribes = []golden{
	{
		name: "DUP", v: V31, wire: "\x8a\x06\x00\x01\x00\x01a\x02",
		packet: &Subscribe{PacketID: 1, Dup: true, Subscriptions: []Subscription{{Filter: "a", QoS: 2}}},
	},
	{
		name: "two", v: V311, wire: "\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/#\x02", ends: []int{8},
		packet: &Subscribe{PacketID: 10, Subscriptions: []Subscription{{Filter: "a/b", QoS: 1}, {Filter: "c/#", QoS: 2}}},
	},
	{
		name: "filters that are none", v: V311, wire: "\x82\x0a\x00\x01\x00\x00\x00\x00\x02a#\x00", ends: []int{5},
		packet: &Subscribe{PacketID: 1, Subscriptions: []Subscription{{}, {Filter: "a#"}}},
	},
	{
		name: "least", v: V5, wire: "\x82\x07\x00\x01\x00\x00\x01#\x00",
		packet: &Subscribe{PacketID: 1, Subscriptions: []Subscription{{Filter: "#"}}},
	},
	{
		name: "all", v: V5, ends: []int{2 + 1 + 16 + 4},
		wire: "\x82\x24\x00\x01\x10\x0b\x80\x01" + usersWire + "\x00\x01a\x2e\x00\x0a$share/g/a\x19",
		packet: &Subscribe{
			PacketID: 1, SubscriptionID: 128, UserProperties: users,
			Subscriptions: []Subscription{
				{Filter: "a", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
				{Filter: "$share/g/a", QoS: 1, RetainAsPublished: true, RetainHandling: 1},
			},
		},
	},
}

var badSubscribes = []illegal{
	{"flags", V311, "\x80\x06\x00\x01\x00\x01a\x00", MalformedPacket, "MQTT-3.8.1-1"},
	{"DUP", V311, "\x8a\x06\x00\x01\x00\x01a\x00", MalformedPacket, "MQTT-3.8.1-1"},
	{"flags", V5, "\x83\x07\x00\x01\x00\x00\x01a\x00", MalformedPacket, "MQTT-3.8.1-1"},
	{"identifier 0", V31, "\x82\x06\x00\x00\x00\x01a\x00", ProtocolError, ""},
	{"identifier 0", V311, "\x82\x06\x00\x00\x00\x01a\x00", ProtocolError, "MQTT-2.3.1-1"},
	{"identifier 0", V5, "\x82\x07\x00\x00\x00\x00\x01a\x00", ProtocolError, "MQTT-2.2.1-3"},
	{"no filter", V31, "\x82\x02\x00\x01", ProtocolError, ""},
	{"no filter", V311, "\x82\x02\x00\x01", ProtocolError, "MQTT-3.8.3-3"},
	{"no filter", V5, "\x82\x03\x00\x01\x00", ProtocolError, "MQTT-3.8.3-2"},
	{"no options", V311, "\x82\x05\x00\x01\x00\x01a", MalformedPacket, ""},
	{"QoS 3", V31, "\x82\x06\x00\x01\x00\x01a\x03", MalformedPacket, ""},
	{"QoS 3", V311, "\x82\x06\x00\x01\x00\x01a\x03", MalformedPacket, "MQTT-3.8.3-4"},
	{"reserved bits", V311, "\x82\x06\x00\x01\x00\x01a\x04", MalformedPacket, "MQTT-3.8.3-4"},
	{"QoS 3", V5, "\x82\x07\x00\x01\x00\x00\x01a\x03", ProtocolError, ""},
	{"retain handling 3", V5, "\x82\x07\x00\x01\x00\x00\x01a\x30", ProtocolError, ""},
	{"reserved bits", V5, "\x82\x07\x00\x01\x00\x00\x01a\x40", MalformedPacket, "MQTT-3.8.3-5"},
	{"no local and shared", V5, "\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x05", ProtocolError, "MQTT-3.8.3-4"},
	{"filter not UTF-8", V311, "\x82\x06\x00\x01\x00\x01\xc0\x00", MalformedPacket, "MQTT-1.5.3-1"},
	{"filter with U+0000", V5, "\x82\x07\x00\x01\x00\x00\x01\x00\x00", MalformedPacket, "MQTT-1.5.4-2"},
	{"subscription identifier 0", V5, "\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", ProtocolError, ""},
	{"trailing byte", V311, "\x82\x07\x00\x01\x00\x01a\x00\x00", MalformedPacket, ""},
}

func TestSubscribe(t *testing.T)        { testGolden(t, subscribes) }
func TestSubscribeIllegal(t *testing.T) { testIllegal(t, badSubscribes) }

func FuzzSubscribe(f *testing.F) { fuzzPacket(f, []Type{SUBSCRIBE}, subscribes, badSubscribes) }

func TestSubscribeUnwritable(t *testing.T) {
	with := func(s Subscription) *Subscribe { return &Subscribe{PacketID: 1, Subscriptions: []Subscription{s}} }
	dup := with(Subscription{})
	dup.Dup = true
	identified := with(Subscription{})
	identified.SubscriptionID = 1
	tooLarge := with(Subscription{})
	tooLarge.SubscriptionID = 1 << 28
	testUnwritable(t, []unwritable{
		{"no filter", V311, &Subscribe{PacketID: 1}, ProtocolError, "MQTT-3.8.3-3"},
		{"identifier 0", V5, &Subscribe{Subscriptions: []Subscription{{}}}, ProtocolError, "MQTT-2.2.1-3"},
		{"DUP", V311, dup, ProtocolError, ""},
		{"subscription identifier", V311, identified, ProtocolError, ""},
		{"subscription identifier too large", V5, tooLarge, ProtocolError, ""},
		{"QoS 3", V311, with(Subscription{QoS: 3}), MalformedPacket, "MQTT-3.8.3-4"},
		{"QoS 3", V5, with(Subscription{QoS: 3}), ProtocolError, ""},
		{"no local", V311, with(Subscription{NoLocal: true}), ProtocolError, ""},
		{"retain handling", V31, with(Subscription{RetainHandling: 1}), ProtocolError, ""},
		{"retain handling 3", V5, with(Subscription{RetainHandling: 3}), ProtocolError, ""},
		{"no local and shared", V5, with(Subscription{Filter: "$share/g/a", NoLocal: true}), ProtocolError, "MQTT-3.8.3-4"},
		{"filter not UTF-8", V5, with(Subscription{Filter: "\xff"}), MalformedPacket, "MQTT-1.5.4-1"},
	})
}

// TestSubscribeReserved31 checks that MQTT 3.1 does not reserve the bits beside the requested QoS.
func TestSubscribeReserved31(t *testing.T) {
	h, body := split(t, "\x82\x06\x00\x01\x00\x01a\xfd")
	var s Subscribe
	if err := s.Decode(h, body, V31); err != nil || s.Subscriptions[0] != (Subscription{Filter: "a", QoS: 1}) {
		t.Errorf("%+v, %v", s, err)
	}
}
