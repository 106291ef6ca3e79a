package reader

import (
	"context"
	"errors"

	"github.com/weirmq/weir/tenant"
)

// ErrMoved says that the topic has another place by now.
var ErrMoved = errors.New("the topic has moved")

// Mover is who reads for the sessions of this bridge. Its functions are called one at a time, and may be called again for the same move.
type Mover interface {
	// Prepare returns when every subscription is attached to what it wants of the new places. What Places says includes both.
	Prepare(ctx context.Context, m tenant.Move) error
	// Hold lets nothing through, from now on, from places that gain topics.
	Hold(m tenant.Move)
	// Release lets them go on: last says up to which sequence the places that were parked belong to the time before the move. A
	// subscription takes nothing from beyond it before it has taken everything else up to it.
	Release(m tenant.Move, last map[tenant.Place]uint64)
}

// Former is a stream that takes no messages any more, and has something for a stored subscriber.
type Former struct {
	Stream string
	Last   uint64 // sequence of its newest message
}
