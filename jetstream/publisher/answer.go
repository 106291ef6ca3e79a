package publisher

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/reason"
)

// ErrUnanswered is the error of an Unknown outcome for want of an answer within Config.Timeout, on a connection that has
// not been lost.
var ErrUnanswered error = reason.New(reason.PublishUnknown, "JetStream has not answered in time")

// The errors of refusals for want of room in the stream. Whoever knows what the stream holds can say more.
var (
	ErrBytesFull      error = reason.New(reason.BacklogFull, "the stream holds as many bytes as it may (backlog_bytes)")
	ErrMessagesFull   error = reason.New(reason.BacklogFull, "the stream holds as many messages as it may (backlog_messages)")
	ErrOverStreamSize error = reason.New(reason.MessageTooLarge, "the message with its headers is larger than all that the stream holds (backlog_bytes)")
)

// Results that many publishes share.
var (
	stored        = Result{Outcome: Stored}
	bytesFull     = Result{Outcome: Refused, Err: ErrBytesFull}
	messagesFull  = Result{Outcome: Refused, Err: ErrMessagesFull}
	overSize      = Result{Outcome: Refused, Err: ErrOverStreamSize}
	storageFull   = refused(reason.StorageFull, "the NATS server's max_file or the account's storage limit is used up")
	tooLarge      = refused(reason.MessageTooLarge, "the message with its headers is larger than the NATS server takes")
	overloaded    = refused(reason.NATSUnavailable, "JetStream is overloaded (too many requests)")
	unavailable   = refused(reason.NATSUnavailable, "JetStream is not available for the stream")
	noStream      = Result{Outcome: NoStream, Err: reason.New(reason.NATSUnavailable, "no stream stores the subject")}
	unanswered    = Result{Outcome: Unknown, Err: ErrUnanswered}
	unconfirmed   = unknown("NATS has not confirmed the message in time")
	lost          = unknown("the NATS connection was lost before the answer")
	down          = unknown("the NATS connection is down")
	stopped       = unknown("the bridge stopped before the answer")
	streamPrefix  = []byte(`{"stream":"`)
	errorPrefix   = []byte(`{"error":{`)
	statusNoReply = "503"
)

func refused(r reason.Reason, message string) Result {
	return Result{Outcome: Refused, Err: reason.New(r, message)}
}

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

// The server's error codes; nats.go has no names for most.
const (
	codeAccountResources  = 10002
	codeNotAvailable      = 10008
	codeNotLeader         = 10009
	codeInsufficient      = 10023
	codeMemoryResources   = 10028
	codeNotEnabledAccount = 10039
	codeStorageResources  = 10047
	codeMessageTooLarge   = 10054
	codeNoStream          = 10059
	codeNotEnabled        = 10076
	codeStoreFailed       = 10077
	codeHeaderTooLarge    = 10097
	codeStreamOffline     = 10118
	codeTooManyRequests   = 10167
)

// refusal is the result for an error of JetStream's. All of them mean that the message is not stored.
func refusal(code int, description string) Result {
	switch code {
	case codeStoreFailed:
		return storeRefusal(description)
	case codeAccountResources, codeInsufficient, codeMemoryResources, codeStorageResources:
		return storageFull
	case codeMessageTooLarge:
		return overSize
	case codeHeaderTooLarge:
		return tooLarge
	case codeNoStream:
		return noStream
	case codeTooManyRequests:
		return overloaded
	case codeNotAvailable, codeNotLeader, codeNotEnabled, codeNotEnabledAccount, codeStreamOffline:
		return unavailable
	}
	return refused(reason.InternalError, "JetStream refused the message: "+description)
}

// storeRefusal tells apart the errors of a stream's store, which share one code.
func storeRefusal(description string) Result {
	switch {
	case description == "maximum bytes exceeded":
		return bytesFull
	case strings.HasPrefix(description, "maximum messages"): // exceeded, or per subject exceeded
		return messagesFull
	case description == "message too large":
		return tooLarge
	case description == "store is closed": // the stream is being deleted
		return noStream
	}
	return refused(reason.InternalError, "JetStream refused the message: "+description)
}
