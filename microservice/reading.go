package microservice

import (
	"io"
	"strconv"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/reason"
)

// read takes frames until the socket ends.
func (c *socket) read(to role) {
	for c.await(to.ready) {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.end(endingFor(err))
			return
		}
		c.alive()
		limit := 0
		if kind == websocket.TextMessage {
			limit = to.limit()
		}
		text := borrow()
		whole, err := readFrame(r, text, limit)
		switch {
		case err != nil:
			giveBack(text)
			c.end(endingFor(err))
			return
		case kind != websocket.TextMessage:
			to.refuse(nil, reason.New(reason.ProtocolError, "frames are text"))
		case !whole:
			to.refuse(*text, reason.New(reason.PacketTooLarge, "the frame is over "+strconv.Itoa(limit)+" bytes"))
		default:
			to.take(*text)
		}
		giveBack(text)
	}
}

// readFrame reads one frame into an empty buffer. Of one that has more than limit bytes it keeps so many, and throws the rest away.
func readFrame(r io.Reader, into *[]byte, limit int) (whole bool, err error) {
	for b := *into; ; *into = b {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > limit {
			*into = b[:limit]
			_, err = io.Copy(io.Discard, r)
			return false, err
		}
		if err != nil {
			*into = b
			if err == io.EOF { //nolint:errorlint // of a frame's reader, which never wraps it
				err = nil
			}
			return true, err
		}
	}
}

// await waits until the reading goroutine may go on, and tells that the socket has not ended. ready is called with mu held.
func (c *socket) await(ready func() bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.ended == nil && !ready() {
		c.changed.Wait()
	}
	return c.ended == nil
}
