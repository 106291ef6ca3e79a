package codec

import (
	"reflect"
	"strings"
	"testing"
)

var connects = []golden{
	{
		name: "least", v: V31, wire: "\x10\x0f\x00\x06MQIsdp\x03\x00\x00\x00\x00\x01c",
		packet: &Connect{Version: V31, ClientID: "c", Properties: ConnectProperties{ReceiveMaximum: 65535}},
	},
	{
		name: "least", v: V311, wire: "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
		packet: &Connect{
			Version: V311, CleanStart: true, KeepAlive: 60,
			Properties: ConnectProperties{ReceiveMaximum: 65535},
		},
	},
	{
		name: "least", v: V5, wire: "\x10\x0d\x00\x04MQTT\x05\x00\x00\x00\x00\x00\x00",
		packet: &Connect{Version: V5, Properties: ConnectProperties{ReceiveMaximum: 65535}},
	},
	{
		name: "all", v: V31, ends: []int{15 + 2 + 3 + 2 + 2, 15 + 2 + 3 + 2 + 2 + 3},
		wire: "\x10\x1f\x00\x06MQIsdp\x03\xee\x00\x0a\x00\x01c\x00\x03w/t\x00\x02hi\x00\x01u\x00\x02pw",
		packet: &Connect{
			Version: V31, CleanStart: true, KeepAlive: 10, ClientID: "c",
			Will:        &Will{QoS: 1, Retain: true, Topic: "w/t", Payload: []byte("hi")},
			HasUsername: true, Username: "u", HasPassword: true, Password: []byte("pw"),
			Properties: ConnectProperties{ReceiveMaximum: 65535},
		},
	},
	{
		name: "all", v: V311,
		wire: "\x10\x1f\x00\x04MQTT\x04\xf6\x00\x0a\x00\x01c\x00\x03w/t\x00\x02\xff\x00\x00\x01u\x00\x04\x00\xffpw",
		packet: &Connect{
			Version: V311, CleanStart: true, KeepAlive: 10, ClientID: "c",
			Will:        &Will{QoS: 2, Retain: true, Topic: "w/t", Payload: []byte("\xff\x00")},
			HasUsername: true, Username: "u", HasPassword: true, Password: []byte("\x00\xffpw"),
			Properties: ConnectProperties{ReceiveMaximum: 65535},
		},
	},
	{
		name: "password without user name", v: V5, wire: "\x10\x0f\x00\x04MQTT\x05\x40\x00\x00\x00\x00\x00\x00\x00",
		packet: &Connect{
			Version: V5, HasPassword: true, Password: []byte{},
			Properties: ConnectProperties{ReceiveMaximum: 65535},
		},
	},
	{
		name: "all", v: V5,
		wire: "\x10\x6f\x00\x04MQTT\x05\xce\xff\xff" +
			"\x29\x11\xff\xff\xff\xff\x21\x00\x0a\x27\x00\x01\x00\x00\x22\x00\x05\x19\x01\x17\x00\x15\x00\x01m\x16\x00\x01d" + usersWire +
			"\x00\x01c" +
			"\x2b\x18\x00\x00\x00\x1e\x01\x01\x02\x00\x00\x00\x3c\x03\x00\x04text\x08\x00\x03r/t\x09\x00\x02\x00\xff" + usersWire +
			"\x00\x01w\x00\x00" + "\x00\x01u\x00\x02pw",
		packet: &Connect{
			Version: V5, CleanStart: true, KeepAlive: 65535, ClientID: "c",
			Will: &Will{
				QoS: 1, Topic: "w", Payload: []byte{},
				Properties: WillProperties{DelayInterval: 30, Message: MessageProperties{
					PayloadFormat: 1, HasPayloadFormat: true, MessageExpiry: 60, HasMessageExpiry: true,
					ContentType: []byte("text"), ResponseTopic: []byte("r/t"), CorrelationData: []byte("\x00\xff"),
					UserProperties: users,
				}},
			},
			HasUsername: true, Username: "u", HasPassword: true, Password: []byte("pw"),
			Properties: ConnectProperties{
				SessionExpiry: 0xFFFFFFFF, ReceiveMaximum: 10, MaximumPacketSize: 65536, TopicAliasMaximum: 5,
				RequestResponseInfo: true, NoProblemInfo: true, UserProperties: users,
				AuthenticationMethod: "m", HasAuthMethod: true, AuthenticationData: []byte("d"),
			},
		},
	},
}

// connect311 and connect5 frame a CONNECT with these flags and what follows the keep alive.
func connect311(flags byte, rest string) string {
	return frame(0x10, "\x00\x04MQTT\x04"+string([]byte{flags})+"\x00\x00"+rest)
}

func connect5(flags byte, rest string) string {
	return frame(0x10, "\x00\x04MQTT\x05"+string([]byte{flags})+"\x00\x00"+rest)
}

func connect31(flags byte, rest string) string {
	return frame(0x10, "\x00\x06MQIsdp\x03"+string([]byte{flags})+"\x00\x00"+rest)
}

var badConnects = []illegal{
	{"unknown name", V5, frame(0x10, "\x00\x04HTTP\x05\x00\x00\x00\x00\x00\x00"), ProtocolError, "MQTT-3.1.2-1"},
	{"name in small letters", V5, frame(0x10, "\x00\x04mqtt\x05\x00\x00\x00\x00\x00\x00"), ProtocolError, "MQTT-3.1.2-1"},
	{"name cut", V5, frame(0x10, "\x00\x06MQTT"), MalformedPacket, ""},
	{"level missing", V5, frame(0x10, "\x00\x04MQTT"), MalformedPacket, ""},
	{"MQTT level 3", V5, frame(0x10, "\x00\x04MQTT\x03\x00\x00\x00\x00\x00\x00"), UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"MQTT level 6", V5, frame(0x10, "\x00\x04MQTT\x06"), UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"MQIsdp level 4", V5, frame(0x10, "\x00\x06MQIsdp\x04\x00\x00\x00\x00\x01c"), UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"header flags", V311, frame(0x11, "\x00\x04MQTT\x04\x00\x00\x00\x00\x00"), MalformedPacket, "MQTT-2.2.2-2"},
	{"header flags", V5, frame(0x18, "\x00\x04MQTT\x05\x00\x00\x00\x00\x00\x00"), MalformedPacket, "MQTT-2.1.3-1"},
	{"reserved flag", V311, connect311(0x01, "\x00\x00"), MalformedPacket, "MQTT-3.1.2-3"},
	{"reserved flag", V5, connect5(0x01, "\x00\x00\x00"), MalformedPacket, "MQTT-3.1.2-3"},
	{"will QoS 3", V31, connect31(0x1c, "\x00\x01c\x00\x01w\x00\x00"), MalformedPacket, ""},
	{"will QoS 3", V311, connect311(0x1c, "\x00\x01c\x00\x01w\x00\x00"), MalformedPacket, "MQTT-3.1.2-14"},
	{"will QoS 3", V5, connect5(0x1c, "\x00\x00\x01c\x00\x00\x01w\x00\x00"), MalformedPacket, "MQTT-3.1.2-12"},
	{"will QoS without will", V311, connect311(0x08, "\x00\x01c"), MalformedPacket, "MQTT-3.1.2-13"},
	{"will QoS without will", V5, connect5(0x10, "\x00\x00\x01c"), MalformedPacket, "MQTT-3.1.2-11"},
	{"will retain without will", V311, connect311(0x20, "\x00\x01c"), MalformedPacket, "MQTT-3.1.2-15"},
	{"will retain without will", V5, connect5(0x20, "\x00\x00\x01c"), MalformedPacket, "MQTT-3.1.2-13"},
	{"will missing", V311, connect311(0x04, "\x00\x01c"), MalformedPacket, ""},
	{"will topic empty", V311, connect311(0x04, "\x00\x01c\x00\x00\x00\x00"), ProtocolError, "MQTT-4.7.3-1"},
	{"will topic empty", V5, connect5(0x04, "\x00\x00\x01c\x00\x00\x00\x00\x00"), ProtocolError, "MQTT-4.7.3-1"},
	{"will topic with wildcard", V31, connect31(0x04, "\x00\x01c\x00\x01#\x00\x00"), ProtocolError, ""},
	{"will topic with wildcard", V311, connect311(0x04, "\x00\x01c\x00\x01#\x00\x00"), ProtocolError, "MQTT-4.7.1-1"},
	{"will topic with wildcard", V5, connect5(0x04, "\x00\x00\x01c\x00\x00\x03a/+\x00\x00"), ProtocolError, "MQTT-4.7.0-1"},
	{"will topic not UTF-8", V5, connect5(0x04, "\x00\x00\x01c\x00\x00\x01\xff\x00\x00"), MalformedPacket, "MQTT-1.5.4-1"},
	{"will response topic", V5, connect5(0x04, "\x00\x00\x01c\x04\x08\x00\x01#\x00\x01w\x00\x00"), ProtocolError, "MQTT-3.3.2-14"},
	{"user name missing", V311, connect311(0x80, "\x00\x01c"), MalformedPacket, ""},
	{"user name missing", V5, connect5(0x80, "\x00\x00\x01c"), MalformedPacket, ""},
	{"user name not UTF-8", V311, connect311(0x80, "\x00\x01c\x00\x01\x80"), MalformedPacket, "MQTT-1.5.3-1"},
	{"user name cut", V31, connect31(0x80, "\x00\x01c\x00"), MalformedPacket, ""},
	{"password missing", V311, connect311(0xc0, "\x00\x01c\x00\x01u"), MalformedPacket, ""},
	{"password without user name", V311, connect311(0x40, "\x00\x01c\x00\x01p"), MalformedPacket, "MQTT-3.1.2-22"},
	{"client identifier missing", V311, connect311(0, ""), MalformedPacket, ""},
	{"client identifier with U+0000", V311, connect311(0, "\x00\x01\x00"), MalformedPacket, "MQTT-1.5.3-2"},
	{"client identifier with U+0000", V5, connect5(0, "\x00\x00\x01\x00"), MalformedPacket, "MQTT-1.5.4-2"},
	{"client identifier with a surrogate", V5, connect5(0, "\x00\x00\x03\xed\xa0\x80"), MalformedPacket, "MQTT-1.5.4-1"},
	{"trailing byte", V31, connect31(0, "\x00\x01cx"), MalformedPacket, ""},
	{"trailing byte", V311, connect311(0, "\x00\x01cx"), MalformedPacket, ""},
	{"user name without its flag", V5, connect5(0, "\x00\x00\x01c\x00\x01u"), MalformedPacket, ""},
	{"authentication data alone", V5, connect5(0, "\x04\x16\x00\x01d\x00\x01c"), ProtocolError, ""},
	{"properties larger than the packet", V5, connect5(0, "\x10\x00\x01c"), MalformedPacket, ""},
	{"property length not minimal", V5, connect5(0, "\x80\x00\x00\x01c"), MalformedPacket, "MQTT-1.5.5-1"},
}

func TestConnect(t *testing.T)        { testGolden(t, connects) }
func TestConnectIllegal(t *testing.T) { testIllegal(t, badConnects) }

func FuzzConnect(f *testing.F) { fuzzPacket(f, []Type{CONNECT}, connects, badConnects) }

func TestConnectUnwritable(t *testing.T) {
	long := strings.Repeat("a", 1<<16)
	will := func(w Will) *Connect { return &Connect{Will: &w} }
	testUnwritable(t, []unwritable{
		{"unknown version", 6, &Connect{}, ProtocolError, ""},
		{"another version", V5, &Connect{Version: V311}, ProtocolError, ""},
		{"password without user name", V311, &Connect{HasPassword: true}, MalformedPacket, "MQTT-3.1.2-22"},
		{"properties", V311, &Connect{Properties: ConnectProperties{SessionExpiry: 1}}, ProtocolError, ""},
		{"properties", V31, &Connect{Properties: ConnectProperties{UserProperties: users}}, ProtocolError, ""},
		{"authentication data alone", V5, &Connect{Properties: ConnectProperties{AuthenticationData: []byte{}}}, ProtocolError, ""},
		{"client identifier too long", V5, &Connect{ClientID: long}, PacketTooLarge, ""},
		{"client identifier with U+0000", V311, &Connect{ClientID: "\x00"}, MalformedPacket, "MQTT-1.5.3-2"},
		{"password too long", V5, &Connect{HasPassword: true, Password: []byte(long)}, PacketTooLarge, ""},
		{"will QoS", V5, will(Will{QoS: 3, Topic: "t"}), MalformedPacket, "MQTT-3.1.2-12"},
		{"will QoS", V311, will(Will{QoS: 4, Topic: "t"}), MalformedPacket, "MQTT-3.1.2-14"},
		{"will topic empty", V5, will(Will{}), ProtocolError, "MQTT-4.7.3-1"},
		{"will topic with wildcard", V311, will(Will{Topic: "a/#"}), ProtocolError, "MQTT-4.7.1-1"},
		{"will properties", V311, will(Will{Topic: "t", Properties: WillProperties{DelayInterval: 1}}), ProtocolError, ""},
		{
			"payload format", V5,
			will(Will{Topic: "t", Properties: WillProperties{Message: MessageProperties{HasPayloadFormat: true, PayloadFormat: 2}}}),
			ProtocolError, "",
		},
		{
			"response topic", V5,
			will(Will{Topic: "t", Properties: WillProperties{Message: MessageProperties{ResponseTopic: []byte("+")}}}),
			ProtocolError, "MQTT-3.3.2-14",
		},
		{
			"content type", V5,
			will(Will{Topic: "t", Properties: WillProperties{Message: MessageProperties{ContentType: []byte("\xff")}}}),
			MalformedPacket, "MQTT-1.5.4-1",
		},
	})
}

// TestConnectLenient31 checks that MQTT 3.1 reserves nothing, and that its remaining length takes precedence over the
// flags of user name and password.
func TestConnectLenient31(t *testing.T) {
	least := ConnectProperties{ReceiveMaximum: 65535}
	for name, x := range map[string]struct {
		wire string
		want Connect
	}{
		"reserved flag":              {connect31(0x01, "\x00\x01c"), Connect{}},
		"will flags without will":    {connect31(0x38, "\x00\x01c"), Connect{}},
		"header flags":               {"\x1f" + connect31(0, "\x00\x01c")[1:], Connect{}},
		"user name missing":          {connect31(0x80, "\x00\x01c"), Connect{}},
		"both missing":               {connect31(0xc0, "\x00\x01c"), Connect{}},
		"password missing":           {connect31(0xc0, "\x00\x01c\x00\x01u"), Connect{HasUsername: true, Username: "u"}},
		"password without user name": {connect31(0x40, "\x00\x01c\x00\x01p"), Connect{HasPassword: true, Password: []byte("p")}},
	} {
		t.Run(name, func(t *testing.T) {
			h, body := split(t, x.wire)
			var got Connect
			if err := got.Decode(h, body, V5); err != nil {
				t.Fatal(err)
			}
			x.want.Version, x.want.ClientID, x.want.Properties = V31, "c", least
			if !reflect.DeepEqual(got, x.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestConnectVersionAfterError checks that who refuses a CONNECT knows in which version to say so [MQTT-3.1.2-2].
func TestConnectVersionAfterError(t *testing.T) {
	for wire, want := range map[string]Connect{
		frame(0x10, "\x00\x04HTTP\x05\x00"):              {},
		frame(0x10, "\x00\x04MQTT\x07\x02\x00\x0a"):      {Version: 7},
		frame(0x10, "\x00\x06MQIsdp\x83\x02\x00\x0a..."): {Version: 0x83},
	} {
		h, body := split(t, wire)
		got := Connect{ClientID: "old"}
		if err := got.Decode(h, body, V5); err == nil {
			t.Errorf("%q was decoded", wire)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v", wire, got)
		}
	}
	h, body := split(t, connect311(0x01, "\x00\x00"))
	var got Connect
	if err := got.Decode(h, body, V5); err == nil || got.Version != V311 {
		t.Errorf("got version %v, %v", got.Version, err)
	}
}

// TestConnectCopies checks that a CONNECT outlives the body it came from.
func TestConnectCopies(t *testing.T) {
	all := connects[len(connects)-1]
	h, body := split(t, all.wire)
	var got Connect
	if err := got.Decode(h, body, V5); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if !reflect.DeepEqual(&got, all.packet) {
		t.Errorf("got %+v", got)
	}
}

// TestConnectDefaults checks that what equals its default is left out, and that zero values can be sent.
func TestConnectDefaults(t *testing.T) {
	for _, v := range versions {
		for _, maximum := range []uint16{0, 65535} {
			c := Connect{ClientID: "c", Properties: ConnectProperties{ReceiveMaximum: maximum}}
			wire, err := c.Append(nil, v)
			if err != nil {
				t.Fatal(err)
			}
			h, body := split(t, string(wire))
			var back Connect
			if err := back.Decode(h, body, v); err != nil || back.Version != v || back.Properties.ReceiveMaximum != 65535 {
				t.Errorf("%v: %+v, %v", v, back, err)
			}
		}
	}
}
