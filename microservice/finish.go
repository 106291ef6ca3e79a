package microservice

import (
	"io"
	"sync"
	"time"

	"go.uber.org/zap"
)

// whyEnded is nil while the socket has not ended.
func (c *socket) whyEnded() *ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// finish says goodbye and closes the connection, after reading has ended.
func (c *socket) finish(writer *sync.WaitGroup) {
	e := c.whyEnded()
	if e.silent {
		_ = c.line.Close() // a write in progress ends, nobody is there to read it
	} else {
		c.line.hurry()
	}
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.signal()
	writer.Wait()
	if !e.silent {
		c.line.closeWrite()
		_ = c.line.SetReadDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.CopyN(io.Discard, c.line.Conn, lingerBytes)
		_ = c.line.Close()
	}
	c.owner.Metrics.ends.WithLabelValues(string(e.Reason)).Inc()
	c.owner.Logger.Info("socket closed", append(c.fields(),
		zap.String("reason", string(e.Reason)),
		zap.String("detail", e.Message),
		zap.NamedError("cause", e.Err),
		zap.Duration("connected", time.Since(c.opened)),
		zap.Uint64("messages", c.counts.messages.Load()),
		zap.Uint64("refused", c.counts.refused.Load()),
	)...)
}

// cut closes the connection as it is.
func (c *socket) cut() {
	c.mu.Lock()
	running := c.running
	c.mu.Unlock()
	if running {
		_ = c.line.Close() // it may be closed already
	}
}

// fields name the socket in the log.
func (c *socket) fields() []zap.Field {
	return []zap.Field{
		zap.String("tenant", c.grant.Tenant),
		zap.String("user", c.grant.User),
		zap.String("kind", string(c.kind)),
		zap.String("subscriber", c.grant.Subscriber),
		zap.String("subscription", c.grant.Subscription),
		zap.String("remote", c.remote),
		zap.String("encoding", c.encoding.Name()),
	}
}
