package microservice

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// lineBytes is how much is collected before it is written: a write for many frames costs as much as one for the first.
	lineBytes = 64 << 10
	// writeTimeout bounds one write to the network, of lineBytes and one frame at most.
	writeTimeout = time.Minute
	// flushTimeout bounds the writing of the last frames.
	flushTimeout = 2 * time.Second
)

// line is the network connection under a WebSocket. What the WebSocket writes once it is open is collected until flush.
type line struct {
	net.Conn

	// collecting is set between the answer to the upgrade and the first frame.
	collecting bool

	mu sync.Mutex
	// guarded by mu
	buf  *[]byte   // nil where nothing is collected
	last time.Time // the deadline of all writes, once the end has come
}

// hijacker puts a line under the WebSocket that a request becomes.
type hijacker struct {
	http.ResponseWriter
	line *line
}

// Hijack is called by the upgrade.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.line.Conn = conn
	return h.line, rw, err
}

// Write collects one frame or a part of one, and never waits. It cannot fail while it collects.
func (l *line) Write(p []byte) (int, error) {
	if !l.collecting {
		return l.Conn.Write(p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf == nil {
		l.buf = borrow()
	}
	*l.buf = append(*l.buf, p...)
	return len(p), nil
}

// SetWriteDeadline is for the upgrade only: flush has deadlines of its own.
func (l *line) SetWriteDeadline(t time.Time) error {
	if !l.collecting {
		return l.Conn.SetWriteDeadline(t)
	}
	return nil
}

// full tells that flush is due.
func (l *line) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf != nil && len(*l.buf) >= lineBytes
}

// flush writes what was collected. One goroutine does.
func (l *line) flush() error {
	l.mu.Lock()
	out := l.buf
	l.buf = nil
	deadline := l.last
	if deadline.IsZero() {
		deadline = time.Now().Add(writeTimeout)
	}
	err := l.Conn.SetWriteDeadline(deadline)
	l.mu.Unlock()
	if out == nil {
		return err
	}
	if err == nil {
		_, err = l.Conn.Write(*out)
	}
	giveBack(out)
	return err
}

// hurry gives everything that is yet to be written, the write under way included, a moment.
func (l *line) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now().Add(flushTimeout)
	_ = l.Conn.SetWriteDeadline(l.last) // of a connection that has gone
}

// closeWrite tells the peer that nothing follows. Closing the socket at once while bytes of the peer are unread would take the last
// frames away from it.
func (l *line) closeWrite() {
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // it may be closed already
		return
	}
	_ = l.Close()
}
