package wire

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"
)

// Causes for which a connection is ended from this side.
var (
	errStale   = errors.New("the server does not answer to PING")
	errStalled = errors.New("the server does not take what is written")
	errClosed  = errors.New("closed")
)

// Conn is a connection that is made again for ever. It is safe for concurrent use.
type Conn struct {
	// immutable
	options nats.Options
	log     *zap.Logger
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	gone    chan struct{} // closed by run when it ends
	subs    subscriptions
	maxOut  int

	// owned by run
	pool  pool
	begun time.Time // of the last round through the pool
	msg   Msg       // what the handler is called with, used again for every message

	mu         sync.Mutex
	epoch      uint64   // connections made so far
	up         bool     // the last of them has not ended
	net        net.Conn // the last of them, beneath TLS, whose Close could wait for the server
	cause      error    // why it ended, where that was decided here
	maxPayload int      // 0: not limited
	lastSID    uint64
	out        []byte          // not written yet
	pings      []func(ok bool) // who waits for a PONG, in order
	unanswered int             // PINGs of keepAlive without a PONG since
	more       sync.Cond       // of mu: signalled when out is not empty any more, or up not true
	idle       bool            // the writing goroutine waits for more
	watchers   map[chan<- struct{}]bool
}

// Connect begins to connect, and returns without waiting for it. Of the options it takes what says where the servers are, how to log
// in (but for the callbacks UserInfo and TokenHandler), TLS, the name, the dialer and the times; it reconnects whatever they
// say. An error means that they are unusable. A CustomDialer must return by itself: Close waits for it.
func Connect(options nats.Options, log *zap.Logger) (*Conn, error) {
	if options.Timeout <= 0 || options.PingInterval <= 0 {
		return nil, errors.New("a NATS connection needs a timeout and a ping interval")
	}
	pool, err := newPool(options)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		options:  options,
		log:      log.With(zap.String("connection", options.Name)),
		gone:     make(chan struct{}),
		maxOut:   maxOut,
		pool:     pool,
		watchers: make(map[chan<- struct{}]bool),
	}
	c.more.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c, nil
}

// NewInbox returns a subject that nobody else has, for answers.
func (c *Conn) NewInbox() string {
	prefix := c.options.InboxPrefix
	if prefix == "" {
		prefix = "_INBOX"
	}
	return prefix + "." + nuid.Next()
}

// State tells which connection is the last one that was made, counted from 1, and whether it is up. 0: none was made yet.
func (c *Conn) State() (epoch uint64, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch, c.up
}

// current tells whether the connection of that epoch is up. The caller holds mu.
func (c *Conn) current(epoch uint64) bool { return c.up && c.epoch == epoch }

// Watch returns a channel that gets a token when a connection was made, and when one has ended and its last handler has
// returned. Several changes may come as one token: State tells what is. The channel is never closed; stop ends the tokens.
func (c *Conn) Watch() (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers[ch] = true
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, ch)
	}
}

// tell tells the watchers. The caller holds mu.
func (c *Conn) tell() {
	for ch := range c.watchers {
		select {
		case ch <- struct{}{}:
		default: // one is there already
		}
	}
}

// Close ends the connection, and returns when no handler is called any more. What was not flushed may be lost. It must not
// be called from a handler.
func (c *Conn) Close() {
	c.cancel()
	c.mu.Lock()
	c.fail(errClosed)
	c.mu.Unlock()
	<-c.gone
}

// fail ends the connection that is up. The caller holds mu.
func (c *Conn) fail(cause error) {
	if !c.up {
		return
	}
	c.up, c.cause = false, cause
	c.more.Broadcast()
	_ = c.net.Close() // whatever it says, nothing comes or goes any more
}

// run makes connections and reads them until Close.
func (c *Conn) run() {
	defer close(c.gone)
	for {
		link := c.dial()
		if link == nil {
			return
		}
		if !c.begin(link) {
			return
		}
		var others sync.WaitGroup
		ctx, cancel := context.WithCancel(c.ctx)
		others.Go(func() { c.write(link.conn) })
		others.Go(func() { c.keepAlive(ctx) })
		err := c.read(link.input)
		cancel()
		c.end(err)
		others.Wait()
		c.mu.Lock()
		c.tell()
		c.mu.Unlock()
	}
}

// begin makes a connection the one that is up. It reports false after Close.
func (c *Conn) begin(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		_ = l.raw.Close() // unused
		return false
	}
	c.epoch++
	c.up, c.net, c.cause = true, l.raw, nil
	c.maxPayload = max(l.info.MaxPayload, 0)
	c.out, c.pings, c.unanswered = nil, nil, 0
	c.tell()
	return true
}

// end clears away what the connection leaves.
func (c *Conn) end(err error) {
	c.mu.Lock()
	c.fail(err)
	c.subs.clear()
	c.out = nil
	pings := c.pings
	c.pings = nil
	if c.ctx.Err() == nil {
		c.log.Warn("NATS connection lost", zap.Error(c.cause))
	}
	c.mu.Unlock()
	abandon(pings)
}

// dial makes a connection, and tries until it has one; nil after Close.
func (c *Conn) dial() *link {
	for {
		wait := c.options.ReconnectWait
		if jitter := c.options.ReconnectJitter; jitter > 0 {
			wait += rand.N(jitter)
		}
		select {
		case <-time.After(time.Until(c.begun.Add(wait))):
		case <-c.ctx.Done():
			return nil
		}
		c.begun = time.Now()
		for range c.pool.size() {
			server := c.pool.next()
			l, err := connect(c.ctx, c.options, server)
			if err == nil {
				c.pool.discovered(l.info.ConnectURLs, server)
				c.log.Info("connected to NATS", zap.String("server", l.info.Name), zap.String("address", server.address()))
				server.failed = ""
				return l
			}
			if c.ctx.Err() != nil {
				return nil
			}
			if server.worthLogging(err) {
				c.log.Warn("not connected to NATS", zap.String("address", server.address()), zap.Error(err))
			}
		}
	}
}

// keepAlive ends a connection whose server does not answer.
func (c *Conn) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(c.options.PingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		switch {
		case !c.up:
		case c.unanswered >= c.options.MaxPingsOut:
			c.fail(errStale)
		default:
			c.unanswered++
			c.ping(nil)
		}
		c.mu.Unlock()
	}
}
