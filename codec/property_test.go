package codec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// carriers are the packets with properties, and the properties that table 2-4 allows them.
var carriers = []struct {
	name  string
	frame func(properties string) string
	ids   []propertyID
}{
	{
		"CONNECT", func(p string) string { return connect5(0, p+"\x00\x00") },
		[]propertyID{0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27},
	},
	{
		"will", func(p string) string { return connect5(0x04, "\x00\x00\x00"+p+"\x00\x01w\x00\x00") },
		[]propertyID{0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26},
	},
	{
		"CONNACK", func(p string) string { return frame(0x20, "\x00\x00"+p) },
		[]propertyID{0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A},
	},
	{
		"PUBLISH", func(p string) string { return frame(0x30, "\x00\x01t"+p) },
		[]propertyID{0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26},
	},
	{"PUBACK", func(p string) string { return frame(0x40, "\x00\x01\x00"+p) }, []propertyID{0x1F, 0x26}},
	{"PUBREC", func(p string) string { return frame(0x50, "\x00\x01\x00"+p) }, []propertyID{0x1F, 0x26}},
	{"PUBREL", func(p string) string { return frame(0x62, "\x00\x01\x00"+p) }, []propertyID{0x1F, 0x26}},
	{"PUBCOMP", func(p string) string { return frame(0x70, "\x00\x01\x00"+p) }, []propertyID{0x1F, 0x26}},
	{"SUBSCRIBE", func(p string) string { return frame(0x82, "\x00\x01"+p+"\x00\x01a\x00") }, []propertyID{0x0B, 0x26}},
	{"SUBACK", func(p string) string { return frame(0x90, "\x00\x01"+p+"\x00") }, []propertyID{0x1F, 0x26}},
	{"UNSUBSCRIBE", func(p string) string { return frame(0xA2, "\x00\x01"+p+"\x00\x01a") }, []propertyID{0x26}},
	{"UNSUBACK", func(p string) string { return frame(0xB0, "\x00\x01"+p+"\x00") }, []propertyID{0x1F, 0x26}},
	{"DISCONNECT", func(p string) string { return frame(0xE0, "\x00"+p) }, []propertyID{0x11, 0x1C, 0x1F, 0x26}},
	{"AUTH", func(p string) string { return frame(0xF0, "\x18"+p) }, []propertyID{0x15, 0x16, 0x1F, 0x26}},
}

// values are one legal value of every property.
var values = map[propertyID]string{
	0x01: "\x01", 0x02: "\x00\x00\x00\x00", 0x03: "\x00\x00", 0x08: "\x00\x01r", 0x09: "\x00\x00", 0x0B: "\x80\x01",
	0x11: "\x00\x00\x00\x01", 0x12: "\x00\x01c", 0x13: "\x00\x00", 0x15: "\x00\x01m", 0x16: "\x00\x01\x00", 0x17: "\x01",
	0x18: "\x00\x00\x00\x01", 0x19: "\x00", 0x1A: "\x00\x01i", 0x1C: "\x00\x01s", 0x1F: "\x00\x01r", 0x21: "\x00\x01",
	0x22: "\x00\x00", 0x23: "\x00\x01", 0x24: "\x01", 0x25: "\x01", 0x26: "\x00\x01n\x00\x01v", 0x27: "\x00\x00\x00\x01",
	0x28: "\x00", 0x29: "\x00", 0x2A: "\x01",
}

// needs is what has to stand beside property id in packet name.
func needs(name string, id propertyID) string {
	if (name == "AUTH" || name == "CONNECT" && id == idAuthData) && id != idAuthMethod {
		return "\x15" + values[idAuthMethod]
	}
	return ""
}

// TestPropertyTable checks every property in every packet: once, twice, cut short, and where it does not belong.
func TestPropertyTable(t *testing.T) {
	for _, c := range carriers {
		for id := range propertyID(0x80) {
			t.Run(fmt.Sprintf("%s/%#02x", c.name, byte(id)), func(t *testing.T) {
				one := string([]byte{byte(id)}) + values[id]
				beside := needs(c.name, id)
				decode := func(list string) error {
					h, body := split(t, c.frame(string(appendVarint(nil, len(list)))+list))
					_, err := Decode(h, body, V5)
					return err
				}
				if !slices.Contains(c.ids, id) {
					checkError(t, decode(beside+one), MalformedPacket, "")
					return
				}
				if err := decode(beside + one); err != nil {
					t.Errorf("once: %v", err)
				}
				for n := 1; n < len(one); n++ {
					checkError(t, decode(beside+one[:n]), MalformedPacket, "")
				}
				twice := decode(beside + one + one)
				if id == idUserProperty || id == idSubscriptionID && c.name == "PUBLISH" {
					if twice != nil {
						t.Errorf("twice: %v", twice)
					}
					return
				}
				checkError(t, twice, ProtocolError, "")
			})
		}
	}
}

// TestPropertyRange checks the values that are of the property's type and yet not allowed.
func TestPropertyRange(t *testing.T) {
	for _, c := range carriers {
		for _, id := range c.ids {
			var bad string
			switch id {
			case idPayloadFormat, idRequestProblemInfo, idRequestResponseInfo, idMaximumQoS, idRetainAvailable,
				idWildcardAvailable, idSubscriptionIDsAvail, idSharedAvailable:
				bad = "\x02"
			case idReceiveMaximum:
				bad = "\x00\x00"
			case idMaximumPacketSize:
				bad = "\x00\x00\x00\x00"
			case idSubscriptionID:
				bad = "\x00"
			default:
				continue
			}
			t.Run(c.name+"/"+propertyTable[id].name, func(t *testing.T) {
				list := string([]byte{byte(id)}) + bad
				h, body := split(t, c.frame(string([]byte{byte(len(list))})+list))
				p, err := Decode(h, body, V5)
				if err == nil {
					t.Fatalf("decoded as %+v", p)
				}
				checkError(t, err, ProtocolError, "")
			})
		}
	}
}

// TestPropertyText checks that every string of every packet is checked [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.7-1].
func TestPropertyText(t *testing.T) {
	for _, c := range carriers {
		for _, id := range c.ids {
			for bad, statement := range map[string]string{"\xff": "MQTT-1.5.4-1", "a\x00b": "MQTT-1.5.4-2"} {
				lists := []string{field(bad)}
				switch propertyTable[id].kind {
				case kindText:
				case kindPair:
					lists, statement = []string{field(bad) + field("v"), field("n") + field(bad)}, "MQTT-1.5.7-1"
				default:
					continue
				}
				for _, list := range lists {
					list = needs(c.name, id) + string([]byte{byte(id)}) + list
					h, body := split(t, c.frame(string([]byte{byte(len(list))})+list))
					p, err := Decode(h, body, V5)
					if err == nil {
						t.Fatalf("%s: decoded as %+v", c.name, p)
					}
					checkError(t, err, MalformedPacket, statement)
				}
			}
		}
	}
}

// TestPropertyLength checks properties whose length takes more than a byte.
func TestPropertyLength(t *testing.T) {
	for _, n := range []int{100, 127, 128, 16383, 16384, 60000} {
		want := &Ack{Kind: PUBACK, PacketID: 1, Code: QuotaExceeded, ReasonString: strings.Repeat("r", n)}
		wire, err := want.Append([]byte("before"), V5)
		if err != nil {
			t.Fatal(err)
		}
		h, body := split(t, string(wire[len("before"):]))
		var got Ack
		if err := got.Decode(h, body, V5); err != nil || got.ReasonString != want.ReasonString {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
