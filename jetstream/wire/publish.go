package wire

import (
	"context"
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

// Flush returns once the server has processed all that was published and subscribed before on the connection of that epoch.
func (c *Conn) Flush(ctx context.Context, epoch uint64) error {
	c.mu.Lock()
	if !c.current(epoch) {
		c.mu.Unlock()
		return ErrLost
	}
	answered := make(chan bool, 1)
	c.ping(answered)
	c.mu.Unlock()
	select {
	case ok := <-answered:
		if !ok {
			return ErrLost
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ping asks the server for a PONG, and sends true to answered when it comes, false when the connection ends before. Nil is
// told nothing. The caller holds mu.
func (c *Conn) ping(answered chan<- bool) {
	c.pings = append(c.pings, answered)
	c.line("PING")
}

// pong takes the answer to the first PING that waits for one.
func (c *Conn) pong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pings) == 0 {
		return // one that the server sent unasked
	}
	if answered := c.pings[0]; answered != nil {
		answered <- true
	}
	c.pings = c.pings[1:]
	c.unanswered = 0
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
