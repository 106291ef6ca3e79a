package wire

import "context"

// Barrier calls reached with true once the server has processed all that was published and subscribed before on the connection of
// that epoch, and with false when that connection has ended before. It is called on the goroutine that reads the connection,
// after the handlers of all messages that came before, and must not block. Barrier itself never waits; where it
// fails, with ErrLost, reached is not called.
func (c *Conn) Barrier(epoch uint64, reached func(ok bool)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current(epoch) {
		return ErrLost
	}
	c.ping(reached)
	return nil
}

// Flush returns once the server has processed all that was published and subscribed before on the connection of that epoch.
func (c *Conn) Flush(ctx context.Context, epoch uint64) error {
	answered := make(chan bool, 1)
	if err := c.Barrier(epoch, func(ok bool) { answered <- ok }); err != nil {
		return err
	}
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

// ping asks the server for a PONG, and lets answered be told true when it comes, false when the connection ends before. Nil is
// told nothing. The caller holds mu.
func (c *Conn) ping(answered func(ok bool)) {
	c.pings = append(c.pings, answered)
	c.line("PING")
}

// pong takes the answer to the first PING that waits for one.
func (c *Conn) pong() {
	if answered := c.nextPing(); answered != nil {
		answered(true)
	}
}

func (c *Conn) nextPing() func(ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pings) == 0 {
		return nil // a PONG that the server sent unasked
	}
	answered := c.pings[0]
	last := copy(c.pings, c.pings[1:]) // there are few
	c.pings[last] = nil
	c.pings = c.pings[:last]
	c.unanswered = 0
	return answered
}

// abandon tells those who wait for a PONG that none comes.
func abandon(pings []func(ok bool)) {
	for _, answered := range pings {
		if answered != nil {
			answered(false)
		}
	}
}
