// Package codec_test measures the decoding and the writing of a PUBLISH of 128 bytes of payload beside the packets
// code of a server and of a client, each used as that server or client itself uses it.
//
// Decoding starts from the body of the packet in memory and ends with its fields, checked. Weir and mochi check the
// same: UTF-8, U+0000 and wildcards of the topic, the packet identifier, DUP and QoS excepted, which mochi checks with
// the fixed header, outside of the measurement. Paho checks no strings. mochi's server copies every body before it
// decodes; that copy is measured by itself, as mochi-as-server. Writing ends with all bytes of the packet, framed, in
// one buffer, which all three reuse.
package codec_test

import (
	"bytes"
	"strings"
	"testing"

	paho "github.com/eclipse/paho.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2/packets"

	"github.com/weirmq/weir/codec"
)

const topic = "te/device/main/meas/temperature"

var payload = []byte(strings.Repeat("x", 128))

// kinds are the packets that are measured.
var kinds = []struct {
	name       string
	v          codec.Version
	properties bool
}{
	{"v311", codec.V311, false},
	{"v5", codec.V5, false},
	{"v5props", codec.V5, true},
}

// publish is a PUBLISH at QoS 1; with properties it has a message expiry, a content type and a response topic.
func publish(properties bool) *codec.Publish {
	p := &codec.Publish{QoS: 1, Topic: []byte(topic), PacketID: 1234, Payload: payload}
	if properties {
		p.Properties.Message = codec.MessageProperties{
			MessageExpiry: 60, HasMessageExpiry: true,
			ContentType: []byte("application/json"), ResponseTopic: []byte("te/device/main/response"),
		}
	}
	return p
}

// wire is the packet and where its body starts.
func wire(b *testing.B, v codec.Version, properties bool) (all, body []byte) {
	b.Helper()
	all, err := publish(properties).Append(nil, v)
	if err != nil {
		b.Fatal(err)
	}
	for i, x := range all[1:] {
		if x < 0x80 {
			return all, all[i+2:]
		}
	}
	b.Fatal("no remaining length")
	return nil, nil
}

func BenchmarkDecode(b *testing.B) {
	for _, k := range kinds {
		all, body := wire(b, k.v, k.properties)
		b.Run(k.name+"/weir", func(b *testing.B) {
			h := codec.Header{Type: codec.PUBLISH, Flags: all[0] & 0x0F, Length: len(body)}
			var p codec.Publish
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Decode(h, body, k.v); err != nil || len(p.Payload) != len(payload) {
					b.Fatal(err)
				}
			}
		})
		b.Run(k.name+"/mochi", func(b *testing.B) { decodeMochi(b, all, body, k.v, false) })
		b.Run(k.name+"/mochi-as-server", func(b *testing.B) { decodeMochi(b, all, body, k.v, true) })
		if k.v == codec.V5 {
			b.Run(k.name+"/paho", func(b *testing.B) { decodePaho(b, all[0], body) })
		}
	}
}

// decodeMochi decodes into a packet that is there, or, as the server, into a new packet from a copy of the body.
func decodeMochi(b *testing.B, all, body []byte, v codec.Version, server bool) {
	b.Helper()
	var fh mochi.FixedHeader
	if err := fh.Decode(all[0]); err != nil {
		b.Fatal(err)
	}
	fh.Remaining = len(body)
	b.ReportAllocs()
	for b.Loop() {
		pk := mochi.Packet{ProtocolVersion: byte(v), FixedHeader: fh}
		from := body
		if server {
			from = append([]byte{}, body...)
		}
		if err := pk.PublishDecode(from); err != nil || len(pk.Payload) != len(payload) {
			b.Fatal(err)
		}
		if code := pk.PublishValidate(0); code != mochi.CodeSuccess {
			b.Fatal(code)
		}
	}
}

// decodePaho does what its ReadPacket does once the body is in memory, less the copy of the body.
func decodePaho(b *testing.B, first byte, body []byte) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		p := paho.Publish{Properties: &paho.Properties{}, QoS: first >> 1 & 3}
		if err := p.Unpack(bytes.NewBuffer(body)); err != nil || len(p.Payload) != len(payload) {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, k := range kinds {
		all, body := wire(b, k.v, k.properties)
		b.Run(k.name+"/weir", func(b *testing.B) {
			p := publish(k.properties)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = p.Append(buf[:0], k.v); err != nil {
					b.Fatal(err)
				}
			}
			checkWire(b, all, buf)
		})
		b.Run(k.name+"/mochi", func(b *testing.B) { appendMochi(b, all, body, k.v) })
		if k.v == codec.V5 {
			b.Run(k.name+"/paho", func(b *testing.B) { appendPaho(b, all, k.properties) })
		}
	}
}

func appendMochi(b *testing.B, all, body []byte, v codec.Version) {
	b.Helper()
	pk := mochi.Packet{ProtocolVersion: byte(v)}
	if err := pk.FixedHeader.Decode(all[0]); err != nil {
		b.Fatal(err)
	}
	if err := pk.PublishDecode(body); err != nil {
		b.Fatal(err)
	}
	pk.Mods.AllowResponseInfo = true // as the server sets it for every PUBLISH
	var buf bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		if err := pk.PublishEncode(&buf); err != nil {
			b.Fatal(err)
		}
	}
	checkWire(b, all, buf.Bytes())
}

func appendPaho(b *testing.B, all []byte, properties bool) {
	b.Helper()
	p := paho.Publish{QoS: 1, Topic: topic, PacketID: 1234, Payload: payload, Properties: &paho.Properties{}}
	if properties {
		expiry := uint32(60)
		p.Properties.MessageExpiry = &expiry
		p.Properties.ContentType = "application/json"
		p.Properties.ResponseTopic = "te/device/main/response"
	}
	var buf bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		if _, err := p.WriteTo(&buf); err != nil {
			b.Fatal(err)
		}
	}
	checkWire(b, all, buf.Bytes())
}

// checkWire checks that a peer has written the same packet; the order of properties is free.
func checkWire(b *testing.B, want, got []byte) {
	b.Helper()
	if len(got) != len(want) || !bytes.HasSuffix(got, payload) {
		b.Fatalf("wrote %q, want %q", got, want)
	}
}
