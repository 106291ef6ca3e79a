package bridge

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

// TestFaultyPacket5 has packets that a client of MQTT 5 must not send, and the DISCONNECT that each gets [MQTT-4.13.1-1].
func TestFaultyPacket5(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	good := r.connect(codec.V5, "good")
	for _, test := range []struct {
		name  string
		bytes string
		code  codec.ReasonCode
	}{
		{"packet type 0", "\x00\x00", 0x81},
		{"remaining length of five bytes", "\x30\xff\xff\xff\xff\x01", 0x81},
		{"remaining length longer than need be [MQTT-1.5.5-1]", "\xc0\x80\x00", 0x81},
		{"CONNACK", "\x20\x03\x00\x00\x00", 0x82},
		{"SUBACK", "\x90\x04\x00\x01\x00\x00", 0x82},
		{"UNSUBACK", "\xb0\x04\x00\x01\x00\x00", 0x82},
		{"PINGRESP", "\xd0\x00", 0x82},
		{"PINGREQ with a body", "\xc0\x01\x00", 0x81},
		{"PINGREQ with flags [MQTT-2.1.3-1]", "\xc1\x00", 0x81},
		{"AUTH [MQTT-4.12.0-7]", "\xf0\x00", 0x82},
		{"AUTH with a method [MQTT-4.12.0-7]", "\xf0\x06\x18\x04\x15\x00\x01x", 0x82},

		{"PUBLISH at QoS 3 [MQTT-3.3.1-4]", "\x36\x06\x00\x01a\x00\x01\x00", 0x81},
		{"PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2]", "\x38\x04\x00\x01a\x00", 0x81},
		{"PUBLISH with packet identifier 0 [MQTT-2.2.1-3]", "\x32\x06\x00\x01a\x00\x00\x00", 0x82},
		{"PUBLISH to a wildcard [MQTT-3.3.2-2]", "\x32\x08\x00\x03a/+\x00\x01\x00", 0x82},
		{"PUBLISH without a topic [MQTT-4.7.3-1]", "\x32\x05\x00\x00\x00\x01\x00", 0x82},
		{"PUBLISH to U+0000 [MQTT-1.5.4-2]", "\x32\x06\x00\x01\x00\x00\x01\x00", 0x81},
		{"PUBLISH to what is not UTF-8 [MQTT-1.5.4-1]", "\x32\x06\x00\x01\xff\x00\x01\x00", 0x81},
		{"PUBLISH with a topic alias beyond 0 [MQTT-3.3.2-9]", "\x32\x09\x00\x01a\x00\x01\x03\x23\x00\x01", 0x94},
		{"PUBLISH with a topic alias alone [MQTT-3.3.2-9]", "\x32\x08\x00\x00\x00\x01\x03\x23\x00\x01", 0x94},
		{"PUBLISH with topic alias 0 [MQTT-3.3.2-8]", "\x32\x09\x00\x01a\x00\x01\x03\x23\x00\x00", 0x94},
		{"PUBLISH with a subscription identifier [MQTT-3.3.4-6]", "\x32\x08\x00\x01a\x00\x01\x02\x0b\x01", 0x82},
		{"PUBLISH with a wildcard to answer to [MQTT-3.3.2-14]", "\x32\x0a\x00\x01a\x00\x01\x04\x08\x00\x01#", 0x82},
		{"PUBLISH with payload format 2", "\x32\x08\x00\x01a\x00\x01\x02\x01\x02", 0x82},
		{"PUBLISH with a property twice", "\x32\x0a\x00\x01a\x00\x01\x04\x01\x00\x01\x00", 0x82},
		{"PUBLISH with a property of CONNECT", "\x32\x0b\x00\x01a\x00\x01\x05\x11\x00\x00\x00\x01", 0x81},

		{"PUBACK with packet identifier 0", "\x40\x02\x00\x00", 0x82},
		{"PUBACK with flags [MQTT-2.1.3-1]", "\x42\x02\x00\x01", 0x81},
		{"PUBACK with an unknown code [MQTT-3.4.2-1]", "\x40\x03\x00\x01\x55", 0x82},
		{"PUBREC where nothing is sent at QoS 2", "\x50\x02\x00\x01", 0x82},
		{"PUBCOMP where nothing is sent at QoS 2", "\x70\x02\x00\x01", 0x82},
		{"PUBREL with flags 0 [MQTT-3.6.1-1]", "\x60\x02\x00\x01", 0x81},

		{"SUBSCRIBE without a filter [MQTT-3.8.3-2]", "\x82\x03\x00\x01\x00", 0x82},
		{"SUBSCRIBE with packet identifier 0 [MQTT-2.2.1-3]", "\x82\x07\x00\x00\x00\x00\x01a\x00", 0x82},
		{"SUBSCRIBE with flags 0 [MQTT-3.8.1-1]", "\x80\x07\x00\x01\x00\x00\x01a\x00", 0x81},
		{"SUBSCRIBE at QoS 3", "\x82\x07\x00\x01\x00\x00\x01a\x03", 0x82},
		{"SUBSCRIBE with retain handling 3", "\x82\x07\x00\x01\x00\x00\x01a\x30", 0x82},
		{"SUBSCRIBE with reserved options [MQTT-3.8.3-5]", "\x82\x07\x00\x01\x00\x00\x01a\x40", 0x81},
		{"SUBSCRIBE with No Local, shared [MQTT-3.8.3-4]", "\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x04", 0x82},
		{"SUBSCRIBE with subscription identifier 0", "\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", 0x82},
		{"SUBSCRIBE with two subscription identifiers", "\x82\x0b\x00\x01\x04\x0b\x01\x0b\x02\x00\x01a\x00", 0x82},
		{"UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", "\xa2\x03\x00\x01\x00", 0x82},
		{"UNSUBSCRIBE with packet identifier 0 [MQTT-2.2.1-3]", "\xa2\x06\x00\x00\x00\x00\x01a", 0x82},
		{"UNSUBSCRIBE with flags 0 [MQTT-3.10.1-1]", "\xa0\x06\x00\x01\x00\x00\x01a", 0x81},

		{"DISCONNECT with flags [MQTT-3.14.1-1]", "\xe1\x00", 0x81},
		{"DISCONNECT with an unknown code [MQTT-3.14.2-1]", "\xe0\x01\x55", 0x82},
		{"DISCONNECT with a session expiry that CONNECT had not", "\xe0\x07\x00\x05\x11\x00\x00\x00\x01", 0x82},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := r.connect(codec.V5, "faulty")
			c.t = t
			c.write([]byte(test.bytes))
			c.expectEnd(test.code)
		})
	}
	good.ping()
}

// TestFaultyPacket3 has packets that a client of MQTT 3.1.1 must not send: each closes the connection [MQTT-4.8.0-1]. What
// 3.1 does not reserve is legal there.
func TestFaultyPacket3(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	for _, test := range []struct {
		name    string
		bytes   string
		legal31 bool
	}{
		{"AUTH", "\xf0\x00", false},
		{"CONNACK", "\x20\x02\x00\x00", false},
		{"PINGREQ with flags [MQTT-2.2.2-2]", "\xcf\x00", true},
		{"PUBLISH at QoS 3 [MQTT-3.3.1-4]", "\x36\x05\x00\x01a\x00\x01", false},
		{"PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2]", "\x38\x03\x00\x01a", true},
		{"PUBLISH with packet identifier 0 [MQTT-2.3.1-1]", "\x32\x05\x00\x01a\x00\x00", false},
		{"PUBLISH to a wildcard [MQTT-3.3.2-2]", "\x30\x05\x00\x03a/+", false},
		{"PUBLISH to nothing [MQTT-4.7.3-1]", "\x30\x02\x00\x00", false},
		{"PUBACK with a reason code", "\x40\x03\x00\x01\x00", false},
		{"SUBSCRIBE without a filter [MQTT-3.8.3-3]", "\x82\x02\x00\x01", false},
		{"SUBSCRIBE with packet identifier 0 [MQTT-2.3.1-1]", "\x82\x06\x00\x00\x00\x01a\x00", false},
		{"SUBSCRIBE at QoS 3 [MQTT-3.8.3-4]", "\x82\x06\x00\x01\x00\x01a\x03", false},
		{"UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", "\xa2\x02\x00\x01", false},
		{"DISCONNECT with flags [MQTT-3.14.1-1]", "\xe1\x00", true},
		{"DISCONNECT with a code", "\xe0\x01\x00", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, v := range []codec.Version{codec.V31, codec.V311} {
				c := r.connect(v, "faulty")
				c.t = t
				c.write([]byte(test.bytes))
				if v == codec.V31 && test.legal31 && test.bytes[0]>>4 != byte(codec.DISCONNECT) {
					if test.bytes[0]>>4 == byte(codec.PINGREQ) {
						expect[*codec.Pingresp](c)
					}
					c.ping()
					continue
				}
				c.expectClosed()
			}
		})
	}
}

// TestFaultyConnect has what is wrong in a CONNECT beyond the table of refusals. Where the answer is closed there is none.
func TestFaultyConnect(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	five := func(flags, properties, rest string) string {
		body := "\x00\x04MQTT\x05" + flags + "\x00\x3c" + string(byte(len(properties))) + properties + rest
		return "\x10" + string(byte(len(body))) + body
	}
	for _, test := range []struct {
		name  string
		bytes string
		v     codec.Version
		code  codec.ReasonCode
	}{
		{"Receive Maximum 0", five("\x02", "\x21\x00\x00", "\x00\x00"), codec.V5, 0x82},
		{"Maximum Packet Size 0", five("\x02", "\x27\x00\x00\x00\x00", "\x00\x00"), codec.V5, 0x82},
		{"Request Problem Information 2", five("\x02", "\x17\x02", "\x00\x00"), codec.V5, 0x82},
		{"authentication data without a method", five("\x02", "\x16\x00\x01x", "\x00\x00"), codec.V5, 0x82},
		{"a property of PUBLISH", five("\x02", "\x23\x00\x01", "\x00\x00"), codec.V5, 0x81},
		{"a property of a will in CONNECT", five("\x02", "\x18\x00\x00\x00\x01", "\x00\x00"), codec.V5, 0x81},
		{"will QoS 3 [MQTT-3.1.2-12]", five("\x1e", "", "\x00\x00\x00\x00\x01w\x00\x00"), codec.V5, 0x81},
		{"will QoS without a will [MQTT-3.1.2-11]", five("\x0a", "", "\x00\x00"), codec.V5, 0x81},
		{"will retain without a will [MQTT-3.1.2-13]", five("\x22", "", "\x00\x00"), codec.V5, 0x81},
		{"will topic with a wildcard", five("\x06", "", "\x00\x00\x00\x00\x01#\x00\x00"), codec.V5, 0x82},
		{"client identifier with U+0000 [MQTT-1.5.4-2]", five("\x02", "", "\x00\x01\x00"), codec.V5, 0x81},
		{"bytes behind the last field", five("\x02", "", "\x00\x00\x00"), codec.V5, 0x81},
		{"a user name that is not there", five("\x82", "", "\x00\x00"), codec.V5, 0x81},
		{"a password alone", five("\x42", "", "\x00\x01x\x00\x06secret"), codec.V5, 0x86},
		{"a user name alone", five("\x82", "", "\x00\x01x\x00\x0bacme/device"), codec.V5, 0x86},
		{"fixed header flags [MQTT-2.1.3-1]", "\x11" + five("\x02", "", "\x00\x00")[1:], codec.V5, 0x81},
		{"a password alone in 3.1.1 [MQTT-3.1.2-22]", "\x10\x15\x00\x04MQTT\x04\x42\x00\x3c\x00\x01x\x00\x06secret", codec.V311, closed},
		{"a user name alone in 3.1.1", "\x10\x1a\x00\x04MQTT\x04\x82\x00\x3c\x00\x01x\x00\x0bacme/device", codec.V311, 5},
		{"a user name that is not there in 3.1", "\x10\x0f\x00\x06MQIsdp\x03\xc2\x00\x3c\x00\x01x", codec.V31, 5},
		{"MQTT at level 3", "\x10\x0c\x00\x04MQTT\x03\x02\x00\x3c\x00\x00", codec.V311, 1},
		{"MQIsdp at level 4", "\x10\x0e\x00\x06MQIsdp\x04\x02\x00\x3c\x00\x00", codec.V31, 1},
		{"MQIsdp at level 5", "\x10\x0e\x00\x06MQIsdp\x05\x02\x00\x3c\x00\x00", codec.V31, 1},
		{"a protocol name in other letters", "\x10\x0c\x00\x04mqtt\x04\x02\x00\x3c\x00\x00", codec.V311, closed},
	} {
		t.Run(test.name, func(t *testing.T) {
			expectConnack(t, r, test.v, []byte(test.bytes), test.code)
		})
	}
}

// TestLongClientIdentifier31: the limit is the tenant's, not the 23 bytes of MQTT 3.1.
func TestLongClientIdentifier31(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	r.connect(codec.V31, strings.Repeat("x", 128)).ping()
	expectRefused(t, r, codec.V31, hello(strings.Repeat("x", 129)), 2)
}

// TestPacketIdentifierInUse: a client that uses an identifier again before its PUBACK, as one of 3.1 does that repeats a
// message, gets a PUBACK for each; none is lost.
func TestPacketIdentifierInUse(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	each(t, func(t *testing.T, v codec.Version) {
		topic := "again/" + v.String()
		sub, c := r.connect(v, "sub"), r.connect(v, "me")
		sub.t, c.t = t, t
		sub.mustSubscribe(topic, 1)
		again := publish(topic, 1, 5, "one")
		again.Dup = true
		c.send(publish(topic, 1, 5, "one"), again, publish(topic, 1, 5, "two"))
		for range 3 {
			if ack := expect[*codec.Ack](c); ack.PacketID != 5 || ack.Code != codec.Success {
				t.Errorf("got %s", show(ack))
			}
		}
		for _, want := range []string{"one", "one", "two"} {
			if p := sub.receive(); string(p.Payload) != want || p.Dup {
				t.Errorf("got %s, want %s", show(p), want)
			}
		}
	})
}

// TestMaximumPacketSize: no packet is larger than the client takes. A message that is counts as delivered, and leaves the
// window free for the next [MQTT-3.1.2-24] [MQTT-3.1.2-25].
func TestMaximumPacketSize(t *testing.T) {
	const (
		size   = 50
		header = 2 + 3 + 2 + 1 // of a PUBLISH to "a" without properties
	)
	r := newRig(t, tenant.Quotas{}, nil)
	sub := r.connect(codec.V5, "sub", func(p *codec.Connect) {
		p.Properties.MaximumPacketSize, p.Properties.ReceiveMaximum = size, 1
	})
	sub.mustSubscribe("a", 1)
	pub := r.connect(codec.V5, "pub")
	pub.mustPublish("a", 1, strings.Repeat("x", size-header+1))
	pub.mustPublish("a", 2, strings.Repeat("y", size-header))
	if p := sub.receive(); len(p.Payload) != size-header || p.Payload[0] != 'y' {
		t.Errorf("got %s", show(p))
	}
	// Reason strings that do not fit are left out [MQTT-3.9.2-1] [MQTT-3.4.2-2] [MQTT-3.14.2-3].
	if ack := sub.subscribe("$share/g/a", 0); ack.Codes[0] != 0x9E || ack.ReasonString != "" {
		t.Errorf("got %s", show(ack))
	}
	if ack := sub.publish("$SYS/x", 1, ""); ack.Code != 0x90 || ack.ReasonString != "" {
		t.Errorf("got %s", show(ack))
	}
	sub.send(publish("a", 2, 1, ""))
	if d := expect[*codec.Disconnect](sub); d.Code != 0x9B || d.ReasonString != "" {
		t.Errorf("got %s", show(d))
	}
}

// TestSubscriptionOptions5: the options of a subscription that retained messages would mind are accepted.
func TestSubscriptionOptions5(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c := r.connect(codec.V5, "me")
	for handling := range byte(3) {
		c.send(&codec.Subscribe{PacketID: 3, Subscriptions: []codec.Subscription{
			{Filter: "a", QoS: 1, RetainAsPublished: true, RetainHandling: handling},
		}})
		if ack := expect[*codec.Suback](c); ack.Codes[0] != codec.GrantedQoS1 {
			t.Errorf("retain handling %d: got %s", handling, show(ack))
		}
	}
	c.send(publish("a", 0, 0, "x"))
	if p := c.receive(); p.Retain {
		t.Errorf("got RETAIN set on a message that was published without [MQTT-3.3.1-13]")
	}
}

// TestWillProperties: a will arrives as the client gave it, and at once: the session ends with its connection, whatever
// the will delay [MQTT-3.1.2-8] [MQTT-3.1.3-9].
func TestWillProperties(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	sub := r.connect(codec.V5, "sub")
	sub.mustSubscribe("will", 1)
	for name, change := range map[string]func(*codec.Connect){
		"clean start": func(*codec.Connect) {},
		"session expiry, answered with 0": func(p *codec.Connect) {
			p.CleanStart, p.Properties.SessionExpiry = false, 3600
		},
	} {
		t.Run(name, func(t *testing.T) {
			sub.t = t
			will := &codec.Will{Topic: "will", QoS: 1, Payload: []byte("gone\x00\xff")}
			will.Properties = codec.WillProperties{DelayInterval: 1000, Message: codec.MessageProperties{
				PayloadFormat: 1, HasPayloadFormat: true, MessageExpiry: 1000, HasMessageExpiry: true,
				ContentType: []byte("text/plain"), ResponseTopic: []byte("answers/here"), CorrelationData: []byte{0, 1, 255},
				UserProperties: []codec.UserProperty{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}, {Name: "b", Value: "2"}},
			}}
			c := r.connect(codec.V5, "mortal", change, func(p *codec.Connect) { p.Will = will })
			_ = c.conn.Close()
			got := sub.receive()
			if e := got.Properties.Message.MessageExpiry; e > 1000 || e < 900 {
				t.Errorf("expiry %d", e)
			}
			got.Properties.Message.MessageExpiry = 1000
			want := codec.PublishProperties{Message: will.Properties.Message}
			if d := cmp.Diff(want, got.Properties); d != "" || string(got.Payload) != "gone\x00\xff" || got.QoS != 1 {
				t.Errorf("got %s, properties (-want +got):\n%s", show(got), d)
			}
		})
	}
}

// TestTopicAliasOfClient: a client's Topic Alias Maximum binds nobody to use it.
func TestTopicAliasOfClient(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c := r.connect(codec.V5, "me", func(p *codec.Connect) { p.Properties.TopicAliasMaximum = 10 })
	c.mustSubscribe("a", 0)
	c.send(publish("a", 0, 0, "1"), publish("a", 0, 0, "2"))
	for range 2 {
		if p := c.receive(); p.Properties.HasTopicAlias || string(p.Topic) != "a" {
			t.Errorf("got %s", show(p))
		}
	}
}

// TestNoProblemInformation: with Request Problem Information 0 nothing but a PUBLISH carries user properties, and no packet a
// reason string [MQTT-3.1.2-29].
func TestNoProblemInformation(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c := r.connect(codec.V5, "me", func(p *codec.Connect) { p.Properties.NoProblemInfo = true })
	if ack := c.subscribe("$share/g/a", 0); ack.Codes[0] != 0x9E || ack.ReasonString != "" {
		t.Errorf("got %s", show(ack))
	}
	if ack := c.publish("$SYS/x", 1, ""); ack.Code != 0x90 || ack.ReasonString != "" {
		t.Errorf("got %s", show(ack))
	}
	c.write([]byte("\xf0\x00"))
	if d := expect[*codec.Disconnect](c); d.Code != 0x82 || d.ReasonString != "" {
		t.Errorf("got %s", show(d))
	}
	p := hello("me")
	p.Password, p.Properties.NoProblemInfo = []byte("wrong"), true
	expectRefused(t, r, codec.V5, p, 0x86)
}
