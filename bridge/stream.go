package bridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
)

// progressBytes is how much of a large packet has to arrive for the keep alive to count it as a sign of life.
// Without it a slow line could not carry a large message however steadily it comes.
const progressBytes = 1024

// stream is what codec.Reader reads from: the network connection with a deadline. The reader asks it only
// where it has no whole packet any more, so the deadline is set at most once a read, and what happens once a
// batch of packets happens in it.
type stream struct {
	// immutable
	conn net.Conn
	idle func() // called before each wait for the network

	// owned by the reading goroutine
	greeting bool          // the CONNECT has not come yet
	first    []byte        // the first bytes of the connection, up to sniffed
	patience time.Duration // how long a packet may take; 0: for ever
	packets  bool          // a packet was completed since the deadline was set
	progress int           // bytes since then

	last atomic.Pointer[lastCallError] // nil before lastCall; set under mu

	mu      sync.Mutex
	stopped bool // guarded by mu
}

// lastCallPatience is how long a Read after lastCall waits. What has arrived needs no wait: this is for a goroutine that
// is kept from running, and for the rest of a TLS record.
const lastCallPatience = 20 * time.Millisecond

// sniffed is enough of a CONNECT to see its protocol version: fixed header, protocol name, level.
const sniffed = 5 + 2 + len("MQIsdp") + 1

// Read reads from the network.
func (s *stream) Read(p []byte) (int, error) {
	s.idle()
	if s.last.Load() != nil || s.patience > 0 && (s.packets || s.progress >= progressBytes) {
		s.packets, s.progress = false, 0
		s.setDeadline(time.Now().Add(s.patience))
	}
	n, err := s.conn.Read(p)
	if e := s.last.Load(); e != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = e
	}
	s.progress += n
	if s.greeting && n > 0 {
		s.first = append(s.first, p[:min(n, sniffed-len(s.first))]...)
		if codec.Type(s.first[0]>>4) != codec.CONNECT {
			return 0, errNoConnect
		}
	}
	return n, err
}

// errNoConnect ends a connection at its first byte, without waiting for a packet that may never be complete.
var errNoConnect = reason.New(reason.RandomFirstBytes, "the first packet is not a CONNECT [MQTT-3.1.0-1]")

// setDeadline sets the read deadline, which is a short one after lastCall and stays as it is after stop.
func (s *stream) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	if s.last.Load() != nil {
		t = time.Now().Add(lastCallPatience)
	}
	_ = s.conn.SetReadDeadline(t) // fails on a closed connection only, as the read then does
}

// lastCallError is what Read returns when nothing has arrived after lastCall: the connection is to end.
type lastCallError struct{ end *ending }

// Error is why the connection is to end.
func (e *lastCallError) Error() string { return e.end.Error.Error() }

// lastCall makes a Read in progress and all that follow return what has arrived, and a lastCallError with e where that
// is nothing. It may be called from any goroutine; the first call counts.
func (s *stream) lastCall(e *ending) {
	s.mu.Lock()
	s.last.CompareAndSwap(nil, &lastCallError{e})
	s.mu.Unlock()
	s.setDeadline(time.Time{})
}

// keepAlive sets how long the client may be silent from now on; 0: for ever.
func (s *stream) keepAlive(patience time.Duration) {
	s.patience, s.packets = patience, true
	if patience == 0 {
		s.setDeadline(time.Time{})
	}
}

// stop ends a Read in progress and all that follow. It may be called from any goroutine.
func (s *stream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
}
