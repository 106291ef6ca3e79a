package codec

import "testing"

var auths = []golden{
	{name: "success", v: V5, wire: "\xf0\x00", packet: &Auth{}},
	{
		name: "method", v: V5, wire: "\xf0\x06\x19\x04\x15\x00\x01m", ends: []int{0},
		packet: &Auth{Code: ReAuthenticate, Method: "m"},
	},
	{
		name: "all", v: V5, wire: "\xf0\x1b\x18\x19\x15\x00\x01m\x16\x00\x01\x00\x1f\x00\x01q" + usersWire, ends: []int{0},
		packet: &Auth{
			Code: ContinueAuthentication, Method: "m", Data: []byte{0}, ReasonString: "q", UserProperties: users,
		},
	},
}

var badAuths = []illegal{
	{"does not exist", V31, "\xf0\x00", MalformedPacket, ""},
	{"does not exist", V311, "\xf0\x00", MalformedPacket, ""},
	{"flags", V5, "\xf1\x00", MalformedPacket, "MQTT-3.15.1-1"},
	{"properties missing", V5, "\xf0\x01\x18", MalformedPacket, ""},
	{"method missing", V5, "\xf0\x02\x18\x00", ProtocolError, ""},
	{"code of DISCONNECT", V5, "\xf0\x06\x04\x04\x15\x00\x01m", ProtocolError, "MQTT-3.15.2-1"},
	{"trailing byte", V5, "\xf0\x07\x18\x04\x15\x00\x01mx", MalformedPacket, ""},
}

func TestAuth(t *testing.T)        { testGolden(t, auths) }
func TestAuthIllegal(t *testing.T) { testIllegal(t, badAuths) }

func FuzzAuth(f *testing.F) { fuzzPacket(f, []Type{AUTH}, auths, badAuths) }

func TestAuthUnwritable(t *testing.T) {
	testUnwritable(t, []unwritable{
		{"does not exist", V311, &Auth{Method: "m"}, ProtocolError, ""},
		{"code of CONNACK", V5, &Auth{Code: NotAuthorized, Method: "m"}, ProtocolError, "MQTT-3.15.2-1"},
	})
}
