package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// First bytes of the packets the client uses, with the flags it uses them with.
const (
	headerConnect   = 0x10
	headerConnack   = 0x20
	headerPublish   = 0x32 // QoS 1
	headerPuback    = 0x40
	headerSubscribe = 0x82
	headerSuback    = 0x90

	maskType = 0xF0
)

// maxPacket bounds what the client accepts, in bytes. Nothing it asks for comes near.
const maxPacket = 64 << 10

var errMalformed = errors.New("malformed packet from the server")

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// appendConnect appends a CONNECT with a clean session and a user.
func appendConnect(dst []byte, clientID, user, password string, keepAlive uint16) []byte {
	const flags = 0x80 | 0x40 | 0x02 // user name, password, clean session
	dst = append(dst, headerConnect)
	dst = appendLength(dst, 10+2+len(clientID)+2+len(user)+2+len(password))
	dst = appendString(dst, "MQTT")
	dst = append(dst, 4, flags)
	dst = binary.BigEndian.AppendUint16(dst, keepAlive)
	dst = appendString(dst, clientID)
	dst = appendString(dst, user)
	return appendString(dst, password)
}

// appendSubscribe appends a SUBSCRIBE at QoS 1.
func appendSubscribe(dst []byte, packetID uint16, topics []string) []byte {
	n := 2
	for _, topic := range topics {
		n += 2 + len(topic) + 1
	}
	dst = append(dst, headerSubscribe)
	dst = appendLength(dst, n)
	dst = binary.BigEndian.AppendUint16(dst, packetID)
	for _, topic := range topics {
		dst = append(appendString(dst, topic), 1)
	}
	return dst
}

func appendPuback(dst []byte, packetID uint16) []byte {
	return append(dst, headerPuback, 2, byte(packetID>>8), byte(packetID))
}

// appendPublish appends a PUBLISH at QoS 1.
func appendPublish(dst []byte, topic string, packetID uint16, payload []byte) []byte {
	dst = append(dst, headerPublish)
	dst = appendLength(dst, 2+len(topic)+2+len(payload))
	dst = appendString(dst, topic)
	dst = binary.BigEndian.AppendUint16(dst, packetID)
	return append(dst, payload...)
}

// decodePublish takes the body of a PUBLISH at QoS 1 apart.
func decodePublish(body []byte) (packetID uint16, payload []byte, err error) {
	if len(body) < 2 {
		return 0, nil, errMalformed
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	if len(body) < n+2 {
		return 0, nil, errMalformed
	}
	return binary.BigEndian.Uint16(body[n:]), body[n+2:], nil
}

// parse is the framing of MQTT.
func parse(b []byte) (header byte, body []byte, size int, err error) {
	length, shift := 0, 0
	for i := 1; i < len(b); i++ {
		length |= int(b[i]&0x7F) << shift
		if b[i] < 0x80 {
			if length > maxPacket {
				return 0, nil, 0, fmt.Errorf("%w: %d bytes", errMalformed, length)
			}
			size = i + 1 + length
			if size > len(b) {
				return 0, nil, 0, nil
			}
			return b[0], b[i+1 : size], size, nil
		}
		if shift += 7; shift > 21 {
			return 0, nil, 0, errMalformed
		}
	}
	return 0, nil, 0, nil
}

// framing takes the first packet from b; size is 0 while b does not hold all of it.
type framing func(b []byte) (header byte, body []byte, size int, err error)

// packetReader cuts a byte stream into packets.
type packetReader struct {
	src   io.Reader
	parse framing

	buf        []byte
	start, end int // buf[start:end] is unread
}

func newPacketReader(src io.Reader, parse framing) *packetReader {
	return &packetReader{src: src, parse: parse, buf: make([]byte, 2*maxPacket)}
}

// next returns one packet, whose body is valid until the call after the next that reads; a call reads only
// when [packetReader.buffered] is false.
func (r *packetReader) next() (header byte, body []byte, err error) {
	for {
		header, body, size, err := r.parse(r.buf[r.start:r.end])
		if err != nil {
			return 0, nil, err
		}
		if size > 0 {
			r.start += size
			return header, body, nil
		}
		if r.start > 0 {
			r.end = copy(r.buf, r.buf[r.start:r.end])
			r.start = 0
		}
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if n == 0 && err != nil {
			return 0, nil, err
		}
	}
}

// buffered tells whether the next packet is here already.
func (r *packetReader) buffered() bool {
	_, _, size, err := r.parse(r.buf[r.start:r.end])
	return size > 0 || err != nil
}
