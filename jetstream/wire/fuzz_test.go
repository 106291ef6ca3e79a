package wire

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// pieces gives text away in pieces of the sizes given, again and again, each at least 1.
type pieces struct {
	text  []byte
	sizes []byte
	n     int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	size := len(p.text)
	if len(p.sizes) > 0 {
		size = max(1, int(p.sizes[p.n%len(p.sizes)]))
		p.n++
	}
	n := copy(b, p.text[:min(size, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}

// reading is what a server's words come to.
func reading(t *testing.T, text, sizes []byte) (got []Msg, err error) {
	t.Helper()
	c := detached(t)
	for range 2 {
		if _, err := c.Subscribe(1, "a", func(m *Msg) {
			if m.Size() > len(text) {
				t.Fatalf("%d bytes out of %d", m.Size(), len(text))
			}
			m.Status()
			m.Get("A")
			got = append(got, copied(m))
		}); err != nil {
			t.Fatal(err)
		}
	}
	in := newInput(&pieces{text: text, sizes: sizes})
	err = c.read(in)
	if err == nil {
		t.Fatal("reading ends without an error")
	}
	if most := max(inputSize, maxBody+2*maxLine); len(in.buf) > most {
		t.Fatalf("a buffer of %d bytes", len(in.buf))
	}
	if len(c.out) > len(text)+100 {
		t.Fatalf("%d bytes of answers", len(c.out))
	}
	return got, err
}

// Whatever a server sends, in whatever pieces, comes to the same messages and the same end.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"MSG a 1 5\r\nhello\r\nHMSG a.b 2 re.ply 12 17\r\nNATS/1.0\r\n\r\nhello\r\nPING\r\nPONG\r\n",
		`INFO {"headers":true,"max_payload":10,"connect_urls":["a:1","[::1]:2","x"]}` + "\r\n+OK\r\n",
		"-ERR 'Permissions Violation for Publish to \"a\"'\r\n-ERR 'Stale Connection'\r\n",
		"MSG a 1 68157441\r\n", "MSG  a  1  0 \r\n\r\nMSG a 3 0\n\r\n", "HMSG a 1 5 4\r\n", "MSG a 1 2\r\nabcd", "M\r\nH\r\n \r\n\r\n",
		"HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "MSG a 18446744073709551616 1\r\n",
	} {
		f.Add([]byte(text), []byte{1, 3})
	}
	f.Fuzz(func(t *testing.T, text, sizes []byte) {
		whole, wholeErr := reading(t, text, nil)
		parts, partsErr := reading(t, text, sizes)
		if len(whole) != len(parts) || wholeErr.Error() != partsErr.Error() {
			t.Fatalf("in pieces %d messages and %v; at once %d and %v", len(parts), partsErr, len(whole), wholeErr)
		}
		for i := range whole {
			if !bytes.Equal(whole[i].Data, parts[i].Data) || !bytes.Equal(whole[i].Header, parts[i].Header) ||
				!bytes.Equal(whole[i].Subject, parts[i].Subject) || !bytes.Equal(whole[i].Reply, parts[i].Reply) {
				t.Fatalf("in pieces %q, at once %q", parts[i], whole[i])
			}
		}
	})
}

// What comes before the end of the login is no safer.
func FuzzLogin(f *testing.F) {
	f.Add([]byte(peerInfo+"PONG\r\nINFO {}\r\nPONG\r\n"), []byte{1})
	f.Add([]byte(peerInfo+"-ERR 'Authorization Violation'\r\n"), []byte{9})
	f.Add([]byte("+OK\r\n"), []byte{})
	f.Fuzz(func(t *testing.T, text, sizes []byte) {
		s, err := parseServer("first")
		if err != nil {
			t.Fatal(err)
		}
		conn := scripted{pieces: &pieces{text: text, sizes: sizes}}
		l := &link{raw: conn, conn: conn}
		if err := l.shake(t.Context(), nats.Options{}, s); err == nil && bytes.Count(text, []byte("PONG")) < helloPings {
			t.Fatalf("logged in with %q", text)
		}
	})
}

// scripted is a connection on which the other end says what it says.
type scripted struct {
	nowhere
	*pieces
}

func (s scripted) Read(b []byte) (int, error)  { return s.pieces.Read(b) }
func (s scripted) Write(b []byte) (int, error) { return len(b), nil }

// parsed is what another reader, made from the documentation of the protocol alone, takes from text.
func parsed(t *testing.T, text []byte) (subject, reply string, head, data, rest []byte) {
	t.Helper()
	line, after, ok := strings.Cut(string(text), "\r\n")
	words := strings.Split(line, " ")
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		return n
	}
	headers := 0
	switch {
	case words[0] == "PUB" && (len(words) == 3 || len(words) == 4):
	case words[0] == "HPUB" && (len(words) == 4 || len(words) == 5):
		headers = number(words[len(words)-2])
		words = append(words[:len(words)-2], words[len(words)-1])
	default:
		ok = false
	}
	total := number(words[len(words)-1])
	if !ok || headers > total || len(after) < total+2 || after[total:total+2] != "\r\n" {
		t.Fatalf("%q", text)
	}
	if len(words) == 4 {
		reply = words[2]
	}
	return words[1], reply, []byte(after[:headers]), []byte(after[headers:total]), []byte(after[total+2:])
}

// What Publish writes is what was given to it.
func FuzzPublish(f *testing.F) {
	f.Add("a.b", "", []byte(""), []byte(""), true)
	f.Add("a", "re.ply", []byte("payload\r\nPUB a 1\r\n"), []byte("NATS/1.0\r\nA: b\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, subject, reply string, payload, head []byte, up bool) {
		if subject == "" || strings.ContainsAny(subject+reply, " \r\n") {
			return
		}
		c := detached(t)
		c.up = up
		for range 2 {
			if err := c.Publish(1, subject, reply, head, payload); err == nil != up || err != nil && !errors.Is(err, ErrLost) {
				t.Fatal(err)
			}
		}
		if !up {
			if len(c.out) > 0 {
				t.Fatalf("%q is left", c.out)
			}
			return
		}
		left := c.out
		for range 2 {
			gotSubject, gotReply, gotHead, gotData, rest := parsed(t, left)
			if gotSubject != subject || gotReply != reply || !bytes.Equal(gotHead, head) || !bytes.Equal(gotData, payload) {
				t.Fatalf("%q", c.out)
			}
			left = rest
		}
		if len(left) > 0 {
			t.Fatalf("%q is left", left)
		}
	})
}
