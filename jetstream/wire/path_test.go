package wire

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// detached is a Conn as it is while it is up, without the goroutines: a test reads and writes in their place.
func detached(t testing.TB) *Conn {
	t.Helper()
	p, err := newPool(nats.Options{Servers: []string{"first"}})
	if err != nil {
		t.Fatal(err)
	}
	p.servers[0].url.Host = "first:4222"
	c := &Conn{log: zapNop, pool: p, maxOut: maxOut, up: true, epoch: 1, maxPayload: 1 << 20, net: nowhere{}}
	c.more.L = &c.mu
	return c
}

// nowhere is a connection that is never used but to be closed.
type nowhere struct{ peer }

func (nowhere) Close() error { return nil }

// forever says the same again and again.
type forever struct {
	text []byte
	at   int
}

func (f *forever) Read(p []byte) (int, error) {
	n := copy(p, f.text[f.at:])
	f.at = (f.at + n) % len(f.text)
	return n, nil
}

func TestReceiveAllocatesNothing(t *testing.T) {
	c := detached(t)
	got := 0
	if _, err := c.Subscribe(1, "a", func(m *Msg) { got += len(m.Get("Mqtt-User")) }); err != nil {
		t.Fatal(err)
	}
	in := newInput(&forever{text: []byte("HMSG a.b 1 re.ply 33 38\r\nNATS/1.0\r\nMqtt-User: 12345678\r\n\r\nhello\r\nPING\r\nPONG\r\nMSG a 1 0\r\n\r\n")})
	n := testing.AllocsPerRun(20_000, func() {
		for range 4 {
			line, length, err := in.peek()
			if err != nil {
				t.Fatal(err)
			}
			if line[0] == 'P' {
				err = c.pingPong(line)
				in.take(length)
			} else {
				err = c.message(in, line, length)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		c.out = c.out[:0]
	})
	if n != 0 || got < 8*10_000 {
		t.Errorf("%v allocations; %d bytes of headers", n, got)
	}
}

func TestPublishAllocatesNothing(t *testing.T) {
	c := detached(t)
	c.out = make([]byte, 0, 1000)
	payload := make([]byte, 128)
	if n := testing.AllocsPerRun(1000, func() {
		c.out = c.out[:0]
		if err := errors.Join(c.Publish(1, "a.b", "", nil, payload), c.Publish(1, "a.b", "re.ply", header, payload)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A large message does not keep its buffer for ever.
func TestLargeBufferIsGivenBack(t *testing.T) {
	size := 3 * keepSize
	text := "MSG a 1 " + strconv.Itoa(size) + "\r\n" + strings.Repeat("x", size) + "\r\n"
	in := newInput(&pieces{text: []byte(text + "PING\r\n"), sizes: []byte{255}})
	c := detached(t)
	for len(in.buf) <= keepSize {
		line, length, err := in.peek()
		if err != nil {
			t.Fatal(err)
		}
		if err = c.message(in, line, length); err != nil {
			t.Fatal(err)
		}
	}
	line, length, err := in.peek()
	if err != nil {
		t.Fatal(err)
	}
	if err = c.message(in, line, length); err != nil {
		t.Fatal(err)
	}
	if line, _, err = in.peek(); err != nil || string(line) != "PING" || len(in.buf) > keepSize {
		t.Errorf("%q, %v, a buffer of %d bytes", line, err, len(in.buf))
	}
}

// A line is bounded, however long it goes on.
func TestEndlessLine(t *testing.T) {
	in := newInput(&forever{text: []byte("x")})
	if err := detached(t).read(in); !errors.Is(err, errProtocol) {
		t.Error(err)
	}
	if len(in.buf) > 2*maxLine+inputSize {
		t.Errorf("a buffer of %d bytes", len(in.buf))
	}
}
