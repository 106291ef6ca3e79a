// Package puback says what it means that JetStream does not store a message: one table for Weir and for services.
package puback

import (
	"strings"

	"github.com/weirmq/weir/reason"
)

// Refusals that are told apart. Nobody changes them. Whoever knows what the stream holds can say more of the first three.
var (
	BytesFull      = reason.New(reason.BacklogFull, "the stream holds as many bytes as it may (backlog_bytes)")
	MessagesFull   = reason.New(reason.BacklogFull, "the stream holds as many messages as it may (backlog_messages)")
	OverStreamSize = reason.New(reason.MessageTooLarge, "the message with its headers is larger than all that the stream holds (backlog_bytes)")
	TooLarge       = reason.New(reason.MessageTooLarge, "the message with its headers is larger than the NATS server takes")
	NoStream       = reason.New(reason.NATSUnavailable, "no stream stores the subject")
)

var (
	storageFull = reason.New(reason.StorageFull, "the NATS server's max_file or the account's storage limit is used up")
	overloaded  = reason.New(reason.NATSUnavailable, "JetStream is overloaded (too many requests)")
	unavailable = reason.New(reason.NATSUnavailable, "JetStream is not available for the stream")
)

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

// Refusal is what an error in JetStream's answer to a publish means, by its err_code and description. All of them mean
// that the message is not stored.
func Refusal(code int, description string) *reason.Error {
	switch code {
	case codeStoreFailed:
		return storeRefusal(description)
	case codeAccountResources, codeInsufficient, codeMemoryResources, codeStorageResources:
		return storageFull
	case codeMessageTooLarge:
		return OverStreamSize
	case codeHeaderTooLarge:
		return TooLarge
	case codeNoStream:
		return NoStream
	case codeTooManyRequests:
		return overloaded
	case codeNotAvailable, codeNotLeader, codeNotEnabled, codeNotEnabledAccount, codeStreamOffline:
		return unavailable
	}
	return reason.New(reason.InternalError, "JetStream refused the message: "+description)
}

// storeRefusal tells apart the errors of a stream's store, which share one code.
func storeRefusal(description string) *reason.Error {
	switch {
	case description == "maximum bytes exceeded":
		return BytesFull
	case strings.HasPrefix(description, "maximum messages"): // exceeded, or per subject exceeded
		return MessagesFull
	case description == "message too large":
		return OverStreamSize
	case description == "store is closed": // the stream is being deleted
		return NoStream
	}
	return reason.New(reason.InternalError, "JetStream refused the message: "+description)
}
