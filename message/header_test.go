package message

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

func full() *Message {
	return &Message{
		QoS: 2, Dup: true, Retain: true, ClientID: "a b", User: "thermostat-7", Role: "device", PacketID: 65535, To: "50%",
		PayloadFormat: 1, HasPayloadFormat: true, Expiry: 60, HasExpiry: true,
		ContentType: []byte("text/plain; charset=utf-8"), ResponseTopic: []byte("re/ply"),
		CorrelationData: []byte{0, 1, 254, 255},
		UserProperties:  []UserProperty{{"a", "1"}, {"a=b", "c=d"}, {"", ""}, {"a", "2\r\nX: y"}},
	}
}

func TestAppendHeader(t *testing.T) {
	const want = "NATS/1.0\r\n" +
		"Mqtt-Client-Id: a%20b\r\n" +
		"Mqtt-User: thermostat-7\r\n" +
		"Mqtt-Role: device\r\n" +
		"Mqtt-Qos: 2\r\n" +
		"Mqtt-Packet-Id: 65535\r\n" +
		"Mqtt-Dup: 1\r\n" +
		"Mqtt-Retain: 1\r\n" +
		"Mqtt-To: 50%25\r\n" +
		"Mqtt-Payload-Format-Indicator: 1\r\n" +
		"Mqtt-Message-Expiry: 60\r\n" +
		"Nats-TTL: 60\r\n" +
		"Mqtt-Content-Type: text/plain;%20charset=utf-8\r\n" +
		"Mqtt-Response-Topic: re/ply\r\n" +
		"Mqtt-Correlation-Data: AAH+/w==\r\n" +
		"Mqtt-User-Property: a=1\r\n" +
		"Mqtt-User-Property: a%3Db=c=d\r\n" +
		"Mqtt-User-Property: =\r\n" +
		"Mqtt-User-Property: a=2%0D%0AX:%20y\r\n" +
		"\r\n"
	if got := string(AppendHeader(nil, full())); got != want {
		t.Errorf("AppendHeader:\n%s", cmp.Diff(want, got))
	}
	if got := AppendHeader([]byte("x"), &Message{QoS: 1, Payload: []byte("p")}); string(got) != "x" {
		t.Errorf("a message without headers appends %q", got)
	}
}

// JetStream takes no TTL of 0, and one second is the shortest.
func TestExpiryZeroHasAShortTTL(t *testing.T) {
	got := string(AppendHeader(nil, &Message{QoS: 1, HasExpiry: true}))
	if want := "NATS/1.0\r\nMqtt-Message-Expiry: 0\r\nNats-TTL: 1\r\n\r\n"; got != want {
		t.Errorf("AppendHeader = %q, want %q", got, want)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	for name, m := range map[string]*Message{
		"full": full(),
		"none": {QoS: 1},
		"QoS0": {QoS: 0, ClientID: "c"},
		"present but empty": {
			QoS: 1, ContentType: []byte{}, CorrelationData: []byte{}, HasPayloadFormat: true, HasExpiry: true,
		},
	} {
		var got Message
		if !DecodeHeader(AppendHeader(nil, m), &got) {
			t.Errorf("%s: DecodeHeader found something bad", name)
		}
		if diff := cmp.Diff(*m, got); diff != "" {
			t.Errorf("%s: DecodeHeader(AppendHeader):\n%s", name, diff)
		}
	}
}

// nats.go, with which native services are written, reads the same headers from the block.
func TestBlockIsWhatNATSReads(t *testing.T) {
	got, err := nats.DecodeHeadersMsg(AppendHeader(nil, full()))
	if err != nil {
		t.Fatal(err)
	}
	want := nats.Header{
		HeaderClientID: {"a%20b"}, HeaderUser: {"thermostat-7"}, HeaderRole: {"device"}, HeaderQoS: {"2"},
		HeaderPacketID: {"65535"}, HeaderDup: {"1"}, HeaderRetain: {"1"}, HeaderTo: {"50%25"}, HeaderPayloadFormat: {"1"},
		HeaderMessageExpiry: {"60"}, HeaderTTL: {"60"}, HeaderContentType: {"text/plain;%20charset=utf-8"},
		HeaderResponseTopic: {"re/ply"}, HeaderCorrelationData: {"AAH+/w=="},
		HeaderUserProperty: {"a=1", "a%3Db=c=d", "=", "a=2%0D%0AX:%20y"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A native service's mistake costs the header that it is in, and nothing else.
func TestBadHeaderIsLeftOut(t *testing.T) {
	for _, line := range []string{
		"Mqtt-Qos: 3", "Mqtt-Qos: ", "Mqtt-Qos: x", "Mqtt-Packet-Id: 0", "Mqtt-Packet-Id: 65536", "Mqtt-Dup: maybe",
		"Mqtt-Payload-Format-Indicator: 2", "Mqtt-Message-Expiry: -1", "Mqtt-Message-Expiry: 4294967296",
		"Mqtt-Message-Expiry: 1s", "Mqtt-Client-Id: %", "Mqtt-Client-Id: %4", "Mqtt-Client-Id: %zz", "Mqtt-To: %00",
		"Mqtt-Content-Type: \xff", "Mqtt-Response-Topic: a/+", "Mqtt-Response-Topic: ", "Mqtt-Correlation-Data: *",
		"Mqtt-User-Property: novalue", "Mqtt-User-Property: %=x", "Mqtt-User-Property: x=%FF", "no colon",
		"Mqtt-Content-Type: " + strings.Repeat("a", 65536),
	} {
		m := &Message{}
		if DecodeHeader([]byte("NATS/1.0\r\n"+line+"\r\nMqtt-User: u\r\n\r\n"), m) {
			t.Errorf("%.60q counts as good", line)
		}
		if diff := cmp.Diff(&Message{QoS: 1, User: "u"}, m); diff != "" {
			t.Errorf("%.60q:\n%s", line, diff)
		}
	}
}

func TestRepeatedHeaderCountsOnce(t *testing.T) {
	want := &Message{QoS: 0, User: "a"}
	m := &Message{}
	if DecodeHeader([]byte("NATS/1.0\r\nMqtt-User: a\r\nMqtt-Qos: 0\r\nMqtt-User: b\r\nMqtt-Qos: 2\r\n\r\n"), m) {
		t.Error("repeated headers count as good")
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

func TestWhatNativeServicesMayWrite(t *testing.T) {
	block := "NATS/1.0\r\nMqtt-Content-Type:text/plain; charset=utf-8\r\nMqtt-To: a%2fb\r\nMqtt-Retain: true\r\n" +
		"Mqtt-Dup: false\r\nMqtt-User-Property: a b=c d\r\nNats-Msg-Id: 7\r\nX: y\r\n\r\n"
	m := &Message{}
	if !DecodeHeader([]byte(block), m) {
		t.Error("something counts as bad")
	}
	want := &Message{
		QoS: 1, ContentType: []byte("text/plain; charset=utf-8"), To: "a/b", Retain: true,
		UserProperties: []UserProperty{{"a b", "c d"}},
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

// No string of a device can add a header or end the block.
func FuzzHeader(f *testing.F) {
	f.Add("client", "user", "to", []byte("type"), []byte("topic"), []byte("data"), "name", "value", uint32(7), byte(1))
	f.Add("a\r\nNats-TTL: never", "%0D%0A", "\n", []byte("\r\n\r\n"), []byte("a b"), []byte{0}, "a=b", "=", uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, client, user, to string, contentType, response, data []byte, name, value string,
		expiry uint32, qos byte,
	) {
		for _, s := range []string{client, user, to, string(contentType), name, value} {
			if len(s) > maxString || !utf8.ValidString(s) || strings.Contains(s, "\x00") {
				return
			}
		}
		if !validName(response) || len(data) > maxString {
			return
		}
		m := &Message{
			QoS: qos % 3, ClientID: client, User: user, To: to, Expiry: expiry, HasExpiry: true, ContentType: contentType,
			ResponseTopic: response, CorrelationData: data,
			UserProperties: []UserProperty{{name, value}, {value, name}},
		}
		block := AppendHeader(nil, m)
		lines := 1 + 2 + 2 + 3 + 2 // version; expiry and TTL; properties; three values of bytes; the empty line and the end
		for _, present := range []bool{client != "", user != "", to != "", m.QoS != 1} {
			if present {
				lines++
			}
		}
		if got := bytes.Count(block, []byte("\r\n")) + 1; got != lines {
			t.Fatalf("%d lines instead of %d: %q", got, lines, block)
		}
		if bytes.Count(block, []byte("\n")) != lines-1 || bytes.Count(block, []byte("\r")) != lines-1 {
			t.Fatalf("a line ends within: %q", block)
		}
		var got Message
		if !DecodeHeader(block, &got) {
			t.Fatalf("something counts as bad in %q", block)
		}
		if diff := cmp.Diff(*m, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Whatever a native service writes, nothing that MQTT cannot carry comes out of it.
func FuzzDecodeHeader(f *testing.F) {
	f.Add([]byte("NATS/1.0\r\nMqtt-Qos: 0\r\n\r\n"))
	f.Add(AppendHeader(nil, full()))
	f.Add([]byte("NATS/1.0 503\r\n\r\n"))
	f.Fuzz(func(t *testing.T, block []byte) {
		var m Message
		DecodeHeader(block, &m)
		if m.QoS > 2 || m.PayloadFormat > 1 || m.ResponseTopic != nil && !validName(m.ResponseTopic) {
			t.Fatalf("%+v", m)
		}
		again := Message{}
		if !DecodeHeader(AppendHeader(nil, &m), &again) {
			t.Fatalf("what came out of %q does not go in again: %+v", block, m)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestHeaderAllocations(t *testing.T) {
	m := &Message{QoS: 1, ClientID: "thermostat-7", User: "thermostat-7", Role: "device", PacketID: 7}
	buffer := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { buffer = AppendHeader(buffer[:0], m) }); n != 0 {
		t.Errorf("AppendHeader allocates %v times", n)
	}
	var got Message
	if n := testing.AllocsPerRun(100, func() { got = Message{}; DecodeHeader(buffer, &got) }); n > 1 {
		t.Errorf("DecodeHeader allocates %v times", n)
	}
	subject := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { subject = AppendSubject(subject[:0], "acme", "a/b c/d") }); n != 0 {
		t.Errorf("AppendSubject allocates %v times", n)
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	m := &Message{QoS: 1, ClientID: "thermostat-7", User: "thermostat-7", Role: "device", PacketID: 7}
	buffer := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buffer = AppendHeader(buffer[:0], m)
	}
}

func BenchmarkDecodeHeader(b *testing.B) {
	block := AppendHeader(nil, &Message{QoS: 1, ClientID: "thermostat-7", User: "thermostat-7", Role: "device", PacketID: 7})
	b.ReportAllocs()
	for b.Loop() {
		var m Message
		DecodeHeader(block, &m)
	}
}
