package jetstream

import (
	"bytes"
	"errors"
	"strings"

	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
)

// errBadSubject is the reader's to count.
var errBadSubject = errors.New("the subject is not that of a topic")

// decoder turns what lies in a stream of a tenant into messages, for one reader.
type decoder struct {
	log            *Log
	chooser        reader.Chooser // nil: every message is wanted
	subject, topic string         // of the last message: as a rule the next one has the same
}

func (d *decoder) decode(m *wire.Msg) (*message.Message, error) {
	if string(m.Subject) != d.subject {
		subject := string(m.Subject)
		topic, ok := message.Topic(d.log.tenant, subject)
		switch {
		case ok:
		case strings.HasPrefix(subject, drainPrefix):
			return nil, reader.ErrMark // stored by a bridge that had parked the stream
		default:
			return nil, errBadSubject
		}
		d.subject, d.topic = subject, topic
	}
	if d.chooser != nil && !d.chooser.Wants(d.topic) {
		return nil, nil
	}
	decoded := &message.Message{Topic: d.topic, Payload: bytes.Clone(m.Data)}
	message.DecodeHeader(m.Header, decoded)
	return decoded, nil
}
