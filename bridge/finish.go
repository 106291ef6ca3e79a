package bridge

import (
	"context"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/reason"
)

const (
	// flushTimeout bounds the writing of the last packets.
	flushTimeout = 2 * time.Second
	// lingerTimeout and lingerBytes bound the wait for the client to close, too.
	lingerTimeout = time.Second
	lingerBytes   = 4 << 20
	// willTimeout bounds the wait for the will's PubAck.
	willTimeout = 10 * time.Second
	// releaseTimeout bounds the giving back of the client identifier.
	releaseTimeout = 2 * time.Second
)

// finish ends a connection that was accepted, after reading has ended. doc.go has the order.
func (c *conn) finish(writer *sync.WaitGroup) bool {
	e := c.drain()
	c.hangUp(e, writer)
	c.closeSubscriptions()
	if e.Reason != reason.ClientDisconnect {
		c.publishWill()
	}
	ctx, cancel := context.WithTimeout(c.server.base, releaseTimeout)
	defer cancel()
	c.claim.Release(ctx)
	c.closeWrite() // if hangUp has not
	c.farewell(e)
	return true
}

// drain returns why the connection ends, after the answers to its publishes where the end wants them.
func (c *conn) drain() ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := *c.ended
	if e.drain {
		stop := context.AfterFunc(c.server.base, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed.Broadcast()
		})
		defer stop()
		for !c.session.in.settled() && c.server.base.Err() == nil {
			c.changed.Wait()
		}
	}
	if c.unknown != nil {
		c.unknown.Stop()
	}
	return e
}

// hangUp says goodbye, writes what is in the outbox and closes this side of the connection. A client that has
// disconnected finds its connection closed only when its identifier and its place among the connections are free again.
func (c *conn) hangUp(e ending, writer *sync.WaitGroup) {
	c.mu.Lock()
	c.session.goodbye(e)
	c.closing = true
	c.mu.Unlock()
	c.signal()
	left := e.Reason == reason.ClientDisconnect || e.Reason == reason.ClientDisconnectWill
	if e.silent && !left {
		_ = c.net.Close() // a write in progress ends, nobody is there to read it
	} else {
		_ = c.net.SetWriteDeadline(time.Now().Add(flushTimeout))
	}
	writer.Wait()
	if !left {
		c.closeWrite()
	}
}

// closeWrite tells the client that nothing follows. Closing the socket at once while bytes of the client are unread would
// take the last packets away from it.
func (c *conn) closeWrite() {
	if half, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		_ = c.net.Close()
	}
}

// linger reads on until the client has closed, too, for a moment at most.
func (c *conn) linger() {
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.CopyN(io.Discard, c.net, lingerBytes)
}

func (c *conn) closeSubscriptions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.subs.end()
	if c.member != nil {
		c.member.Leave()
	}
}

// farewell reports, announces, counts and logs the end.
func (c *conn) farewell(e ending) {
	if clientFault(e.Reason) && !e.reported {
		c.report(&fault{Error: e.Error})
	}
	c.errors.release()
	c.server.Metrics.disconnected(e.Reason)
	c.log.Event("disconnected", c.session.clientID, c.presence(string(e.Reason)))
	c.mu.Lock()
	n := c.session.counts
	c.mu.Unlock()
	c.server.Logger.Info("disconnected", append(c.fields(),
		zap.String("reason", string(e.Reason)),
		zap.String("detail", e.Message),
		zap.NamedError("cause", e.Err),
		zap.Duration("connected", time.Since(c.opened)),
		zap.Uint64("published", n.published),
		zap.Uint64("refused", n.refused),
		zap.Uint64("delivered", n.delivered),
		zap.Uint64("dropped", n.dropped),
	)...)
}

// fields name the connection in the log.
func (c *conn) fields() []zap.Field {
	return []zap.Field{
		zap.String("tenant", c.principal.Tenant),
		zap.String("user", c.principal.User),
		zap.String("client_id", c.session.clientID),
		zap.String("remote", c.remote),
		zap.Stringer("version", c.session.version),
	}
}

// presence is what the events of a connection carry.
type presence struct {
	Time     string `json:"time"` // RFC 3339 with nanoseconds
	ClientID string `json:"clientId"`
	User     string `json:"user"`
	Version  string `json:"version"` // 3.1, 3.1.1 or 5.0
	Remote   string `json:"remote"`
	Reason   string `json:"reason,omitempty"`
}

func (c *conn) presence(why string) presence {
	return presence{
		Time:     time.Now().UTC().Format(time.RFC3339Nano),
		ClientID: c.session.clientID,
		User:     c.principal.User,
		Version:  c.session.version.String(),
		Remote:   c.remote,
		Reason:   why,
	}
}
