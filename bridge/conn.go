package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

// storeTimeout bounds one wait for JetStream on behalf of a packet.
const storeTimeout = 10 * time.Second

// conn is one network connection and, after CONNECT, its session.
type conn struct {
	// immutable
	server *Server
	net    net.Conn
	remote string
	opened time.Time
	ctx    context.Context // ends when the connection does
	cancel context.CancelFunc
	wake   chan struct{} // of the writing goroutine, capacity 1; never closed
	over   chan struct{} // closed by serve when the end is complete but for the socket

	// owned by the reading goroutine
	in     stream
	reader *codec.Reader
	member *fanout.Member // nil before the first SUBSCRIBE
	// connectBytes is the size of the CONNECT.
	connectBytes int64

	// set by connect before the first of them is used by another goroutine, then immutable
	principal authn.Principal
	log       *jetstream.Log
	claim     *jetstream.Claim
	errors    *errorLog
	will      *message.Message

	mu      sync.Mutex
	changed sync.Cond // on mu: what the reading goroutine waits for may have come

	// guarded by mu
	session session
	ended   *ending // why the connection ends; set once
	closing bool    // the writing goroutine ends when the outbox is empty
	unknown *time.Timer
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		server: s,
		net:    nc,
		remote: nc.RemoteAddr().String(),
		opened: time.Now(),
		wake:   make(chan struct{}, 1),
		over:   make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(s.base)
	c.changed.L = &c.mu
	c.in = stream{conn: nc, idle: c.signal, greeting: true}
	c.reader = codec.NewReader(&c.in, maxConnectBytes)
	return c
}

// serve lives as long as the connection.
func (c *conn) serve() {
	defer c.cancel()
	if c.guard(c.connect) {
		var writer sync.WaitGroup
		writer.Go(func() { c.guard(c.write) })
		c.guard(c.read)
		c.guard(func() bool { return c.finish(&writer) })
	}
	close(c.over)
	c.linger()
	_ = c.net.Close() // may be closed already
}

// guard runs one part of the connection and turns a panic in it into the end of this connection alone.
func (c *conn) guard(part func() bool) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.server.Metrics.panics.Inc()
			c.server.Logger.Error("connection failed", zap.String("reason", string(reason.InternalError)),
				zap.String("remote", c.remote), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			c.end(ending{Error: reason.New(reason.InternalError, "")})
			ok = false
		}
	}()
	return part()
}

// end ends the connection for a reason; the first one counts. It does not wait.
func (c *conn) end(e ending) {
	c.mu.Lock()
	if c.ended == nil {
		c.ended = &e
		c.changed.Broadcast()
	}
	c.mu.Unlock()
	c.cancel()
	c.in.stop()
}

// lastWordsTime bounds how long a connection that is about to end handles what had arrived before.
const lastWordsTime = 200 * time.Millisecond

// endAfterLastWords is end for a connection whose client has gone, as far as can be seen: what it had sent is handled
// first. There may be a DISCONNECT in it, and then the connection ends with that, and without a will.
func (c *conn) endAfterLastWords(e ending) {
	c.in.lastCall(&e)
	ctx, cancel := context.WithTimeout(c.ctx, lastWordsTime)
	defer cancel()
	<-ctx.Done()
	c.end(e)
}

// signal wakes the writing goroutine.
func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// read takes packets until the connection ends.
func (c *conn) read() bool {
	for {
		h, body, err := c.reader.Next()
		if err != nil {
			c.end(*endingFor(err))
			return true
		}
		c.in.packets = true
		c.server.Metrics.received.count(h.Type)
		e, ok := c.step(h, body)
		if !ok {
			return true
		}
		c.carryOut(e)
	}
}

// endingFor turns an error of reading into the end of the connection.
func endingFor(err error) *ending {
	if e, ok := errors.AsType[*codec.Error](err); ok {
		return &ending{Error: packetError(e)}
	}
	if e, ok := errors.AsType[*lastCallError](err); ok {
		return e.end
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &ending{Error: reason.New(reason.KeepAliveTimeout, "no packet within one and a half times the keep alive")}
	}
	e := &reason.Error{Reason: reason.ConnectionLost}
	if !errors.Is(err, io.EOF) {
		e.Err = err
	}
	return &ending{Error: e, silent: true}
}

// step runs the session for one packet, once it has room for it. ok is false where the connection has ended.
func (c *conn) step(h codec.Header, body []byte) (e effect, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil && !c.session.ready(h) {
		c.await(h)
	}
	if c.ended != nil {
		return effect{}, false
	}
	return c.session.step(h, body), true
}

// await waits, with mu held, until the session has room for a packet or the connection ends. A client that does not
// read the answers to what it sends gets as much time as it has for a packet.
func (c *conn) await(h codec.Header) {
	c.signal()
	if !c.session.box.room() && c.in.patience > 0 {
		stuck := time.AfterFunc(c.in.patience, func() {
			c.end(ending{Error: reason.New(reason.WriteTimeout, "the client does not read"), silent: true})
		})
		defer stuck.Stop()
	}
	for c.ended == nil && !c.session.ready(h) {
		c.changed.Wait()
	}
}

// carryOut does what a session wants done.
func (c *conn) carryOut(e effect) {
	if e.fault != nil {
		c.report(e.fault)
	}
	switch {
	case e.end != nil:
		c.end(*e.end)
	case e.publish != nil:
		c.publish(e.publish, e.to)
	case e.subscribe != nil:
		c.subscribe(e.subscribe)
	case e.unsubscribe != nil:
		c.unsubscribe(e.unsubscribe)
	}
}

// publish hands one PUBLISH to the message log, to be delivered to one client identifier if to is not empty.
func (c *conn) publish(p *codec.Publish, to string) {
	route, topic := c.log.Lookup(p.Topic)
	if route == nil {
		ctx, cancel := context.WithTimeout(c.ctx, storeTimeout)
		defer cancel()
		var err error
		if route, err = c.log.Topic(ctx, topic); err != nil {
			c.refusePublish(refused(err))
			return
		}
	}
	if route.Wait(c.ctx) != nil {
		return // the connection has ended
	}
	m := newMessage(topic, p)
	m.ClientID, m.User, m.Role = c.session.clientID, c.principal.User, string(c.principal.Role)
	m.To = to
	// Under mu, so that whoever is told that an earlier publish is lost knows that no later one is still on its way: it would be
	// stored before the client sends the earlier one again.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.in.halted || c.ended != nil {
		return
	}
	route.Publish(m, c, c.session.in.push(m, time.Now()))
}

// refusePublish refuses the PUBLISH at hand because there is no topic to publish it to.
func (c *conn) refusePublish(err *reason.Error) {
	if err.Reason == reason.NATSUnavailable {
		// Nothing was decided about the publish, so the client must get no answer to it and send it again.
		c.end(ending{Error: err})
		return
	}
	c.mu.Lock()
	e := c.session.refusePublish(err)
	c.mu.Unlock()
	c.carryOut(e)
}

// Published takes the answer to one publish, on a goroutine of the publisher.
func (c *conn) Published(token uint64, r publisher.Result) {
	c.mu.Lock()
	e, until := c.session.published(token, r)
	if !until.IsZero() && c.unknown == nil && c.ended == nil {
		c.unknown = time.AfterFunc(time.Until(until), func() {
			c.end(ending{Error: unknownOutcome})
		})
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	c.signal()
	c.carryOut(e)
}

var unknownOutcome = reason.New(reason.PublishUnknown, "the message store did not answer in time; send the message again")

// write moves messages from the subscriptions into the outbox and the outbox to the network, until finish closes it.
func (c *conn) write() bool {
	for range c.wake {
		for {
			// Whoever has woken this goroutine is about to add more: a write for all of it costs as much as one for the first.
			runtime.Gosched()
			b, closing, faults := c.batch()
			for _, f := range faults {
				c.report(f)
			}
			if b == nil {
				if closing {
					return true
				}
				break
			}
			if _, err := c.net.Write(*b); err != nil {
				c.endAfterLastWords(ending{Error: &reason.Error{Reason: reason.ConnectionLost, Err: err}, silent: true})
				return false
			}
			recycle(b)
		}
	}
	return true
}

// batch fills and empties the outbox.
func (c *conn) batch() (b *[]byte, closing bool, faults []*fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing && c.ended == nil {
		faults = c.session.pump(time.Now())
	}
	if err := c.session.box.err; err != nil {
		panic(fmt.Sprintf("a packet cannot be encoded: %v", err))
	}
	b = c.session.box.take()
	c.changed.Broadcast()
	return b, c.closing, faults
}
