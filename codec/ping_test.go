package codec

import "testing"

var pings = []golden{
	{name: "PINGREQ", v: V31, wire: "\xc0\x00", packet: &Pingreq{}},
	{name: "PINGREQ", v: V311, wire: "\xc0\x00", packet: &Pingreq{}},
	{name: "PINGREQ", v: V5, wire: "\xc0\x00", packet: &Pingreq{}},
	{name: "PINGRESP", v: V31, wire: "\xd0\x00", packet: &Pingresp{}},
	{name: "PINGRESP", v: V311, wire: "\xd0\x00", packet: &Pingresp{}},
	{name: "PINGRESP", v: V5, wire: "\xd0\x00", packet: &Pingresp{}},
}

var badPings = []illegal{
	{"PINGREQ flags", V311, "\xc1\x00", MalformedPacket, "MQTT-2.2.2-2"},
	{"PINGRESP flags", V5, "\xd8\x00", MalformedPacket, "MQTT-2.1.3-1"},
	{"PINGREQ body", V31, "\xc0\x01\x00", MalformedPacket, ""},
	{"PINGREQ body", V311, "\xc0\x01\x00", MalformedPacket, ""},
	{"PINGRESP body", V5, "\xd0\x01\x00", MalformedPacket, ""},
}

func TestPing(t *testing.T)        { testGolden(t, pings) }
func TestPingIllegal(t *testing.T) { testIllegal(t, badPings) }

func FuzzPing(f *testing.F) { fuzzPacket(f, []Type{PINGREQ, PINGRESP}, pings, badPings) }
