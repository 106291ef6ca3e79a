package bridge

import (
	"bytes"
	"net"
	"sync"
)

// line is how a bridge reaches NATS. While it is held, what NATS sends does not arrive, but for the answers to PING.
type line struct {
	mu   sync.Mutex
	open chan struct{} // closed while the line is not held
}

func newLine() *line {
	l := &line{open: make(chan struct{})}
	close(l.open)
	return l
}

// hold holds the line until release is called, once.
func (l *line) hold() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := make(chan struct{})
	l.open = open
	return func() { close(open) }
}

// Dial is what the connections to NATS are made with.
func (l *line) Dial(network, address string) (net.Conn, error) {
	nc, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &lineConn{Conn: nc, line: l}, nil
}

type lineConn struct {
	net.Conn
	line *line
}

// Read passes on what has arrived when the line is not held.
func (c *lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if len(bytes.ReplaceAll(p[:n], []byte("PONG\r\n"), nil)) == 0 {
		return n, err
	}
	c.line.mu.Lock()
	open := c.line.open
	c.line.mu.Unlock()
	<-open
	return n, err
}
