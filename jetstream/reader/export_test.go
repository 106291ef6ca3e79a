package reader

import (
	"time"

	"github.com/weirmq/weir/jetstream/wire"
)

// Receive hands a message to the reader as its subscription does. A server lets no client publish with a reply subject
// such as a consumer's.
func (r *Reader) Receive(m *wire.Msg) { r.receive(m) }

// Turn is how long a reader waits before it asks for its lag.
func (p *Pace) Turn(now time.Time) time.Duration { return p.turn(now) }
