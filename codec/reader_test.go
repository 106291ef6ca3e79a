package codec

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// chunks is a stream that arrives in these pieces.
type chunks struct {
	pieces [][]byte
	reads  int
}

func (c *chunks) Read(b []byte) (int, error) {
	c.reads++
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

func TestReaderManyPacketsPerRead(t *testing.T) {
	wire := strings.Repeat("\xc0\x00\x40\x02\x00\x01", 100)
	source := &chunks{pieces: [][]byte{[]byte(wire)}}
	r := NewReader(source, 4)
	for i := range 200 {
		h, body, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		want := Header{Type: PINGREQ}
		if i%2 == 1 {
			want = Header{Type: PUBACK, Length: 2}
		}
		if h != want || len(body) != want.Length || cap(body) != len(body) {
			t.Fatalf("packet %d is %+v %q", i, h, body)
		}
		if left := len(wire) - i/2*6 - 2 - i%2*4; r.Buffered() != left {
			t.Fatalf("%d bytes buffered, want %d", r.Buffered(), left)
		}
	}
	if source.reads != 1 {
		t.Errorf("%d reads", source.reads)
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestReaderIllegal(t *testing.T) {
	for name, x := range map[string]struct {
		wire      string
		code      ReasonCode
		statement string
	}{
		"reserved type":                    {"\x00\x00", MalformedPacket, ""},
		"reserved type alone":              {"\x0f", MalformedPacket, ""},
		"remaining length of five bytes":   {"\x30\x80\x80\x80\x80\x01", MalformedPacket, ""},
		"remaining length not minimal":     {"\x30\x83\x00abc", MalformedPacket, "MQTT-1.5.5-1"},
		"one byte too large":               {"\x30\x64", PacketTooLarge, "MQTT-3.2.2-15"},
		"as large as can be":               {"\x30\xff\xff\xff\x7f", PacketTooLarge, "MQTT-3.2.2-15"},
		"too large by the fixed header":    {"\x30\x63", PacketTooLarge, "MQTT-3.2.2-15"},
		"too large behind a good one":      {"\xc0\x00\x30\x7f", PacketTooLarge, "MQTT-3.2.2-15"},
		"reserved type behind a good one":  {"\xc0\x00\x05\x00", MalformedPacket, ""},
		"padded length behind a good one":  {"\xc0\x00\xc0\x80\x00", MalformedPacket, "MQTT-1.5.5-1"},
		"endless length behind a good one": {"\xc0\x00\xc0\xff\xff\xff\xff", MalformedPacket, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(strings.NewReader(x.wire), 100)
			_, _, err := r.Next()
			if x.wire[0] == 0xc0 && err == nil {
				_, _, err = r.Next()
			}
			checkError(t, err, x.code, x.statement)
			_, _, again := r.Next()
			checkError(t, again, x.code, x.statement)
		})
	}
}

func TestReaderLimit(t *testing.T) {
	packet := frame(0x30, strings.Repeat("x", 98))
	r := NewReader(strings.NewReader(packet+packet+packet), 100)
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	r.SetLimit(99)
	_, _, err := r.Next()
	checkError(t, err, PacketTooLarge, "MQTT-3.2.2-15")
	r.SetLimit(100)
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
}

var errBroken = errors.New("broken")

// TestReaderErrors checks that the stream's own errors come out, after the packets that came before them.
func TestReaderErrors(t *testing.T) {
	for name, x := range map[string]struct {
		r       io.Reader
		packets int
		want    error
	}{
		"nothing":             {strings.NewReader(""), 0, io.EOF},
		"end with data":       {iotest.DataErrReader(strings.NewReader("\xc0\x00\xc0\x00")), 2, io.EOF},
		"end in a header":     {strings.NewReader("\xc0\x00\xc0"), 1, io.ErrUnexpectedEOF},
		"end in a body":       {iotest.DataErrReader(strings.NewReader("\xc0\x00\x40\x02\x00")), 1, io.ErrUnexpectedEOF},
		"error":               {iotest.ErrReader(errBroken), 0, errBroken},
		"error behind packet": {io.MultiReader(strings.NewReader("\xc0\x00\x40"), iotest.ErrReader(errBroken)), 1, errBroken},
		"timeout":             {iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("\xc0\x00"))), 0, iotest.ErrTimeout},
		"empty reads":         {emptyReader{}, 0, io.ErrNoProgress},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(x.r, 100)
			for range x.packets {
				if _, _, err := r.Next(); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := r.Next(); err != x.want {
				t.Errorf("got %v, want %v", err, x.want)
			}
		})
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// TestReaderResumes checks that after a timeout the packet goes on where it stood.
func TestReaderResumes(t *testing.T) {
	r := NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("\x40\x02\x00\x01"))), 100)
	if _, _, err := r.Next(); err != iotest.ErrTimeout {
		t.Fatalf("got %v", err)
	}
	if h, body, err := r.Next(); err != nil || h.Type != PUBACK || string(body) != "\x00\x01" {
		t.Errorf("%+v %q %v", h, body, err)
	}
}

// TestReaderMemory checks that the buffer grows with the bytes that arrive and not with those announced, up to the
// packet at hand, and is small again afterwards.
func TestReaderMemory(t *testing.T) {
	const size = 128 << 10
	large := frame(0x30, strings.Repeat("x", size))
	received := 0
	var r *Reader
	source := readerFunc(func(b []byte) (int, error) {
		if held := received; len(r.buf) > max(minBuffer, min(2*held, len(large))) {
			t.Errorf("a buffer of %d bytes for %d", len(r.buf), held)
		}
		n := min(len(b), 1000, len(large)-received)
		if n == 0 {
			if len(r.buf) != minBuffer {
				t.Errorf("a buffer of %d bytes when idle", len(r.buf))
			}
			return 0, io.EOF
		}
		copy(b, large[received:received+n])
		received += n
		return n, nil
	})
	r = NewReader(source, len(large))
	_, body, err := r.Next()
	if err != nil || len(body) != size {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestReaderAllocations checks that a stream of small packets costs no allocation, wherever reads cut it.
func TestReaderAllocations(t *testing.T) {
	packet, err := device(1).Append(nil, V311)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	r := NewReader(readerFunc(func(b []byte) (int, error) {
		for i := range b {
			b[i] = packet[at]
			at = (at + 1) % len(packet)
		}
		return len(b), nil
	}), 1000)
	if _, _, err = r.Next(); err != nil {
		t.Fatal(err)
	}
	var body []byte
	if n := testing.AllocsPerRun(1000, func() { _, body, err = r.Next() }); n != 0 || err != nil || len(body) != len(packet)-3 {
		t.Errorf("%v allocations, %d bytes, %v", n, len(body), err)
	}
}

// FuzzReader checks that the packets a stream is split into do not depend on how it arrives and are what came in.
func FuzzReader(f *testing.F) {
	all := ""
	for _, list := range [][]golden{connects, publishes, acks, subscribes, subacks, pings, disconnects, auths} {
		for _, g := range list {
			all += g.wire
		}
	}
	f.Add([]byte(all), uint16(200), uint8(1))
	f.Add([]byte(all), uint16(50), uint8(7))
	f.Add([]byte(frame(0x30, strings.Repeat("x", 9000))+all), uint16(10000), uint8(255))
	f.Add([]byte("\x30\xff\xff\xff\x7f"), uint16(100), uint8(3))
	f.Add([]byte("\x00"), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, stream []byte, limit uint16, step uint8) {
		whole := NewReader(bytes.NewReader(stream), int(limit))
		var pieces [][]byte
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		cut := NewReader(&chunks{pieces: pieces}, int(limit))
		for at := 0; ; {
			h, body, err := whole.Next()
			h2, body2, err2 := cut.Next()
			if h != h2 || !bytes.Equal(body, body2) || err != err2 {
				t.Fatalf("whole %+v %q %v, cut %+v %q %v", h, body, err, h2, body2, err2)
			}
			if len(cut.buf) > max(minBuffer, int(limit)) {
				t.Fatalf("a buffer of %d bytes, limit %d", len(cut.buf), limit)
			}
			if err != nil {
				return
			}
			packet := frame(byte(h.Type)<<4|h.Flags, string(body))
			if len(packet) > int(limit) || string(stream[at:at+len(packet)]) != packet {
				t.Fatalf("%q is not what stands at %d", packet, at)
			}
			at += len(packet)
		}
	})
}
