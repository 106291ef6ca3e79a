package load

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestPacketBytes(t *testing.T) {
	for _, tc := range []struct {
		name      string
		got, want []byte
	}{
		{
			"CONNECT", appendConnect(nil, "c", "u", "pw", 300),
			[]byte("\x10\x14\x00\x04MQTT\x04\xC2\x01\x2C\x00\x01c\x00\x01u\x00\x02pw"),
		},
		{"SUBSCRIBE", appendSubscribe(nil, 1, []string{"a", "bc"}), []byte("\x82\x0B\x00\x01\x00\x01a\x01\x00\x02bc\x01")},
		{"PUBACK", appendPuback(nil, 0x1234), []byte("\x40\x02\x12\x34")},
		{"PUBLISH", appendPublish(nil, "a/b", 7, []byte("xyz")), []byte("\x32\x0A\x00\x03a/b\x00\x07xyz")},
	} {
		if !bytes.Equal(tc.got, tc.want) {
			t.Errorf("%s: got % x, want % x", tc.name, tc.got, tc.want)
		}
	}
}

func TestDecodePublish(t *testing.T) {
	packet := appendPublish(nil, "a/b", 7, []byte("xyz"))
	_, body, _, err := parse(packet)
	if err != nil {
		t.Fatal(err)
	}
	id, content, err := decodePublish(body)
	if err != nil || id != 7 || string(content) != "xyz" {
		t.Errorf("got %d, %q, %v", id, content, err)
	}
	for n := range len(body) - len("xyz") {
		if _, _, err := decodePublish(body[:n]); !errors.Is(err, errMalformed) {
			t.Errorf("%d bytes of it: got %v, want %v", n, err, errMalformed)
		}
	}
}

func TestParseWaitsForTheWholePacket(t *testing.T) {
	packet := appendPublish(nil, "topic", 1, make([]byte, PayloadSize))
	for n := range packet {
		if _, _, size, err := parse(packet[:n]); size != 0 || err != nil {
			t.Errorf("%d bytes of %d: got size %d, %v", n, len(packet), size, err)
		}
	}
	header, body, size, err := parse(append(packet, 0xFF))
	if header != headerPublish || len(body) != len(packet)-3 || size != len(packet) || err != nil {
		t.Errorf("got %#x, %d bytes, size %d, %v", header, len(body), size, err)
	}
}

func TestParseRefusesLengths(t *testing.T) {
	for _, b := range []string{"\x30\x80\x80\x80\x80\x01", "\x30\xFF\xFF\x7F"} {
		if _, _, _, err := parse([]byte(b)); !errors.Is(err, errMalformed) {
			t.Errorf("% x: got %v, want %v", b, err, errMalformed)
		}
	}
}

func TestPacketReader(t *testing.T) {
	var stream []byte
	const count = 5000 // more than the buffer holds
	for i := range count {
		stream = appendPublish(stream, "topic", uint16(i+1), bytes.Repeat([]byte{byte(i)}, i%300))
	}
	for name, src := range map[string]io.Reader{
		"whole": bytes.NewReader(stream),
		"bytes": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		r := newPacketReader(src, parse)
		for i := range count {
			_, body, err := r.next()
			if err != nil {
				t.Fatal(name, err)
			}
			id, content, err := decodePublish(body)
			if err != nil || int(id) != i+1 || len(content) != i%300 {
				t.Fatalf("%s: packet %d: got %d with %d bytes, %v", name, i, id, len(content), err)
			}
		}
		if r.buffered() {
			t.Errorf("%s: a packet is left", name)
		}
		if _, _, err := r.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, want %v", name, err, io.EOF)
		}
	}
}

func TestPacketReaderKnowsWhatIsBuffered(t *testing.T) {
	two := appendPuback(appendPuback(nil, 1), 2)
	r := newPacketReader(bytes.NewReader(two), parse)
	for _, want := range []bool{true, false} {
		if _, _, err := r.next(); err != nil {
			t.Fatal(err)
		}
		if got := r.buffered(); got != want {
			t.Errorf("buffered: got %v, want %v", got, want)
		}
	}
}

func TestNextIDSkipsZero(t *testing.T) {
	if got := nextID(65535); got != 1 {
		t.Errorf("after 65535: got %d, want 1", got)
	}
	if got := nextID(0); got != 1 {
		t.Errorf("the first: got %d, want 1", got)
	}
}
