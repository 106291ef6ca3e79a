package codec

import "testing"

var unsubscribes = []golden{
	{name: "DUP", v: V31, wire: "\xaa\x05\x00\x01\x00\x01a", packet: &Unsubscribe{PacketID: 1, Dup: true, Filters: []string{"a"}}},
	{
		name: "two", v: V311, wire: "\xa2\x0a\x00\x0a\x00\x03a/b\x00\x01#", ends: []int{7},
		packet: &Unsubscribe{PacketID: 10, Filters: []string{"a/b", "#"}},
	},
	{name: "least", v: V5, wire: "\xa2\x06\x00\x01\x00\x00\x01a", packet: &Unsubscribe{PacketID: 1, Filters: []string{"a"}}},
	{
		name: "all", v: V5, wire: "\xa2\x15\x00\x01\x0d" + usersWire + "\x00\x01a\x00\x00", ends: []int{19},
		packet: &Unsubscribe{PacketID: 1, Filters: []string{"a", ""}, UserProperties: users},
	},
}

var badUnsubscribes = []illegal{
	{"flags", V311, "\xa0\x05\x00\x01\x00\x01a", MalformedPacket, "MQTT-3.10.1-1"},
	{"DUP", V311, "\xaa\x05\x00\x01\x00\x01a", MalformedPacket, "MQTT-3.10.1-1"},
	{"flags", V5, "\xa3\x06\x00\x01\x00\x00\x01a", MalformedPacket, "MQTT-3.10.1-1"},
	{"identifier 0", V311, "\xa2\x05\x00\x00\x00\x01a", ProtocolError, "MQTT-2.3.1-1"},
	{"identifier 0", V5, "\xa2\x06\x00\x00\x00\x00\x01a", ProtocolError, "MQTT-2.2.1-3"},
	{"no filter", V31, "\xa2\x02\x00\x01", ProtocolError, ""},
	{"no filter", V311, "\xa2\x02\x00\x01", ProtocolError, "MQTT-3.10.3-2"},
	{"no filter", V5, "\xa2\x03\x00\x01\x00", ProtocolError, "MQTT-3.10.3-2"},
	{"filter cut", V311, "\xa2\x04\x00\x01\x00\x01", MalformedPacket, ""},
	{"filter not UTF-8", V311, "\xa2\x05\x00\x01\x00\x01\xff", MalformedPacket, "MQTT-1.5.3-1"},
	{"trailing byte", V5, "\xa2\x07\x00\x01\x00\x00\x01a\x00", MalformedPacket, ""},
}

func TestUnsubscribe(t *testing.T)        { testGolden(t, unsubscribes) }
func TestUnsubscribeIllegal(t *testing.T) { testIllegal(t, badUnsubscribes) }

func FuzzUnsubscribe(f *testing.F) {
	fuzzPacket(f, []Type{UNSUBSCRIBE}, unsubscribes, badUnsubscribes)
}

func TestUnsubscribeUnwritable(t *testing.T) {
	filters := []string{"a"}
	testUnwritable(t, []unwritable{
		{"identifier 0", V311, &Unsubscribe{Filters: filters}, ProtocolError, "MQTT-2.3.1-1"},
		{"no filter", V5, &Unsubscribe{PacketID: 1}, ProtocolError, "MQTT-3.10.3-2"},
		{"DUP", V5, &Unsubscribe{PacketID: 1, Filters: filters, Dup: true}, ProtocolError, ""},
		{"user properties", V311, &Unsubscribe{PacketID: 1, Filters: filters, UserProperties: users}, ProtocolError, ""},
	})
}
