package publisher

import (
	"bytes"
	"encoding/json"

	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message/puback"
	"github.com/weirmq/weir/reason"
)

// ErrUnanswered is the error of an Unknown outcome for want of an answer within Config.Timeout, on a connection that has
// not been lost.
var ErrUnanswered error = reason.New(reason.PublishUnknown, "JetStream has not answered in time")

// The errors of refusals for want of room in the stream. Whoever knows what the stream holds can say more.
var (
	ErrBytesFull      error = puback.BytesFull
	ErrMessagesFull   error = puback.MessagesFull
	ErrOverStreamSize error = puback.OverStreamSize
)

// Results that many publishes share.
var (
	stored        = Result{Outcome: Stored}
	tooLarge      = Result{Outcome: Refused, Err: puback.TooLarge}
	noStream      = Result{Outcome: NoStream, Err: puback.NoStream}
	unanswered    = Result{Outcome: Unknown, Err: ErrUnanswered}
	unconfirmed   = unknown("NATS has not confirmed the message in time")
	lost          = unknown("the NATS connection was lost before the answer")
	down          = unknown("the NATS connection is down")
	stopped       = unknown("the bridge stopped before the answer")
	streamPrefix  = []byte(`{"stream":"`)
	errorPrefix   = []byte(`{"error":{`)
	statusNoReply = "503"
)

func unknown(message string) Result {
	return Result{Outcome: Unknown, Err: reason.New(reason.PublishUnknown, message)}
}

// answer takes one answer. It is the subscription's callback.
func (p *Publisher) answer(m *wire.Msg) {
	r, ok := parse(m)
	if !ok {
		p.config.Metrics.strange()
		return
	}
	index, generation, ok := parseReply(m.Subject[len(p.slots.inbox):])
	if !ok {
		p.config.Metrics.strange()
		return
	}
	p.mu.Lock()
	s := p.slots.find(index, generation)
	if s == nil {
		p.mu.Unlock()
		return // told Unknown long ago
	}
	a := p.release(s, r)
	p.mu.Unlock()
	a.tell()
}

// parse reads a PubAck. It reports false for what is none: a native service that answers to the messages that it sees
// must not be taken for JetStream.
func parse(m *wire.Msg) (Result, bool) {
	if bytes.HasPrefix(m.Data, streamPrefix) {
		return stored, true
	}
	if len(m.Data) == 0 {
		return noStream, string(m.Status()) == statusNoReply
	}
	if !bytes.HasPrefix(m.Data, errorPrefix) {
		return Result{}, false
	}
	var ack struct {
		Error struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if json.Unmarshal(m.Data, &ack) != nil || ack.Error.Code == 0 {
		return Result{}, false
	}
	return refusal(ack.Error.Code, ack.Error.Description), true
}

// refusal is the result for an error of JetStream's.
func refusal(code int, description string) Result {
	err := puback.Refusal(code, description)
	if err == puback.NoStream {
		return noStream
	}
	return Result{Outcome: Refused, Err: err}
}
