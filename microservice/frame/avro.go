package frame

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"sync"

	"github.com/hamba/avro/v2"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// Avro is the encoding of the MQTT Service Java client.
type Avro struct{}

// unsubscribe is the consumer's frame that removes the subscriber.
const unsubscribe = "unsubscribe_subscriber"

// writers are kept for use again, with their memory.
var writers = sync.Pool{New: func() any { return avro.NewWriter(nil, 1<<10) }}

// writerKept is the largest record in bytes whose writer is kept.
const writerKept = 64 << 10

// Name is "avro".
func (Avro) Name() string { return "avro" }

// AppendMessage appends <id>\n<base64>.
func (Avro) AppendMessage(dst []byte, id uint64, m *message.Message) []byte {
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(dst, '\n')
	w, _ := writers.Get().(*avro.Writer)
	w.Reset(nil)
	writeRecord(w, m)
	dst = base64.StdEncoding.AppendEncode(dst, w.Buffer())
	if w.Buffered() <= writerKept {
		writers.Put(w)
	}
	return dst
}

// ParseRequest reads the id of a message, to acknowledge it, or unsubscribe_subscriber.
func (Avro) ParseRequest(text []byte) (Request, error) {
	if string(text) == unsubscribe {
		return Request{Kind: Unsubscribe}, nil
	}
	id, err := parseID(text)
	return Request{Kind: Ack, ID: id}, err
}

// ParsePublish reads <seq>\n<base64>.
func (Avro) ParsePublish(text []byte) (p Publish, err error) {
	seq, body, ok := bytes.Cut(text, []byte{'\n'})
	if !ok {
		return p, malformed("a frame is a number, a newline and base64")
	}
	if p.Seq, err = strconv.ParseUint(string(seq), 10, 63); err != nil {
		return p, malformed("the first line of a frame is a number")
	}
	p.HasSeq = true
	record := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	n, err := base64.StdEncoding.Strict().Decode(record, body)
	if err != nil || bytes.IndexByte(body, '\n') >= 0 || bytes.IndexByte(body, '\r') >= 0 {
		return p, malformed("what follows the first line is not base64")
	}
	if p.Message, err = readRecord(record[:n]); err != nil {
		return p, err
	}
	return p, checkStrings(p.Message)
}

// Number reads the first line.
func (Avro) Number(start []byte) (seq uint64, ok bool) {
	line, _, ok := bytes.Cut(start, []byte{'\n'})
	seq, err := strconv.ParseUint(string(line), 10, 63)
	return seq, ok && err == nil
}

// AppendStored appends the number of the frame.
func (Avro) AppendStored(dst []byte, seq uint64) []byte { return strconv.AppendUint(dst, seq, 10) }

// errAvro is the answer to whatever is not the one record that a frame holds.
func errAvro() *reason.Error { return malformed("what is in base64 is not an Avro MqttServiceMessage") }
