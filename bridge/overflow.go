package bridge

import (
	"fmt"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// Overflowed tells the client that messages were let go because it holds as many as the rule of their topics allows.
func (c *conn) Overflowed(place tenant.Place, messages uint64) {
	f := &fault{
		Error: reason.New(reason.SessionOverflow, fmt.Sprintf(
			"%d messages were not delivered: without acknowledgement a subscription holds only so many (hold_messages, hold_bytes)", messages)),
		packet: codec.PUBLISH,
	}
	if place.Stream == tenant.StreamDedicated {
		f.topic = place.Name
	}
	c.report(f)
}
