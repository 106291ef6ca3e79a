package codec

import "testing"

var acks = []golden{
	{name: "PUBACK", v: V31, wire: "\x40\x02\x00\x01", packet: &Ack{Kind: PUBACK, PacketID: 1}},
	{name: "PUBREL with DUP", v: V31, wire: "\x6a\x02\x00\x01", packet: &Ack{Kind: PUBREL, PacketID: 1, Dup: true}},
	{name: "PUBACK", v: V311, wire: "\x40\x02\xff\xff", packet: &Ack{Kind: PUBACK, PacketID: 65535}},
	{name: "PUBREC", v: V311, wire: "\x50\x02\x00\x01", packet: &Ack{Kind: PUBREC, PacketID: 1}},
	{name: "PUBREL", v: V311, wire: "\x62\x02\x00\x01", packet: &Ack{Kind: PUBREL, PacketID: 1}},
	{name: "PUBCOMP", v: V311, wire: "\x70\x02\x00\x01", packet: &Ack{Kind: PUBCOMP, PacketID: 1}},
	{name: "PUBACK", v: V5, wire: "\x40\x02\x00\x01", packet: &Ack{Kind: PUBACK, PacketID: 1}},
	{
		name: "PUBACK with a code", v: V5, wire: "\x40\x03\x00\x01\x10", ends: []int{2},
		packet: &Ack{Kind: PUBACK, PacketID: 1, Code: NoMatchingSubscribers},
	},
	{
		name: "PUBREC with properties", v: V5, ends: []int{2, 3},
		wire: "\x50\x15\x00\x01\x97\x11\x1f\x00\x01q" + usersWire,
		packet: &Ack{
			Kind: PUBREC, PacketID: 1, Code: QuotaExceeded, ReasonString: "q", UserProperties: users,
		},
	},
	{
		name: "PUBREL with a code", v: V5, wire: "\x62\x03\x00\x01\x92", ends: []int{2},
		packet: &Ack{Kind: PUBREL, PacketID: 1, Code: PacketIDNotFound},
	},
	{
		name: "PUBCOMP of success with properties", v: V5, wire: "\x70\x08\x00\x01\x00\x04\x1f\x00\x01q", ends: []int{2, 3},
		packet: &Ack{Kind: PUBCOMP, PacketID: 1, ReasonString: "q"},
	},
}

var badAcks = []illegal{
	{"PUBACK flags", V311, "\x41\x02\x00\x01", MalformedPacket, "MQTT-2.2.2-2"},
	{"PUBREC flags", V5, "\x52\x02\x00\x01", MalformedPacket, "MQTT-2.1.3-1"},
	{"PUBREL flags", V311, "\x60\x02\x00\x01", MalformedPacket, "MQTT-3.6.1-1"},
	{"PUBREL with DUP", V311, "\x6a\x02\x00\x01", MalformedPacket, "MQTT-3.6.1-1"},
	{"PUBREL with DUP", V5, "\x6a\x02\x00\x01", MalformedPacket, "MQTT-3.6.1-1"},
	{"identifier 0", V31, "\x40\x02\x00\x00", ProtocolError, ""},
	{"identifier 0", V311, "\x40\x02\x00\x00", ProtocolError, "MQTT-2.3.1-6"},
	{"identifier 0", V5, "\x70\x02\x00\x00", ProtocolError, "MQTT-2.2.1-5"},
	{"identifier cut", V311, "\x40\x01\x00", MalformedPacket, ""},
	{"trailing byte", V31, "\x40\x03\x00\x01\x00", MalformedPacket, ""},
	{"trailing byte", V311, "\x40\x03\x00\x01\x00", MalformedPacket, ""},
	{"trailing byte", V5, "\x40\x05\x00\x01\x00\x00\x00", MalformedPacket, ""},
	{"PUBACK with a code of PUBREL", V5, "\x40\x03\x00\x01\x92", ProtocolError, "MQTT-3.4.2-1"},
	{"PUBREC with an unknown code", V5, "\x50\x03\x00\x01\x01", ProtocolError, "MQTT-3.5.2-1"},
	{"PUBREL with a code of PUBREC", V5, "\x62\x03\x00\x01\x80", ProtocolError, "MQTT-3.6.2-1"},
	{"PUBCOMP with a code of PUBREC", V5, "\x70\x03\x00\x01\x97", ProtocolError, "MQTT-3.7.2-1"},
}

func TestAck(t *testing.T)        { testGolden(t, acks) }
func TestAckIllegal(t *testing.T) { testIllegal(t, badAcks) }

func FuzzAck(f *testing.F) { fuzzPacket(f, []Type{PUBACK, PUBREC, PUBREL, PUBCOMP}, acks, badAcks) }

func TestAckUnwritable(t *testing.T) {
	testUnwritable(t, []unwritable{
		{"no kind", V5, &Ack{PacketID: 1}, ProtocolError, ""},
		{"another kind", V5, &Ack{Kind: SUBACK, PacketID: 1}, ProtocolError, ""},
		{"identifier 0", V5, &Ack{Kind: PUBACK}, ProtocolError, "MQTT-2.2.1-5"},
		{"code", V311, &Ack{Kind: PUBACK, PacketID: 1, Code: QuotaExceeded}, ProtocolError, ""},
		{"reason string", V31, &Ack{Kind: PUBACK, PacketID: 1, ReasonString: "r"}, ProtocolError, ""},
		{"code of another packet", V5, &Ack{Kind: PUBREL, PacketID: 1, Code: QuotaExceeded}, ProtocolError, "MQTT-3.6.2-1"},
		{"DUP", V311, &Ack{Kind: PUBREL, PacketID: 1, Dup: true}, ProtocolError, ""},
		{"DUP in a PUBACK", V31, &Ack{Kind: PUBACK, PacketID: 1, Dup: true}, ProtocolError, ""},
	})
}

// TestAckLonger checks that an acknowledgement may spell out what it could leave out.
func TestAckLonger(t *testing.T) {
	for _, wire := range []string{"\x40\x03\x00\x01\x00", "\x40\x04\x00\x01\x00\x00"} {
		h, body := split(t, wire)
		var a Ack
		if err := a.Decode(h, body, V5); err != nil || a.PacketID != 1 || a.Code != Success {
			t.Errorf("%q: %+v, %v", wire, a, err)
		}
	}
}

// TestAckAllocations checks that acknowledgements, of which there is one a message, allocate nothing.
func TestAckAllocations(t *testing.T) {
	h, body := split(t, "\x40\x02\x00\x01")
	var a Ack
	var err error
	buf := make([]byte, 0, 16)
	if n := testing.AllocsPerRun(100, func() { err = a.Decode(h, body, V5) }); n != 0 || err != nil {
		t.Errorf("Decode allocates %v times, %v", n, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = a.Append(buf, V5) }); n != 0 || err != nil {
		t.Errorf("Append allocates %v times, %v", n, err)
	}
}
