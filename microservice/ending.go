package microservice

import (
	"errors"
	"io"
	"net"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/reason"
)

// ending is why a socket ends.
type ending struct {
	*reason.Error
	// silent leaves the close frame out, because the peer has gone already, or has it.
	silent bool
	// drain waits for the answers to what was published first.
	drain bool
}

func endFor(r reason.Reason, message string) ending { return ending{Error: reason.New(r, message)} }

// endingFor turns an error of reading into the end of the socket.
func endingFor(err error) ending {
	if e, ok := errors.AsType[*websocket.CloseError](err); ok && e.Code != websocket.CloseAbnormalClosure {
		return endFor(reason.ClientDisconnect, "")
	}
	e, ok := errors.AsType[net.Error](err) // the library hides what it wraps
	switch {
	case ok && e.Timeout():
		return endFor(reason.IdleTimeout, "nothing went either way for 5 minutes")
	case ok || errors.Is(err, io.EOF) || websocket.IsCloseError(err, websocket.CloseAbnormalClosure):
		return ending{Error: &reason.Error{Reason: reason.ConnectionLost, Err: err}, silent: true}
	default: // the library has the close frame written
		return endFor(reason.ProtocolError, err.Error())
	}
}

// closeCode is the code of the close frame that a socket gets which ends for r.
func closeCode(r reason.Reason) int {
	switch r {
	case reason.ClientDisconnect, reason.Unsubscribed:
		return websocket.CloseNormalClosure
	case reason.ProtocolError:
		return websocket.CloseProtocolError
	case reason.ServerShutdown, reason.IdleTimeout:
		return websocket.CloseGoingAway
	case reason.UserChanged, reason.TenantDisabled, reason.TakenOver:
		return websocket.ClosePolicyViolation
	default:
		return websocket.CloseInternalServerErr
	}
}
