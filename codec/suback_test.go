package codec

import "testing"

var subacks = []golden{
	{name: "failure", v: V31, wire: "\x90\x03\x00\x01\x80", packet: &Suback{PacketID: 1, Codes: []ReasonCode{UnspecifiedError}}},
	{
		name: "all codes", v: V311, wire: "\x90\x06\x00\x0a\x00\x01\x02\x80", ends: []int{3, 4, 5},
		packet: &Suback{PacketID: 10, Codes: []ReasonCode{Success, GrantedQoS1, GrantedQoS2, UnspecifiedError}},
	},
	{name: "least", v: V5, wire: "\x90\x04\x00\x01\x00\x00", packet: &Suback{PacketID: 1, Codes: []ReasonCode{Success}}},
	{
		name: "all", v: V5, wire: "\x90\x16\x00\x01\x11\x1f\x00\x01q" + usersWire + "\x97\xa2", ends: []int{21},
		packet: &Suback{
			PacketID: 1, Codes: []ReasonCode{QuotaExceeded, WildcardNotSupported}, ReasonString: "q", UserProperties: users,
		},
	},
}

var badSubacks = []illegal{
	{"flags", V311, "\x92\x03\x00\x01\x00", MalformedPacket, "MQTT-2.2.2-2"},
	{"flags", V5, "\x91\x04\x00\x01\x00\x00", MalformedPacket, "MQTT-2.1.3-1"},
	{"identifier 0", V311, "\x90\x03\x00\x00\x00", ProtocolError, "MQTT-2.3.1-7"},
	{"identifier 0", V5, "\x90\x04\x00\x00\x00\x00", ProtocolError, "MQTT-2.2.1-6"},
	{"no code", V311, "\x90\x02\x00\x01", ProtocolError, "MQTT-3.8.4-5"},
	{"no code", V5, "\x90\x03\x00\x01\x00", ProtocolError, "MQTT-3.8.4-6"},
	{"code of 5", V311, "\x90\x03\x00\x01\x97", ProtocolError, "MQTT-3.9.3-2"},
	{"code 3", V31, "\x90\x03\x00\x01\x03", ProtocolError, ""},
	{"code of UNSUBACK", V5, "\x90\x04\x00\x01\x00\x11", ProtocolError, "MQTT-3.9.3-2"},
}

func TestSuback(t *testing.T)        { testGolden(t, subacks) }
func TestSubackIllegal(t *testing.T) { testIllegal(t, badSubacks) }

func FuzzSuback(f *testing.F) { fuzzPacket(f, []Type{SUBACK}, subacks, badSubacks) }

func TestSubackUnwritable(t *testing.T) {
	codes := []ReasonCode{QuotaExceeded}
	testUnwritable(t, []unwritable{
		{"identifier 0", V5, &Suback{Codes: codes}, ProtocolError, "MQTT-2.2.1-6"},
		{"no code", V311, &Suback{PacketID: 1}, ProtocolError, "MQTT-3.8.4-5"},
		{"code of 5", V311, &Suback{PacketID: 1, Codes: codes}, ProtocolError, "MQTT-3.9.3-2"},
		{"reason string", V311, &Suback{PacketID: 1, Codes: []ReasonCode{0}, ReasonString: "r"}, ProtocolError, ""},
		{"reason string not UTF-8", V5, &Suback{PacketID: 1, Codes: codes, ReasonString: "\xff"}, MalformedPacket, "MQTT-1.5.4-1"},
	})
}
