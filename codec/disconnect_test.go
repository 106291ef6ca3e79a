package codec

import "testing"

var disconnects = []golden{
	{name: "3.1", v: V31, wire: "\xe0\x00", packet: &Disconnect{}},
	{name: "3.1.1", v: V311, wire: "\xe0\x00", packet: &Disconnect{}},
	{name: "normal", v: V5, wire: "\xe0\x00", packet: &Disconnect{}},
	{name: "code", v: V5, wire: "\xe0\x01\x04", packet: &Disconnect{Code: DisconnectWithWill}, ends: []int{0}},
	{
		name: "all", v: V5, ends: []int{0, 1},
		wire: "\xe0\x1c\x8e\x1a\x11\x00\x00\x00\x00\x1f\x00\x01q" + usersWire + "\x1c\x00\x01s",
		packet: &Disconnect{
			Code: SessionTakenOver, HasSessionExpiry: true, ReasonString: "q", UserProperties: users, ServerReference: "s",
		},
	},
}

var badDisconnects = []illegal{
	{"flags", V311, "\xe1\x00", MalformedPacket, "MQTT-3.14.1-1"},
	{"flags", V5, "\xe8\x00", MalformedPacket, "MQTT-3.14.1-1"},
	{"body", V31, "\xe0\x01\x00", MalformedPacket, ""},
	{"body", V311, "\xe0\x01\x00", MalformedPacket, ""},
	{"code of CONNACK", V5, "\xe0\x01\x86", ProtocolError, "MQTT-3.14.2-1"},
	{"unknown code", V5, "\xe0\x01\xff", ProtocolError, "MQTT-3.14.2-1"},
	{"trailing byte", V5, "\xe0\x03\x00\x00\x00", MalformedPacket, ""},
}

func TestDisconnect(t *testing.T)        { testGolden(t, disconnects) }
func TestDisconnectIllegal(t *testing.T) { testIllegal(t, badDisconnects) }

func FuzzDisconnect(f *testing.F) { fuzzPacket(f, []Type{DISCONNECT}, disconnects, badDisconnects) }

func TestDisconnectUnwritable(t *testing.T) {
	testUnwritable(t, []unwritable{
		{"code", V311, &Disconnect{Code: ServerShuttingDown}, ProtocolError, ""},
		{"session expiry", V31, &Disconnect{HasSessionExpiry: true}, ProtocolError, ""},
		{"code of CONNACK", V5, &Disconnect{Code: Banned}, ProtocolError, "MQTT-3.14.2-1"},
	})
}
