package reader

import "github.com/nats-io/nats.go"

// Receive hands a message to the reader as its subscription does. A server lets no client publish with a reply subject
// such as a consumer's.
func (r *Reader) Receive(m *nats.Msg) { r.receive(m) }
