package reader

import (
	"bytes"
	"time"

	"github.com/weirmq/weir/jetstream/wire"
)

// place is what a reply subject of a consumer tells about its message.
type place struct {
	stream   uint64 // stream sequence
	consumer uint64 // consumer sequence: 1 for the first message after a consumer was made or reset
	stored   time.Time
	pending  uint64 // messages for this consumer after this one
}

// Tokens of a reply subject: without domain and account, with them, and with what newer servers may append.
const (
	plainTokens  = 9
	domainTokens = 11
	// How many come before the consumer's name.
	plainConsumer  = 3
	domainConsumer = 5
)

// parseReply reads a subject such as $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>,
// or the longer one with domain and account after ACK, from its right end.
func parseReply(subject []byte) (p place, ok bool) {
	if !bytes.HasPrefix(subject, []byte("$JS.ACK.")) {
		return p, false
	}
	n := bytes.Count(subject, []byte{'.'}) + 1
	if n != plainTokens && n < domainTokens {
		return p, false
	}
	for ; n > domainTokens; n-- {
		subject = subject[:bytes.LastIndexByte(subject, '.')]
	}
	var numbers [4]uint64 // from the right: pending, time, consumer and stream sequence
	for i := range numbers {
		dot := bytes.LastIndexByte(subject, '.')
		if numbers[i], ok = wire.ParseUint(subject[dot+1:]); !ok {
			return p, false
		}
		subject = subject[:dot]
	}
	return place{stream: numbers[3], consumer: numbers[2], stored: time.Unix(0, int64(numbers[1])), pending: numbers[0]}, true
}
