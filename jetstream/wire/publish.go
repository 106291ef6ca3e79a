package wire

import (
	"errors"
	"net"
	"strconv"
)

// Errors of a publish. After ErrLost nothing was or will be written.
var (
	ErrLost       = errors.New("nats: the connection has ended")
	ErrMaxPayload = errors.New("nats: message larger than the server's max_payload")
)

// maxOut is how many bytes may wait to be written. Whoever publishes bounds what it has under way, so a connection that
// comes to this takes nothing any more, and is ended.
const maxOut = 160 << 20

// Publish appends a message to what is written next on the connection of that epoch. It never waits. Messages are written in
// the order of the calls. subject has no spaces; reply and header may be empty; header is a whole block. The arguments are the caller's again
// when it returns.
func (c *Conn) Publish(epoch uint64, subject, reply string, header, payload []byte) error {
	return appendMessage(c, epoch, subject, reply, header, payload)
}

// PublishOnly is Publish to a subject that is not kept as a string, without a reply.
func (c *Conn) PublishOnly(epoch uint64, subject, header, payload []byte) error {
	return appendMessage(c, epoch, subject, "", header, payload)
}

func appendMessage[S string | []byte](c *Conn, epoch uint64, subject S, reply string, header, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current(epoch) {
		return ErrLost
	}
	total := len(header) + len(payload)
	if c.maxPayload > 0 && total > c.maxPayload {
		return ErrMaxPayload
	}
	if !c.bounded(total) {
		return ErrLost
	}
	out := c.out
	if len(header) > 0 {
		out = append(out, "HPUB "...)
	} else {
		out = append(out, "PUB "...)
	}
	out = append(out, subject...)
	out = append(out, ' ')
	if reply != "" {
		out = append(out, reply...)
		out = append(out, ' ')
	}
	if len(header) > 0 {
		out = strconv.AppendUint(out, uint64(len(header)), 10)
		out = append(out, ' ')
	}
	out = strconv.AppendUint(out, uint64(total), 10)
	out = append(out, crlf...)
	out = append(out, header...)
	out = append(out, payload...)
	c.out = append(out, crlf...)
	c.written()
	return nil
}

// line appends a line to what is written next. The caller holds mu.
func (c *Conn) line(parts ...string) {
	if !c.bounded(0) {
		return
	}
	for _, part := range parts {
		c.out = append(c.out, part...)
	}
	c.out = append(c.out, crlf...)
	c.written()
}

// bounded tells whether n bytes more may wait to be written. Where not, it ends the connection. The caller holds mu.
func (c *Conn) bounded(n int) bool {
	if len(c.out)+n <= c.maxOut {
		return true
	}
	c.fail(errStalled)
	return false
}

// written wakes the writing goroutine. The caller holds mu.
func (c *Conn) written() {
	if c.idle {
		c.idle = false
		c.more.Signal()
	}
}

// write writes what gathers until the connection ends. The next one begins after write has returned.
func (c *Conn) write(conn net.Conn) {
	var spare []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.out) == 0 && c.up {
			c.idle = true
			c.more.Wait()
		}
		if !c.up {
			return
		}
		out := c.out
		c.out = spare[:0]
		c.mu.Unlock()
		_, err := conn.Write(out)
		if spare = out; cap(spare) > keepSize {
			spare = nil
		}
		c.mu.Lock()
		if err != nil {
			c.fail(err)
			return
		}
	}
}
