package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/follow"
	"github.com/weirmq/weir/reason"
)

// The server's error codes that nats.go has no names for.
const (
	codeAccountResources   natsjs.ErrorCode = 10002
	codeNoPeers            natsjs.ErrorCode = 10005
	codeInsufficient       natsjs.ErrorCode = 10023
	codeMaximumStreams     natsjs.ErrorCode = 10027
	codeMemoryResources    natsjs.ErrorCode = 10028
	codeStorageResources   natsjs.ErrorCode = 10047
	codeStreamStore        natsjs.ErrorCode = 10049
	codeSubjectOverlap     natsjs.ErrorCode = 10065
	codeStoreFailed        natsjs.ErrorCode = 10077
	codeMaxBytesRequired   natsjs.ErrorCode = 10113
	codeMaxStreamBytes     natsjs.ErrorCode = 10122
	codeStreamLimits       natsjs.ErrorCode = 10053
	maximumMessagesMessage                  = "maximum messages exceeded"
)

func hasCode(err error, codes ...natsjs.ErrorCode) bool {
	var api *natsjs.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode == code {
			return true
		}
	}
	return false
}

// conflict reports whether a compare-and-set failed because somebody else wrote.
func conflict(err error) bool {
	return hasCode(err, natsjs.JSErrCodeStreamWrongLastSequence, natsjs.JSErrCodeStreamWrongLastSequenceConstant)
}

// full reports whether a stream that discards new messages has as many as it may.
func full(err error) bool {
	var api *natsjs.APIError
	return errors.As(err, &api) && api.ErrorCode == codeStoreFailed && api.Description == maximumMessagesMessage
}

// refusal turns an error of JetStream into what the client is told. bytes is what was to be reserved, 0 where nothing
// was.
func refusal(err error, bytes int64) *reason.Error {
	var known *reason.Error
	if errors.As(err, &known) {
		return known
	}
	if hasCode(err, codeAccountResources, codeNoPeers, codeInsufficient, codeMaximumStreams, codeMemoryResources,
		codeStorageResources, codeMaxBytesRequired, codeMaxStreamBytes, codeStreamLimits) {
		return &reason.Error{Reason: reason.StorageFull, Message: storageMessage(err, bytes), Err: err}
	}
	return &reason.Error{Reason: reason.NATSUnavailable, Message: unavailableMessage(err), Err: err}
}

func storageMessage(err error, bytes int64) string {
	var api *natsjs.APIError
	if errors.As(err, &api) && api.ErrorCode == codeMaximumStreams {
		return "the NATS account has as many streams as its max_streams allows"
	}
	if bytes > 0 {
		return fmt.Sprintf("the NATS server cannot reserve another %d bytes (backlog_bytes): "+
			"its max_file or the account's limit is used up", bytes)
	}
	return "the NATS server's max_file or the account's limit is used up"
}

func unavailableMessage(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "JetStream did not answer in time"
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, natsjs.ErrNoStreamResponse):
		return "JetStream does not answer"
	case errors.Is(err, follow.ErrClosed), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, context.Canceled):
		return "the bridge is stopping"
	}
	return "JetStream is not available"
}
