package microservice

import (
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/reason"
)

// answer adds a frame to the outbox.
func (c *socket) answer(write func(dst []byte) []byte) {
	c.mu.Lock()
	c.box.add(write)
	c.mu.Unlock()
	c.signal()
}

// write moves frames to the network until finish has the last of them written. fill writes further ones, and tells whether there were any.
func (c *socket) write(fill func() (bool, error)) {
	for range c.wake {
		for {
			// Whoever has woken this goroutine is about to add more: a write for all of it costs as much as one for the first.
			runtime.Gosched()
			job, ok := c.take()
			if !ok {
				break // finish wakes it once more
			}
			wrote, err := c.compose(job, fill)
			if job.last != nil {
				c.sayGoodbye(*job.last)
				return
			}
			if err == nil && wrote {
				err = c.line.flush()
			}
			if err != nil {
				c.end(writeEnding(err))
				break
			}
			if !wrote {
				break
			}
			c.alive()
		}
	}
}

// writeEnding turns an error of writing into the end of the socket.
func writeEnding(err error) ending {
	e := ending{Error: &reason.Error{Reason: reason.ConnectionLost, Err: err}, silent: true}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e.Error = reason.New(reason.WriteTimeout, "the peer does not read")
	}
	return e
}

// job is what is to be written, besides what is in out.
type job struct {
	pong  *string // the payload
	probe *probe
	last  *ending // the socket ends
}

// take takes what there is to write. ok is false where the socket has ended and the time for its last frames has not come.
func (c *socket) take() (j job, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil && !c.closing {
		return j, false
	}
	c.out, c.box = c.box, c.out
	j.pong, c.ping = c.ping, nil
	if c.probe != nil && !c.probe.sent {
		c.probe.sent = true
		j.probe = c.probe
	}
	if c.closing {
		j.last = c.ended
	}
	c.changed.Broadcast()
	return j, true
}

// compose writes a job to the line.
func (c *socket) compose(j job, fill func() (bool, error)) (wrote bool, err error) {
	wrote = len(c.out.ends) > 0 || j.pong != nil || j.probe != nil
	err = c.out.each(c.send)
	c.out.reset()
	if j.pong != nil && err == nil {
		err = c.ws.WriteControl(websocket.PongMessage, []byte(*j.pong), time.Time{})
	}
	if j.probe != nil && err == nil {
		err = c.ws.WriteControl(websocket.PingMessage, []byte(j.probe.payload), time.Time{})
	}
	if j.last != nil || err != nil {
		return wrote, err
	}
	more, err := fill()
	return wrote || more, err
}

// send writes one frame. It is called on the writing goroutine.
func (c *socket) send(text []byte) error {
	if err := c.ws.WriteMessage(websocket.TextMessage, text); err != nil {
		return err
	}
	if c.line.full() {
		return c.line.flush()
	}
	return nil
}

// sayGoodbye writes the last frame. Errors do not matter any more.
func (c *socket) sayGoodbye(e ending) {
	if !e.silent {
		text := websocket.FormatCloseMessage(closeCode(e.Reason), string(e.Reason))
		_ = c.ws.WriteControl(websocket.CloseMessage, text, time.Time{}) // there is one already
	}
	_ = c.line.flush() // nobody reads
}
