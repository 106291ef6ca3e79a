// Package frame is what is inside the WebSocket text frames between Weir and a microservice: bytes in, values out, without sockets or state.
//
// There are two encodings. Avro is that of the MQTT Service Java client, which opens one socket for one topic and knows of nothing but base64:
//
//	server → consumer  <ackId>\n<base64(Avro MqttServiceMessage)>
//	consumer → server  <ackId>, or unsubscribe_subscriber
//	producer → server  <seq>\n<base64(Avro MqttServiceMessage)>
//	server → producer  <seq>
//
// JSON is selected by the subprotocol weir.v1.json:
//
//	server → consumer  {"id":"…","topic":"…","payload":"<base64>","time":"…","metadata":{…}}
//	consumer → server  {"ack":"<id>"}, {"nak":"<id>"} or {"unsubscribe":true}
//	producer → server  {"seq":1,"topic":"…","payload":"<base64>","to":"<client id>","metadata":{…}}
//	server → producer  {"ack":1}
//
// In both, a refusal is {"error":{"code":"…","message":"…"}}, to a producer with the "seq" of what was refused in front.
//
// Whoever decodes has bounded the length of the frame; nothing that a frame says lets a decoder allocate more than that again. Errors are *reason.Error, made to
// be sent back: they leave the socket open.
package frame

import (
	"encoding/json"
	"strconv"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// Protocol is the WebSocket subprotocol that selects JSON.
const Protocol = "weir.v1.json"

// Encoding is one of the two encodings. It is safe for concurrent use.
type Encoding interface {
	// Name is the encoding's in logs and metrics.
	Name() string
	// AppendMessage appends the frame that hands a message to a consumer, who names the id to acknowledge it.
	AppendMessage(dst []byte, id uint64, m *message.Message) []byte
	// ParseRequest reads a frame of a consumer.
	ParseRequest(text []byte) (Request, error)
	// ParsePublish reads a frame of a producer. With an error, HasSeq tells whether the answer can name the frame. The message shares nothing with
	// text.
	ParsePublish(text []byte) (Publish, error)
	// Number reads the number of a producer's frame of which there is only the beginning.
	Number(start []byte) (seq uint64, ok bool)
	// AppendStored appends the answer to a publish that is stored.
	AppendStored(dst []byte, seq uint64) []byte
}

// Request is what a consumer wants.
type Request struct {
	Kind RequestKind
	ID   uint64 // of the message, for Ack and Nak
}

// RequestKind is one of the things that a consumer may want.
type RequestKind byte

// The requests.
const (
	Ack         RequestKind = iota // the message is done with
	Nak                            // the message is to be sent again
	Unsubscribe                    // the subscriber is to be removed, with all that it holds
)

// Publish is one frame of a producer.
type Publish struct {
	Seq    uint64
	HasSeq bool
	// Message has the payload, To and the properties; Topic where the frame names one.
	Message *message.Message
}

// AppendError appends the refusal of whatever came.
func AppendError(dst []byte, err *reason.Error) []byte {
	dst = append(dst, `{"error":`...)
	return append(appendCode(dst, err), '}')
}

// AppendRefused appends the answer to a publish that is refused.
func AppendRefused(dst []byte, seq uint64, err *reason.Error) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"error":`...)
	return append(appendCode(dst, err), '}')
}

func appendCode(dst []byte, err *reason.Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, string(err.Reason))
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, err.Message)
	return append(dst, '}')
}

// appendString appends a JSON string.
func appendString[T string | []byte](dst []byte, s T) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(string(s))
			if err != nil {
				panic(err) // a string always has a form
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// parseID reads the number that stands for a message.
func parseID[T string | []byte](s T) (uint64, error) {
	id, err := strconv.ParseUint(string(s), 10, 64)
	if err != nil {
		return 0, reason.New(reason.UnknownAck, "no message was sent with this id")
	}
	return id, nil
}

func malformed(text string) *reason.Error { return reason.New(reason.MalformedFrame, text) }
