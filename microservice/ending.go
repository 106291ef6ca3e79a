package microservice

import (
	"errors"
	"io"
	"os"

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
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return endFor(reason.IdleTimeout, "nothing went either way for 5 minutes")
	}
	e := ending{Error: &reason.Error{Reason: reason.ConnectionLost}, silent: true}
	if !errors.Is(err, io.EOF) {
		e.Err = err
	}
	return e
}

// closeCode is the code of the close frame that a socket gets which ends for r.
func closeCode(r reason.Reason) int {
	switch r {
	case reason.ClientDisconnect, reason.Unsubscribed:
		return websocket.CloseNormalClosure
	case reason.ServerShutdown, reason.IdleTimeout:
		return websocket.CloseGoingAway
	case reason.UserChanged, reason.TenantDisabled, reason.TakenOver:
		return websocket.ClosePolicyViolation
	default:
		return websocket.CloseInternalServerErr
	}
}
