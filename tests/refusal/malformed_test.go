package refusal

import (
	"fmt"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// What is malformed, or must not come, after CONNACK: 3.x is closed, 5 gets a DISCONNECT with the specification's code.
func TestFaultyPackets(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": ""})})
	inEach(t, w, "answers to nothing", answersToNothing)
	all := []codec.Version{codec.V31, codec.V311, codec.V5}
	later := all[1:] // 3.1 has no reserved bits
	five := all[2:]
	topic := func(flags byte, name string, rest ...byte) []byte {
		return framed(0x30|flags, append(append([]byte{0, byte(len(name))}, name...), rest...)...)
	}
	for i, one := range []struct {
		what     string
		versions []codec.Version
		bytes    []byte
		code     codec.ReasonCode
	}{
		{"type 0", all, framed(0x00), 0x81},
		{"a fifth byte of remaining length", all, []byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 0x81},
		{"a second CONNECT [MQTT-3.1.0-2]", all, nil, 0x82},
		{"CONNACK", all[:2], framed(0x20, 0, 0), 0x82},
		{"CONNACK", five, framed(0x20, 0, 0, 0), 0x82},
		{"SUBACK", all[:2], framed(0x90, 0, 1, 0), 0x82},
		{"SUBACK", five, framed(0x90, 0, 1, 0, 0), 0x82},
		{"UNSUBACK", all[:2], framed(0xB0, 0, 1), 0x82},
		{"PINGRESP", all, framed(0xD0), 0x82},
		{"AUTH without a method", five, framed(0xF0), 0x82},
		{"type 15", all[:2], framed(0xF0), 0x81},
		{"PINGREQ with a body", all, framed(0xC0, 1), 0x81},
		{"PINGREQ with reserved flags", later, framed(0xC1), 0x81},
		{"PUBLISH with QoS 3 [MQTT-3.3.1-4]", all, topic(6, "a", 0, 1), 0x81},
		{"PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2]", later, topic(8, "a", 0), 0x81},
		{"PUBLISH with packet identifier 0", all, topic(2, "a", 0, 0, 0), 0x82},
		{"PUBLISH without a packet identifier", all, topic(2, "a"), 0x81},
		{"PUBLISH with a topic longer than the packet", all, framed(0x30, 0, 5, 'a'), 0x81},
		{"PUBLISH without a topic", all, topic(0, "", 0), 0x82},
		{"PUBLISH to + [MQTT-3.3.2-2]", all, topic(0, "a/+", 0), 0x82},
		{"PUBLISH to # [MQTT-3.3.2-2]", all, topic(0, "#", 0), 0x82},
		{"PUBLISH to a topic with U+0000", all, topic(0, "a\x00b", 0), 0x81},
		{"PUBLISH to a topic with a surrogate", all, topic(0, "a\xED\xA0\x80", 0), 0x81},
		{"PUBLISH to a topic that is not UTF-8", all, topic(0, "a\xFF", 0), 0x81},
		{"PUBLISH to an overlong form", all, topic(0, "a\xC0\xAF", 0), 0x81},
		{"PUBLISH with a property that it has not", five, topic(0, "a", 2, 0x24, 1), 0x81},
		{"PUBLISH with a property twice", five, topic(0, "a", 4, 0x01, 1, 0x01, 1), 0x82},
		{"PUBLISH with properties beyond its end", five, topic(0, "a", 9, 0x01, 1), 0x81},
		{"PUBLISH with Topic Alias 0 [MQTT-3.3.2-8]", five, topic(0, "a", 3, 0x23, 0, 0), 0x94},
		{"PUBLISH with a wildcard in the Response Topic", five, topic(0, "a", 4, 0x08, 0, 1, '#'), 0x82},
		{"SUBSCRIBE with reserved flags [MQTT-3.8.1-1]", later, framed(0x80, 0, 1, 0, 1, 'a', 0), 0x81},
		{"SUBSCRIBE without a filter [MQTT-3.8.3-3]", all[:2], framed(0x82, 0, 1), 0x82},
		{"SUBSCRIBE without a filter [MQTT-3.8.3-2]", five, framed(0x82, 0, 1, 0), 0x82},
		{"SUBSCRIBE at QoS 3 [MQTT-3.8.3-4]", all[:2], framed(0x82, 0, 1, 0, 1, 'a', 3), 0x81},
		{"SUBSCRIBE at QoS 3", five, framed(0x82, 0, 1, 0, 0, 1, 'a', 3), 0x82},
		{"SUBSCRIBE with reserved options [MQTT-3.8.3-5]", five, framed(0x82, 0, 1, 0, 0, 1, 'a', 0xC0), 0x81},
		{"SUBSCRIBE with retain handling 3", five, framed(0x82, 0, 1, 0, 0, 1, 'a', 0x30), 0x82},
		{"SUBSCRIBE with No Local on a shared one", five, framed(0x82, append([]byte{0, 1, 0, 0, 10}, "$share/g/a\x05"...)...), 0x82},
		{"SUBSCRIBE with packet identifier 0", all[:2], framed(0x82, 0, 0, 0, 1, 'a', 0), 0x82},
		{"SUBSCRIBE with Subscription Identifier 0", five, framed(0x82, 0, 1, 2, 0x0B, 0, 0, 1, 'a', 0), 0x82},
		{"SUBSCRIBE without options", all[:2], framed(0x82, 0, 1, 0, 1, 'a'), 0x81},
		{"UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", all[:2], framed(0xA2, 0, 1), 0x82},
		{"UNSUBSCRIBE with reserved flags", later, framed(0xA0, 0, 1, 0, 1, 'a'), 0x81},
		{"PUBACK with packet identifier 0", all, framed(0x40, 0, 0), 0x82},
		{"PUBACK of one byte", all, framed(0x40, 0), 0x81},
		{"PUBACK with a code that it has not", five, framed(0x40, 0, 1, 0x04), 0x82},
		{"DISCONNECT with reserved flags [MQTT-3.14.1-1]", later, framed(0xE1), 0x81},
		{"DISCONNECT with a code that it has not", five, framed(0xE0, 0x01), 0x82},
		{"DISCONNECT with a body", all[:2], framed(0xE0, 0), 0x81},
	} {
		for _, v := range one.versions {
			t.Run(fmt.Sprintf("%s/%s", one.what, v), func(t *testing.T) {
				t.Parallel()
				id := fmt.Sprintf("faulty-%d-%s", i, v)
				c := login(t, w, v, "acme/dev", id)
				if one.bytes == nil {
					c.Send(connect("acme/dev", id))
				} else {
					c.SendBytes(one.bytes)
				}
				r := reason.MalformedPacket
				switch one.code {
				case codec.ProtocolError:
					r = reason.ProtocolError
				case codec.TopicAliasInvalid:
					r = reason.TopicAlias
				}
				ended(t, c, one.code, r)
			})
		}
	}
}

// Answers to nothing are no faults.
func answersToNothing(t *testing.T, w *weirtest.Weir, v codec.Version) {
	c := login(t, w, v, "acme/dev", "answers-"+v.String())
	c.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: 77})
	ping(c)
	c.Send(&codec.Ack{Kind: codec.PUBREL, PacketID: 77})
	ack := weirtest.Expect[*codec.Ack](c)
	if want := (codes{0, 0x92}).of(v); ack.Kind != codec.PUBCOMP || ack.PacketID != 77 || ack.Code != want {
		t.Errorf("%s %d 0x%02X, want PUBCOMP 77 0x%02X", ack.Kind, ack.PacketID, ack.Code, want)
	}
	ping(c)
}
