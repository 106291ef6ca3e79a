package load

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func TestParseFrame(t *testing.T) {
	for name, tc := range map[string]struct {
		header string
		length int
	}{
		"empty":  {"\x81\x00", 0},
		"short":  {"\x81\x7D", 125},
		"medium": {"\x81\x7E\x01\x00", 256},
		"long":   {"\x81\x7F\x00\x00\x00\x00\x00\x01\x00\x00", 65536},
	} {
		frame := append([]byte(tc.header), bytes.Repeat([]byte{'x'}, tc.length)...)
		for n := range frame {
			if _, _, size, err := parseFrame(frame[:n]); size != 0 || err != nil {
				t.Fatalf("%s: %d bytes of %d: got size %d, %v", name, n, len(frame), size, err)
			}
		}
		header, body, size, err := parseFrame(append(frame, 0xFF))
		if header != headerText || len(body) != tc.length || size != len(frame) || err != nil {
			t.Errorf("%s: got %#x, %d bytes, size %d, %v", name, header, len(body), size, err)
		}
	}
	for _, bad := range []string{"\x81\x81", "\x81\x7F\x00\x00\x00\x00\x00\x01\x00\x01", "\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"} {
		if _, _, _, err := parseFrame([]byte(bad)); !errors.Is(err, errMalformed) {
			t.Errorf("% x: got %v, want %v", bad, err, errMalformed)
		}
	}
}

// TestAppendFrame has the masked example of RFC 6455, section 5.7.
func TestAppendFrame(t *testing.T) {
	got := appendFrame([]byte("x"), 0x37FA213D, []byte("Hel"), nil, []byte("lo"))
	if want := "x\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"; string(got) != want {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestEncodings(t *testing.T) {
	p := make(payload, PayloadSize)
	p.set(1, 2, 3)
	for kind, tc := range map[Kind]struct{ text, ack string }{
		JSON: {
			`{"id":"123","topic":"a/b","payload":"` + base64.StdEncoding.EncodeToString(p) + `","metadata":{"topic":"a/b"}}`,
			`{"ack":"123"}`,
		},
		Avro: {"123\n" + base64.StdEncoding.EncodeToString(append([]byte("something before"), p...)), "123"},
	} {
		e := encodings[kind]
		id, got, err := e.decode([]byte(tc.text), nil)
		if err != nil || !bytes.Equal(got, p) {
			t.Errorf("%s: got % x, %v, want % x", kind, got, err, p)
		}
		if ack := string(e.before) + string(id) + string(e.after); ack != tc.ack {
			t.Errorf("%s: got %s, want %s", kind, ack, tc.ack)
		}
		for _, bad := range []string{"", `{"error":{"code":"x"}}`, strings.Replace(tc.text, "payload", "load", 1)[:20], tc.text[:len(tc.text)/2] + "!"} {
			if _, got, err := e.decode([]byte(bad), nil); err == nil && len(got) == PayloadSize {
				t.Errorf("%s: %q has a payload", kind, bad)
			}
		}
	}
}
