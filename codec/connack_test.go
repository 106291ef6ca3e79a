package codec

import "testing"

var connacks = []golden{
	{name: "accepted", v: V31, wire: "\x20\x02\x00\x00", packet: &Connack{}},
	{name: "refused", v: V31, wire: "\x20\x02\x00\x02", packet: &Connack{Code: 2}},
	{name: "session present", v: V311, wire: "\x20\x02\x01\x00", packet: &Connack{SessionPresent: true}},
	{name: "refused", v: V311, wire: "\x20\x02\x00\x05", packet: &Connack{Code: 5}},
	{name: "session present", v: V5, wire: "\x20\x03\x01\x00\x00", packet: &Connack{SessionPresent: true}},
	{
		name: "refused", v: V5, wire: "\x20\x0a\x00\x86\x07\x1f\x00\x04nope",
		packet: &Connack{Code: BadUserNameOrPassword, Properties: ConnackProperties{ReasonString: "nope"}},
	},
	{
		name: "zero values", v: V5,
		wire: "\x20\x15\x00\x00\x12\x11\x00\x00\x00\x00\x24\x00\x25\x00\x28\x00\x29\x00\x2a\x00\x13\x00\x00",
		packet: &Connack{Properties: ConnackProperties{
			SessionExpiry: new(uint32), MaximumQoS: new(QoS), RetainAvailable: new(bool), WildcardAvailable: new(bool),
			SubscriptionIDs: new(bool), SharedAvailable: new(bool), ServerKeepAlive: new(uint16),
		}},
	},
	{
		name: "all", v: V5,
		wire: "\x20\x47\x00\x00\x44\x11\x00\x00\x0e\x10\x21\x04\x00\x24\x01\x25\x01\x27\x00\x02\x00\x00\x12\x00\x02id\x22\x00\x0a" +
			"\x1f\x00\x02ok" + usersWire + "\x28\x01\x29\x01\x2a\x01\x13\x00\x3c\x1a\x00\x01r\x1c\x00\x01s\x15\x00\x01m\x16\x00\x01d",
		packet: &Connack{Properties: ConnackProperties{
			SessionExpiry: new(uint32(3600)), ReceiveMaximum: 1024, MaximumQoS: new(QoS(1)), RetainAvailable: new(true),
			MaximumPacketSize: 131072, AssignedClientID: "id", TopicAliasMaximum: 10, ReasonString: "ok",
			UserProperties: users, WildcardAvailable: new(true), SubscriptionIDs: new(true), SharedAvailable: new(true),
			ServerKeepAlive: new(uint16(60)), ResponseInformation: "r", ServerReference: "s",
			AuthenticationMethod: "m", AuthenticationData: []byte("d"),
		}},
	},
}

var badConnacks = []illegal{
	{"header flags", V311, "\x21\x02\x00\x00", MalformedPacket, "MQTT-2.2.2-2"},
	{"header flags", V5, "\x22\x03\x00\x00\x00", MalformedPacket, "MQTT-2.1.3-1"},
	{"reserved flags", V311, "\x20\x02\x02\x00", MalformedPacket, ""},
	{"reserved flags", V5, "\x20\x03\x80\x00\x00", MalformedPacket, "MQTT-3.2.2-1"},
	{"session present beside a refusal", V311, "\x20\x02\x01\x05", ProtocolError, "MQTT-3.2.2-4"},
	{"session present beside a refusal", V5, "\x20\x03\x01\x87\x00", ProtocolError, "MQTT-3.2.2-6"},
	{"return code 6", V31, "\x20\x02\x00\x06", ProtocolError, ""},
	{"return code 6", V311, "\x20\x02\x00\x06", ProtocolError, ""},
	{"reason code of a DISCONNECT", V5, "\x20\x03\x00\x8e\x00", ProtocolError, "MQTT-3.2.2-8"},
	{"return code of 3.1.1", V5, "\x20\x03\x00\x05\x00", ProtocolError, "MQTT-3.2.2-8"},
	{"no properties", V5, "\x20\x02\x00\x00", MalformedPacket, ""},
	{"trailing byte", V311, "\x20\x03\x00\x00\x00", MalformedPacket, ""},
	{"trailing byte", V5, "\x20\x04\x00\x00\x00\x00", MalformedPacket, ""},
	{"maximum QoS 2", V5, "\x20\x05\x00\x00\x02\x24\x02", ProtocolError, ""},
}

func TestConnack(t *testing.T)        { testGolden(t, connacks) }
func TestConnackIllegal(t *testing.T) { testIllegal(t, badConnacks) }

func FuzzConnack(f *testing.F) { fuzzPacket(f, []Type{CONNACK}, connacks, badConnacks) }

func TestConnackUnwritable(t *testing.T) {
	testUnwritable(t, []unwritable{
		{"session present", V31, &Connack{SessionPresent: true}, ProtocolError, ""},
		{"session present beside a refusal", V311, &Connack{SessionPresent: true, Code: 1}, ProtocolError, "MQTT-3.2.2-4"},
		{"reason code of 5", V311, &Connack{Code: NotAuthorized}, ProtocolError, ""},
		{"return code of 3.1.1", V5, &Connack{Code: 5}, ProtocolError, "MQTT-3.2.2-8"},
		{"properties", V311, &Connack{Properties: ConnackProperties{ReasonString: "r"}}, ProtocolError, ""},
		{"maximum QoS 2", V5, &Connack{Properties: ConnackProperties{MaximumQoS: new(QoS(2))}}, ProtocolError, ""},
	})
}

// TestConnackReserved31 checks that the first byte of a CONNACK means nothing in 3.1.
func TestConnackReserved31(t *testing.T) {
	h, body := split(t, "\x20\x02\xff\x00")
	var c Connack
	if err := c.Decode(h, body, V31); err != nil || c.SessionPresent {
		t.Errorf("%+v, %v", c, err)
	}
}
