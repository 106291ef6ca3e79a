package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

var versions = []Version{V31, V311, V5}

// golden is one packet and the bytes it is written as.
type golden struct {
	name   string
	v      Version
	packet Packet
	wire   string
	ends   []int // shorter bodies, in bytes, that are packets too
}

// testGolden checks that the packets are written as these bytes and read back from them, and that nothing shorter is
// taken for them.
func testGolden(t *testing.T, list []golden) {
	t.Helper()
	for _, g := range list {
		t.Run(fmt.Sprintf("%s/%s", g.v, g.name), func(t *testing.T) {
			out, err := g.packet.Append([]byte("before"), g.v)
			if err != nil {
				t.Fatalf("Append: %v", err)
			}
			if got, want := string(out), "before"+g.wire; got != want {
				t.Errorf("Append:\n got %q\nwant %q", got, want)
			}
			h, body := split(t, g.wire)
			checkDecoded(t, g, h, body)
			testPrefixes(t, g, h, body)
		})
	}
}

func checkDecoded(t *testing.T, g golden, h Header, body []byte) {
	t.Helper()
	back, err := Decode(h, body, g.v)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	if !reflect.DeepEqual(back, g.packet) {
		t.Errorf("Decode:\n got %+v\nwant %+v", back, g.packet)
	}
	if back.Type() != h.Type || back.Type() != g.packet.Type() {
		t.Errorf("Type is %v, want %v", back.Type(), h.Type)
	}
	other := h
	other.Type ^= 0x0F // no packet of this one's type
	if err := back.Decode(other, body, g.v); err == nil {
		t.Errorf("a %v was decoded as %v", other.Type, h.Type)
	}
}

// testPrefixes checks that every strict prefix of the framed packet is an unfinished stream and every strict prefix of
// its body, framed anew, another packet or none.
func testPrefixes(t *testing.T, g golden, h Header, body []byte) {
	t.Helper()
	for n := range len(g.wire) {
		_, _, err := NewReader(strings.NewReader(g.wire[:n]), len(g.wire)).Next()
		if n == 0 && err != io.EOF || n > 0 && err != io.ErrUnexpectedEOF {
			t.Errorf("the first %d bytes of the packet: %v", n, err)
		}
	}
	legal := make(map[int]bool)
	for _, n := range g.ends {
		legal[n] = true
	}
	for n := range body {
		h.Length = n
		if _, err := Decode(h, body[:n:n], g.v); (err == nil) != legal[n] {
			t.Errorf("the first %d bytes of the body: %v", n, err)
		}
	}
}

// illegal is a packet that has to be refused.
type illegal struct {
	name      string
	v         Version
	wire      string
	code      ReasonCode
	statement string
}

// testIllegal checks that the packets are refused with code and statement.
func testIllegal(t *testing.T, list []illegal) {
	t.Helper()
	for _, x := range list {
		t.Run(fmt.Sprintf("%s/%s/%s", x.v, x.name, x.statement), func(t *testing.T) {
			h, body := split(t, x.wire)
			p, err := Decode(h, body, x.v)
			if err == nil {
				t.Fatalf("decoded as %+v", p)
			}
			checkError(t, err, x.code, x.statement)
		})
	}
}

// unwritable is a packet that a version cannot express.
type unwritable struct {
	name      string
	v         Version
	packet    Packet
	code      ReasonCode
	statement string
}

// testUnwritable checks that the packets are not written and dst comes back as it was.
func testUnwritable(t *testing.T, list []unwritable) {
	t.Helper()
	for _, x := range list {
		t.Run(fmt.Sprintf("%s/%s/%s", x.v, x.name, x.statement), func(t *testing.T) {
			out, err := x.packet.Append([]byte("before"), x.v)
			if string(out) != "before" {
				t.Errorf("dst has become %q", out)
			}
			checkError(t, err, x.code, x.statement)
		})
	}
}

func checkError(t *testing.T, err error, code ReasonCode, statement string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v, want an *Error", err)
	}
	if e.Code != code || e.Statement != statement {
		t.Errorf("error is %#02x [%s] %q, want %#02x [%s]", e.Code, e.Statement, e.Detail, code, statement)
	}
	if e.Detail == "" || !strings.HasPrefix(e.Error(), e.Detail) || !strings.Contains(e.Error(), e.Statement) {
		t.Errorf("error says %q", e.Error())
	}
}

// split takes a framed packet apart.
func split(t testing.TB, wire string) (Header, []byte) {
	t.Helper()
	r := NewReader(strings.NewReader(wire), 1<<20)
	h, body, err := r.Next()
	if err != nil {
		t.Fatalf("%q: %v", wire, err)
	}
	if r.Buffered() != 0 {
		t.Fatalf("%q: %d bytes too many", wire, r.Buffered())
	}
	return h, body
}

// frame puts a fixed header before a body.
func frame(first byte, body string) string {
	return string(appendVarint([]byte{first}, len(body))) + body
}

// field puts two bytes of length before s.
func field(s string) string {
	return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s
}

// fuzzPacket fuzzes the decoder of types. What decodes has to be written, and what was written has to be read as the
// same packet and written as the same bytes. In 3.1.1 a packet has only one form, so those are the bytes it came from.
func fuzzPacket(f *testing.F, types []Type, list []golden, bad []illegal) {
	f.Helper()
	for _, g := range list {
		h, body := split(f, g.wire)
		f.Add(byte(h.Type)<<4|h.Flags, byte(g.v), body)
	}
	for _, x := range bad {
		h, body := split(f, x.wire)
		f.Add(byte(h.Type)<<4|h.Flags, byte(x.v), body)
	}
	f.Fuzz(func(t *testing.T, first, version byte, body []byte) {
		v := V31 + Version(version%3)
		h := Header{Type: types[int(first>>4)%len(types)], Flags: first & 0x0F, Length: len(body)}
		p, err := Decode(h, bytes.Clone(body), v)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Detail == "" || e.Code < UnspecifiedError {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if c, ok := p.(*Connect); ok {
			v = c.Version
		}
		wire, err := p.Append(nil, v)
		if err != nil {
			t.Fatalf("%+v does not go back: %v", p, err)
		}
		original := frame(byte(h.Type)<<4|h.Flags, string(body))
		if v == V311 && string(wire) != original || len(wire) > len(original) {
			t.Fatalf("%+v:\nfrom %q\n  to %q", p, original, wire)
		}
		again := redecode(t, p, wire, v)
		if second, err := again.Append(nil, v); err != nil || !bytes.Equal(second, wire) {
			t.Fatalf("%+v: first %q, then %q, %v", p, wire, second, err)
		}
	})
}

func redecode(t *testing.T, p Packet, wire []byte, v Version) Packet {
	t.Helper()
	h, body := split(t, string(wire))
	again, err := Decode(h, body, v)
	if err != nil {
		t.Fatalf("%+v, written as %q: %v", p, wire, err)
	}
	if !reflect.DeepEqual(again, p) {
		t.Fatalf("%+v has become %+v", p, again)
	}
	return again
}

func TestDecodeReservedType(t *testing.T) {
	for _, v := range versions {
		_, err := Decode(Header{}, nil, v)
		checkError(t, err, MalformedPacket, "")
	}
}

func TestNames(t *testing.T) {
	for v, want := range map[Version]string{V31: "3.1", V311: "3.1.1", V5: "5.0", 6: "level 6"} {
		if v.String() != want {
			t.Errorf("version %d is %q", v, v)
		}
	}
	if CONNECT.String() != "CONNECT" || AUTH.String() != "AUTH" || Type(0).String() != "reserved" {
		t.Error("a packet type has another's name")
	}
}

var users = []UserProperty{{"a", "1"}, {"a", ""}}

// usersWire is users on the wire, 13 bytes.
const usersWire = "\x26\x00\x01a\x00\x011\x26\x00\x01a\x00\x00"
