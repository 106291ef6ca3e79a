package publisher

import (
	"github.com/nats-io/nats.go"

	"github.com/weirmq/weir/jetstream/message"
)

// wire holds what is used again for every message.
type wire struct {
	msg    nats.Msg
	header message.HeaderMap
}

// publish writes one message to the connection's buffer.
func (w *wire) publish(nc *nats.Conn, s *slot) error {
	w.msg.Subject, w.msg.Reply = s.subject, s.reply
	w.msg.Header = w.header.Of(s.message)
	w.msg.Data = s.message.Payload
	return nc.PublishMsg(&w.msg)
}
