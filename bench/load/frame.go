package load

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

const (
	headerText = 0x81 // a whole text frame

	maskBit = 0x80
)

// parseFrame is the framing of WebSocket, as servers use it: without masks (RFC 6455, section 5.2).
func parseFrame(b []byte) (header byte, body []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	length, start := uint64(b[1]), 2
	switch b[1] {
	case 126:
		if start = 4; len(b) < start {
			return 0, nil, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if start = 10; len(b) < start {
			return 0, nil, 0, nil
		}
		length = binary.BigEndian.Uint64(b[2:])
	}
	if b[1]&maskBit != 0 || length > maxPacket {
		return 0, nil, 0, fmt.Errorf("%w: a frame of %d bytes", errMalformed, length)
	}
	size = start + int(length)
	if size > len(b) {
		return 0, nil, 0, nil
	}
	return b[0], b[start:size], size, nil
}

// appendFrame appends a text frame with fewer than 126 bytes, masked with key.
func appendFrame(dst []byte, key uint32, text ...[]byte) []byte {
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], key)
	at := len(dst) + 1
	dst = append(dst, headerText, 0)
	dst = append(dst, mask[:]...)
	n := 0
	for _, part := range text {
		for _, c := range part {
			dst = append(dst, c^mask[n&3])
			n++
		}
	}
	dst[at] = maskBit | byte(n)
	return dst
}

// encoding is what text frames of a microservice hold.
type encoding struct {
	protocol string // the WebSocket subprotocol; empty: none
	// decode finds the id and the payload of a message, which it decodes into dst.
	decode func(text, dst []byte) (id []byte, p payload, err error)
	// before and after the id in an acknowledgement
	before, after []byte
}

var encodings = map[Kind]encoding{
	JSON: {protocol: "weir.v1.json", decode: decodeJSON, before: []byte(`{"ack":"`), after: []byte(`"}`)},
	Avro: {decode: decodeAvro},
}

// decodeJSON looks for two fields, whose values never have an escape in them.
func decodeJSON(text, dst []byte) (id []byte, p payload, err error) {
	id, rest, ok := field(text, `"id":"`)
	if !ok {
		return nil, nil, errFrame(text)
	}
	encoded, _, ok := field(rest, `"payload":"`)
	if !ok {
		return nil, nil, errFrame(text)
	}
	p, err = base64.StdEncoding.AppendDecode(dst[:0], encoded)
	return id, p, err
}

func field(text []byte, name string) (value, rest []byte, ok bool) {
	start := bytes.Index(text, []byte(name))
	if start < 0 {
		return nil, nil, false
	}
	return bytes.Cut(text[start+len(name):], []byte{'"'})
}

// decodeAvro takes the payload from the end of the record, whose last field it is.
func decodeAvro(text, dst []byte) (id []byte, p payload, err error) {
	id, encoded, ok := bytes.Cut(text, []byte{'\n'})
	if !ok {
		return nil, nil, errFrame(text)
	}
	record, err := base64.StdEncoding.AppendDecode(dst[:0], encoded)
	return id, record[max(0, len(record)-PayloadSize):], err
}

func errFrame(text []byte) error { return fmt.Errorf("subscriber got %.200q, want a message", text) }
