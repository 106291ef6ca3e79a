package codec

import "testing"

var unsubacks = []golden{
	{name: "3.1", v: V31, wire: "\xb0\x02\x00\x01", packet: &Unsuback{PacketID: 1}},
	{name: "3.1.1", v: V311, wire: "\xb0\x02\xff\xff", packet: &Unsuback{PacketID: 65535}},
	{
		name: "two", v: V5, wire: "\xb0\x05\x00\x01\x00\x00\x11", ends: []int{4},
		packet: &Unsuback{PacketID: 1, Codes: []ReasonCode{Success, NoSubscriptionExisted}},
	},
	{
		name: "all", v: V5, wire: "\xb0\x15\x00\x01\x11\x1f\x00\x01q" + usersWire + "\x8f",
		packet: &Unsuback{PacketID: 1, Codes: []ReasonCode{TopicFilterInvalid}, ReasonString: "q", UserProperties: users},
	},
}

var badUnsubacks = []illegal{
	{"flags", V311, "\xb2\x02\x00\x01", MalformedPacket, "MQTT-2.2.2-2"},
	{"flags", V5, "\xb1\x04\x00\x01\x00\x00", MalformedPacket, "MQTT-2.1.3-1"},
	{"identifier 0", V311, "\xb0\x02\x00\x00", ProtocolError, "MQTT-2.3.1-7"},
	{"identifier 0", V5, "\xb0\x04\x00\x00\x00\x00", ProtocolError, "MQTT-2.2.1-6"},
	{"codes", V311, "\xb0\x03\x00\x01\x00", MalformedPacket, ""},
	{"no code", V5, "\xb0\x03\x00\x01\x00", ProtocolError, "MQTT-3.11.3-2"},
	{"code of SUBACK", V5, "\xb0\x04\x00\x01\x00\x01", ProtocolError, "MQTT-3.11.3-2"},
}

func TestUnsuback(t *testing.T)        { testGolden(t, unsubacks) }
func TestUnsubackIllegal(t *testing.T) { testIllegal(t, badUnsubacks) }

func FuzzUnsuback(f *testing.F) { fuzzPacket(f, []Type{UNSUBACK}, unsubacks, badUnsubacks) }

func TestUnsubackUnwritable(t *testing.T) {
	testUnwritable(t, []unwritable{
		{"identifier 0", V311, &Unsuback{}, ProtocolError, "MQTT-2.3.1-7"},
		{"no code", V5, &Unsuback{PacketID: 1}, ProtocolError, "MQTT-3.11.3-2"},
		{"code of SUBACK", V5, &Unsuback{PacketID: 1, Codes: []ReasonCode{GrantedQoS1}}, ProtocolError, "MQTT-3.11.3-2"},
		{"reason string", V311, &Unsuback{PacketID: 1, ReasonString: "r"}, ProtocolError, ""},
	})
}

// TestUnsubackCodes3 checks that 3.x leaves the codes out.
func TestUnsubackCodes3(t *testing.T) {
	u := Unsuback{PacketID: 1, Codes: []ReasonCode{NoSubscriptionExisted}}
	if wire, err := u.Append(nil, V311); err != nil || string(wire) != "\xb0\x02\x00\x01" {
		t.Errorf("%q, %v", wire, err)
	}
}
