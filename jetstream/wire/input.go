package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	inputSize = 64 << 10
	// maxLine bounds a line of the protocol. The longest is INFO, which names every server of a cluster.
	maxLine = 1 << 20
	// maxBody bounds a message with its headers: the largest max_payload that a server takes in its configuration unless
	// its max_pending is raised too, and room to spare.
	maxBody = 65 << 20
	// keepSize is the largest buffer that is kept when the large message that needed it has been handled.
	keepSize = 1 << 20
)

var errProtocol = errors.New("nats protocol violation by the server")

// input is what has arrived and was not taken yet: buf[start:end].
type input struct {
	from       io.Reader
	buf        []byte
	start, end int
}

func newInput(from io.Reader) *input { return &input{from: from, buf: make([]byte, inputSize)} }

// peek returns the next line without its end, and its length with it, without taking it.
func (in *input) peek() (line []byte, length int, err error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(in.buf[in.start+seen:in.end], '\n'); i >= 0 {
			length = seen + i + 1
			line = in.buf[in.start : in.start+length-1]
			return bytes.TrimSuffix(line, []byte{'\r'}), length, nil
		}
		if seen = in.end - in.start; seen > maxLine {
			return nil, 0, fmt.Errorf("%w: a line of more than %d bytes", errProtocol, maxLine)
		}
		if err := in.fill(seen + 1); err != nil {
			return nil, 0, err
		}
	}
}

// has tells whether so many bytes are there.
func (in *input) has(n int) bool { return in.end-in.start >= n }

// fill reads until n bytes are there. What was returned before is invalid then.
func (in *input) fill(n int) error {
	switch {
	case n > len(in.buf):
		grown := make([]byte, max(n, min(2*len(in.buf), maxBody)))
		in.end = copy(grown, in.buf[in.start:in.end])
		in.start, in.buf = 0, grown
	case in.start == in.end && len(in.buf) > keepSize:
		in.buf = make([]byte, max(n, inputSize))
		in.start, in.end = 0, 0
	case in.start+n > len(in.buf) || in.start == in.end:
		in.end = copy(in.buf, in.buf[in.start:in.end])
		in.start = 0
	}
	for !in.has(n) {
		read, err := in.from.Read(in.buf[in.end:])
		in.end += read
		if err != nil && !in.has(n) {
			return err
		}
	}
	return nil
}

// take moves on.
func (in *input) take(n int) { in.start += n }
