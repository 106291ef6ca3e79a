package codec

import (
	"reflect"
	"strings"
	"testing"
)

var publishes = []golden{
	{
		name: "QoS 0", v: V31, wire: "\x30\x04\x00\x01thi"[:6], ends: []int{3},
		packet: &Publish{Topic: []byte("t"), Payload: []byte("h")},
	},
	{
		name: "QoS 2", v: V31, wire: "\x3d\x07\x00\x01t\xff\xffhi", ends: []int{5, 6},
		packet: &Publish{Dup: true, QoS: 2, Retain: true, Topic: []byte("t"), PacketID: 65535, Payload: []byte("hi")},
	},
	{
		name: "QoS 0 without payload", v: V311, wire: "\x31\x05\x00\x03a/b",
		packet: &Publish{Retain: true, Topic: []byte("a/b"), Payload: []byte{}},
	},
	{
		name: "QoS 1", v: V311, wire: "\x3a\x09\x00\x03a/b\x00\x0a\x00\xff", ends: []int{7, 8},
		packet: &Publish{Dup: true, QoS: 1, Topic: []byte("a/b"), PacketID: 10, Payload: []byte("\x00\xff")},
	},
	{
		name: "QoS 0", v: V5, wire: "\x30\x05\x00\x01t\x00x", ends: []int{4},
		packet: &Publish{Topic: []byte("t"), Payload: []byte("x")},
	},
	{
		name: "topic alias alone", v: V5, wire: "\x34\x08\x00\x00\x00\x01\x03\x23\x00\x07",
		packet: &Publish{
			QoS: 2, Topic: []byte{}, PacketID: 1, Payload: []byte{},
			Properties: PublishProperties{TopicAlias: 7, HasTopicAlias: true},
		},
	},
	{
		name: "empty values", v: V5, wire: "\x30\x0c\x00\x01t\x08\x01\x00\x03\x00\x00\x09\x00\x00",
		packet: &Publish{
			Topic: []byte("t"), Payload: []byte{},
			Properties: PublishProperties{Message: MessageProperties{
				HasPayloadFormat: true, ContentType: []byte{}, CorrelationData: []byte{},
			}},
		},
	},
	{
		name: "all", v: V5, ends: []int{56},
		wire: "\x32\x39\x00\x01t\x01\x00\x32" + "\x23\x00\x01\x0b\x01\x0b\xff\xff\xff\x7f" +
			"\x01\x01\x02\x00\x00\x00\x3c\x03\x00\x04text\x08\x00\x03r/t\x09\x00\x04\x00\xff\x00\xff" + usersWire + "x",
		packet: &Publish{
			QoS: 1, Topic: []byte("t"), PacketID: 256, Payload: []byte("x"),
			Properties: PublishProperties{
				TopicAlias: 1, HasTopicAlias: true, SubscriptionIDs: []uint32{1, 268435455},
				Message: MessageProperties{
					PayloadFormat: 1, HasPayloadFormat: true, MessageExpiry: 60, HasMessageExpiry: true,
					ContentType: []byte("text"), ResponseTopic: []byte("r/t"), CorrelationData: []byte("\x00\xff\x00\xff"),
					UserProperties: users,
				},
			},
		},
	},
}

var badPublishes = []illegal{
	{"QoS 3", V31, "\x36\x05\x00\x01t\x00\x01", MalformedPacket, ""},
	{"QoS 3", V311, "\x36\x05\x00\x01t\x00\x01", MalformedPacket, "MQTT-3.3.1-4"},
	{"QoS 3", V5, "\x36\x06\x00\x01t\x00\x01\x00", MalformedPacket, "MQTT-3.3.1-4"},
	{"DUP at QoS 0", V311, "\x38\x03\x00\x01t", MalformedPacket, "MQTT-3.3.1-2"},
	{"DUP at QoS 0", V5, "\x38\x04\x00\x01t\x00", MalformedPacket, "MQTT-3.3.1-2"},
	{"identifier 0", V31, "\x32\x05\x00\x01t\x00\x00", ProtocolError, ""},
	{"identifier 0", V311, "\x32\x05\x00\x01t\x00\x00", ProtocolError, "MQTT-2.3.1-1"},
	{"identifier 0", V5, "\x34\x06\x00\x01t\x00\x00\x00", ProtocolError, "MQTT-2.2.1-3"},
	{"identifier cut", V311, "\x32\x04\x00\x01t\x00", MalformedPacket, ""},
	{"empty body", V311, "\x30\x00", MalformedPacket, ""},
	{"topic cut", V311, "\x30\x03\x00\x02t", MalformedPacket, ""},
	{"topic empty", V31, "\x30\x03\x00\x00x", ProtocolError, ""},
	{"topic empty", V311, "\x30\x03\x00\x00x", ProtocolError, "MQTT-4.7.3-1"},
	{"topic empty without alias", V5, "\x30\x04\x00\x00\x00x", ProtocolError, "MQTT-4.7.3-1"},
	{"topic empty beside another property", V5, "\x30\x05\x00\x00\x02\x01\x01", ProtocolError, "MQTT-4.7.3-1"},
	{"topic with +", V311, "\x30\x05\x00\x03a/+", ProtocolError, "MQTT-3.3.2-2"},
	{"topic with #", V5, "\x30\x04\x00\x01#\x00", ProtocolError, "MQTT-3.3.2-2"},
	{"long topic with #", V5, "\x30\x0e\x00\x0b0123456#89a\x00", ProtocolError, "MQTT-3.3.2-2"},
	{"topic with U+0000", V31, "\x30\x03\x00\x01\x00", MalformedPacket, ""},
	{"topic with U+0000", V311, "\x30\x03\x00\x01\x00", MalformedPacket, "MQTT-1.5.3-2"},
	{"topic with U+0000", V5, "\x30\x04\x00\x01\x00\x00", MalformedPacket, "MQTT-1.5.4-2"},
	{"topic not UTF-8", V311, "\x30\x03\x00\x01\xff", MalformedPacket, "MQTT-1.5.3-1"},
	{"topic with a surrogate", V5, "\x30\x06\x00\x03\xed\xbf\xbf\x00", MalformedPacket, "MQTT-1.5.4-1"},
	{"properties missing", V5, "\x30\x03\x00\x01t", MalformedPacket, ""},
	{"properties larger than the packet", V5, "\x30\x05\x00\x01t\x02\x01", MalformedPacket, ""},
	{"topic alias 0", V5, "\x30\x07\x00\x01t\x03\x23\x00\x00", TopicAliasInvalid, "MQTT-3.3.2-8"},
	{"subscription identifier 0", V5, "\x30\x06\x00\x01t\x02\x0b\x00", ProtocolError, ""},
	{"subscription identifier not minimal", V5, "\x30\x07\x00\x01t\x03\x0b\x81\x00", MalformedPacket, "MQTT-1.5.5-1"},
	{"response topic with wildcard", V5, "\x30\x09\x00\x01t\x05\x08\x00\x02a#", ProtocolError, "MQTT-3.3.2-14"},
	{"response topic empty", V5, "\x30\x07\x00\x01t\x03\x08\x00\x00", ProtocolError, "MQTT-4.7.3-1"},
	{"response topic not UTF-8", V5, "\x30\x08\x00\x01t\x04\x08\x00\x01\xff", MalformedPacket, "MQTT-1.5.4-1"},
	{"payload format 2", V5, "\x30\x06\x00\x01t\x02\x01\x02", ProtocolError, ""},
}

func TestPublish(t *testing.T)        { testGolden(t, publishes) }
func TestPublishIllegal(t *testing.T) { testIllegal(t, badPublishes) }

func FuzzPublish(f *testing.F) { fuzzPacket(f, []Type{PUBLISH}, publishes, badPublishes) }

func TestPublishUnwritable(t *testing.T) {
	topic := []byte("t")
	with := func(p PublishProperties) *Publish { return &Publish{Topic: topic, Properties: p} }
	testUnwritable(t, []unwritable{
		{"QoS 3", V311, &Publish{QoS: 3, Topic: topic, PacketID: 1}, MalformedPacket, "MQTT-3.3.1-4"},
		{"DUP at QoS 0", V5, &Publish{Dup: true, Topic: topic}, MalformedPacket, "MQTT-3.3.1-2"},
		{"DUP at QoS 0", V31, &Publish{Dup: true, Topic: topic}, MalformedPacket, ""},
		{"identifier 0", V311, &Publish{QoS: 1, Topic: topic}, ProtocolError, "MQTT-2.3.1-1"},
		{"identifier at QoS 0", V5, &Publish{Topic: topic, PacketID: 1}, ProtocolError, "MQTT-2.2.1-2"},
		{"topic empty", V311, &Publish{}, ProtocolError, "MQTT-4.7.3-1"},
		{"topic empty", V5, &Publish{}, ProtocolError, "MQTT-4.7.3-1"},
		{"topic with wildcard", V5, &Publish{Topic: []byte("#")}, ProtocolError, "MQTT-3.3.2-2"},
		{"topic too long", V5, &Publish{Topic: make([]byte, 1<<16)}, PacketTooLarge, ""},
		{"payload too long", V311, &Publish{Topic: topic, Payload: make([]byte, maxVarint)}, PacketTooLarge, ""},
		{"properties", V311, with(PublishProperties{HasTopicAlias: true, TopicAlias: 1}), ProtocolError, ""},
		{"properties", V31, with(PublishProperties{Message: MessageProperties{ContentType: []byte{}}}), ProtocolError, ""},
		{"topic alias 0", V5, with(PublishProperties{HasTopicAlias: true}), TopicAliasInvalid, "MQTT-3.3.2-8"},
		{"subscription identifier 0", V5, with(PublishProperties{SubscriptionIDs: []uint32{0}}), ProtocolError, ""},
		{"subscription identifier too large", V5, with(PublishProperties{SubscriptionIDs: []uint32{1 << 28}}), ProtocolError, ""},
		{
			"user property", V5,
			with(PublishProperties{Message: MessageProperties{UserProperties: []UserProperty{{"\xff", ""}}}}),
			MalformedPacket, "MQTT-1.5.4-1",
		},
		{
			"correlation data too long", V5,
			with(PublishProperties{Message: MessageProperties{CorrelationData: make([]byte, 1<<16)}}),
			PacketTooLarge, "",
		},
	})
}

// TestPublishReuse checks that Decode leaves nothing of the packet before.
func TestPublishReuse(t *testing.T) {
	p := Publish{Properties: PublishProperties{TopicAlias: 1, Message: MessageProperties{PayloadFormat: 1, MessageExpiry: 1}}}
	for _, wire := range []string{"\x30\x05\x00\x01t\x00x", publishes[len(publishes)-1].wire, "\x30\x05\x00\x01t\x00x"} {
		h, body := split(t, wire)
		if err := p.Decode(h, body, V5); err != nil {
			t.Fatal(err)
		}
		var want Publish
		if err := want.Decode(h, body, V5); err != nil || !reflect.DeepEqual(p, want) {
			t.Errorf("got %+v, want %+v, %v", p, want, err)
		}
	}
}

// TestPublishDup31 checks that DUP at QoS 0 is ignored where MQTT 3.1 does not forbid it [MQTT-3.3.1-2].
func TestPublishDup31(t *testing.T) {
	h, body := split(t, "\x38\x03\x00\x01t")
	var p Publish
	if err := p.Decode(h, body, V31); err != nil || p.Dup {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestPublishHeader checks that a header and a payload of the length it was told are the packet.
func TestPublishHeader(t *testing.T) {
	for _, g := range publishes {
		p := g.packet.(*Publish)
		bare := *p
		bare.Payload = nil
		out, err := bare.AppendHeader(nil, len(p.Payload), g.v)
		if err != nil || string(out)+string(p.Payload) != g.wire {
			t.Errorf("%s: %q, %v", g.name, out, err)
		}
	}
}

// device is a PUBLISH as devices send it: 128 bytes of payload.
func device(qos QoS) *Publish {
	p := &Publish{QoS: qos, Topic: []byte("te/device/main/meas/é"), Payload: []byte(strings.Repeat("x", 128))}
	if qos > 0 {
		p.PacketID = 1234
	}
	return p
}

// TestPublishAllocations checks that PUBLISH is decoded into a packet and appended to a buffer that are there
// without any allocation; only user properties and subscription identifiers cost some.
func TestPublishAllocations(t *testing.T) {
	full := device(2)
	full.Properties = publishes[len(publishes)-1].packet.(*Publish).Properties
	full.Properties.SubscriptionIDs = nil
	full.Properties.Message.UserProperties = nil
	for name, x := range map[string]struct {
		v Version
		p *Publish
	}{
		"3.1 QoS 1": {V31, device(1)}, "3.1.1 QoS 0": {V311, device(0)}, "3.1.1 QoS 1": {V311, device(1)},
		"5.0 QoS 1": {V5, device(1)}, "5.0 with properties": {V5, full},
	} {
		t.Run(name, func(t *testing.T) {
			wire, err := x.p.Append(nil, x.v)
			if err != nil {
				t.Fatal(err)
			}
			h, body := split(t, string(wire))
			var p Publish
			if n := testing.AllocsPerRun(100, func() { err = p.Decode(h, body, x.v) }); n != 0 || err != nil {
				t.Errorf("Decode allocates %v times, %v", n, err)
			}
			buf := make([]byte, 0, len(wire))
			if n := testing.AllocsPerRun(100, func() { _, err = x.p.Append(buf, x.v) }); n != 0 || err != nil {
				t.Errorf("Append allocates %v times, %v", n, err)
			}
			if n := testing.AllocsPerRun(100, func() { err = p.Decode(h, body[:1], x.v) }); n != 0 || err == nil {
				t.Errorf("a refusal allocates %v times, %v", n, err)
			}
		})
	}
}
