package microservice

import (
	"context"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

const (
	// idleTimeout is how long a socket stays open on which nothing comes and nothing goes.
	idleTimeout = 5 * time.Minute
	// extendEvery is how exactly that is measured.
	extendEvery = time.Second
	// probeTimeout is how long the holder of a subscriber has to answer a ping when another connection wants the subscriber.
	probeTimeout = 2 * time.Second
	// lingerTimeout and lingerBytes bound the wait for the peer to close, too.
	lingerTimeout = time.Second
	lingerBytes   = 4 << 20
)

// socket is one WebSocket connection, and what producers and consumers have in common.
type socket struct {
	// immutable
	owner  *sockets
	grant  Grant
	kind   kind
	remote string
	opened time.Time
	ctx    context.Context // ends when the socket does
	cancel context.CancelFunc
	wake   chan struct{} // of the writing goroutine, capacity 1; never closed

	// limits in force; replaced, never modified
	limits atomic.Pointer[tenant.Limits]

	// set by the upgrade before there is another goroutine, then immutable
	ws       *websocket.Conn
	line     *line
	encoding frame.Encoding

	// owned by the writing goroutine
	out outbox

	mu      sync.Mutex
	changed sync.Cond // on mu: what the reading goroutine waits for may have come

	// guarded by mu
	box     outbox
	ended   *ending   // why the socket ends; set once
	running bool      // the socket is open
	closing bool      // the writing goroutine ends when everything is written
	heard   time.Time // when the time of idleness last began anew
	ping    *string   // of the peer, to be answered
	probe   *probe    // a ping of ours that has no answer
	probes  uint64

	counts counts
}

// kind is what a socket is for, and a label of metrics.
type kind string

const (
	consumerKind kind = "consumer"
	producerKind kind = "producer"
)

// counts is what one socket did, for its last log line.
type counts struct{ messages, refused atomic.Uint64 }

// probe is a ping by which the peer proves that it is there.
type probe struct {
	payload  string
	sent     bool
	answered chan struct{} // closed when the pong has come
}

func (s *sockets) newSocket(k kind, g Grant, remote string, l tenant.Limits) *socket {
	c := &socket{owner: s, grant: g, kind: k, remote: remote, opened: time.Now(), wake: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(s.base)
	c.changed.L = &c.mu
	c.limits.Store(&l)
	return c
}

// guard runs one part of the socket and turns a panic in it into the end of this socket alone.
func (c *socket) guard(part func()) {
	defer func() {
		if p := recover(); p != nil {
			c.owner.Metrics.panics.Inc()
			c.owner.Logger.Error("socket failed", append(c.fields(), zap.String("reason", string(reason.InternalError)),
				zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))...)
			c.end(endFor(reason.InternalError, ""))
		}
	}()
	part()
}

// end ends the socket for a reason; the first one counts. It does not wait.
func (c *socket) end(e ending) {
	c.mu.Lock()
	if c.ended == nil {
		c.ended = &e
		c.changed.Broadcast()
		if c.running {
			c.interrupt()
		}
	}
	c.mu.Unlock()
	c.cancel()
	c.signal()
}

// interrupt ends reading. The caller holds mu.
func (c *socket) interrupt() { _ = c.ws.SetReadDeadline(time.Unix(1, 0)) }

// run tells that the socket is open, from which on end interrupts reading.
func (c *socket) run() {
	c.ws.SetPingHandler(c.pinged)
	c.ws.SetPongHandler(c.ponged)
	c.ws.SetCloseHandler(func(int, string) error { return nil }) // the answer is the writing goroutine's
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = true
	c.extend(time.Now())
	if c.ended != nil {
		c.interrupt()
	}
}

// signal wakes the writing goroutine.
func (c *socket) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// alive notes that something came or went.
func (c *socket) alive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extend(time.Now())
}

// extend lets the time of idleness begin anew. The caller holds mu.
func (c *socket) extend(now time.Time) {
	if c.ended == nil && now.Sub(c.heard) >= extendEvery {
		c.heard = now
		_ = c.ws.SetReadDeadline(now.Add(idleTimeout)) // an error shows when reading
	}
}

// pinged notes a ping, on the reading goroutine. Where there are several without an answer the last one gets it (RFC 6455, section 5.5.3).
func (c *socket) pinged(payload string) error {
	c.mu.Lock()
	c.ping = &payload
	c.extend(time.Now())
	c.mu.Unlock()
	c.signal()
	return nil
}

// ponged takes a pong, on the reading goroutine.
func (c *socket) ponged(payload string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probe != nil && c.probe.payload == payload {
		close(c.probe.answered)
		c.probe = nil
	}
	c.extend(time.Now())
	return nil
}

// responds pings the peer and tells whether it has answered in time.
func (c *socket) responds(ctx context.Context) bool {
	c.mu.Lock()
	if c.probe == nil {
		c.probes++
		c.probe = &probe{payload: "weir-" + strconv.FormatUint(c.probes, 10), answered: make(chan struct{})}
	}
	p := c.probe
	c.mu.Unlock()
	c.signal()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	select {
	case <-p.answered:
		return true
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	return false
}
