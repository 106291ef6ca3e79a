// Package tunnel carries byte streams between bridges over core NATS: one bridge hands a client's connection to the one that serves what the
// client wants.
//
// Each end of a stream has a subject of its own. A message is one byte that says what it is, a number, and its contents: data with the count of
// bytes before it, or how many bytes the receiver has passed on, or the end. A sender has a window of bytes that were not passed on, so that a
// slow receiver stops it. Core NATS keeps the order and loses messages only with a connection: a count that does not fit ends the stream. So
// does silence.
package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const (
	// window is how many bytes may be on their way in one direction.
	window = 256 << 10
	// chunk is how many bytes a message has at most.
	chunk = 32 << 10
	// beat is how often each end says something; after silence without a word from the other it is gone.
	beat    = 2 * time.Second
	silence = 3 * beat
)

// What a message is.
const (
	kindData   = 'd'
	kindPassed = 'p' // how many bytes were passed on; also the sign of life
	kindEnd    = 'e'
)

const headerBytes = 1 + 8

var errClosed = errors.New("tunnel: closed")

// end is one end of a stream, between NATS and a pipe whose other side is the user's.
type end struct {
	nc   *nats.Conn
	sub  *nats.Subscription
	to   string
	pipe net.Conn
	done chan struct{} // closed by stop
	once sync.Once

	came chan struct{} // holds one token while there is something in arrived; never closed

	mu     sync.Mutex
	room   chan struct{} // closed when passed changes, and replaced
	sent   uint64
	passed uint64 // of what was sent
	got    uint64
	given  uint64 // of what was got
	heard  time.Time
	// arrived is to be passed on; the window bounds it.
	arrived [][]byte
	over    bool // nothing follows what has arrived
}

// start makes an end that listens on a subject of its own, and returns the user's side. Serve runs it.
func start(nc *nats.Conn, subject string) (*end, net.Conn, error) {
	user, pipe := net.Pipe()
	e := &end{
		nc: nc, pipe: pipe, done: make(chan struct{}), room: make(chan struct{}), heard: time.Now(),
		came: make(chan struct{}, 1),
	}
	var err error
	e.sub, err = nc.Subscribe(subject, e.receive)
	if err != nil {
		return nil, nil, err
	}
	return e, user, nil
}

// run carries bytes until the stream ends, and returns when nothing of it is left.
func (e *end) run() {
	var work sync.WaitGroup
	work.Go(e.read)
	work.Go(e.write)
	work.Go(e.live)
	<-e.done
	_ = e.pipe.Close()
	work.Wait()
	e.abandon()
	_ = e.send(kindEnd, e.advance(0), nil) // else the other end notices the silence
}

func (e *end) stop() { e.once.Do(func() { close(e.done) }) }

// read sends what the user writes.
func (e *end) read() {
	defer e.stop()
	buffer := make([]byte, headerBytes+chunk)
	for {
		n, err := e.pipe.Read(buffer[headerBytes:])
		if n > 0 && e.await(n) != nil {
			return
		}
		if n > 0 && e.send(kindData, e.advance(n), buffer[headerBytes:headerBytes+n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// await returns when there is room in the window for n bytes.
func (e *end) await(n int) error {
	for {
		e.mu.Lock()
		fits, room := e.sent+uint64(n)-e.passed <= window, e.room
		e.mu.Unlock()
		if fits {
			return nil
		}
		select {
		case <-room:
		case <-e.done:
			return errClosed
		}
	}
}

// advance counts bytes that are sent, and returns how many were before them.
func (e *end) advance(n int) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.sent
	e.sent += uint64(n)
	return before
}

func (e *end) send(kind byte, number uint64, data []byte) error {
	m := make([]byte, headerBytes, headerBytes+len(data))
	m[0] = kind
	binary.BigEndian.PutUint64(m[1:], number)
	return e.nc.Publish(e.to, append(m, data...))
}

// receive is called by NATS.
func (e *end) receive(m *nats.Msg) {
	if len(m.Data) < headerBytes {
		e.stop()
		return
	}
	number, data := binary.BigEndian.Uint64(m.Data[1:]), m.Data[headerBytes:]
	e.mu.Lock()
	e.heard = time.Now()
	var fits bool
	switch m.Data[0] {
	case kindData:
		if fits = number == e.got && e.got+uint64(len(data))-e.given <= window; fits {
			e.got += uint64(len(data))
			e.arrived = append(e.arrived, data)
		}
	case kindPassed:
		fits = number >= e.passed && number <= e.sent
		e.passed = max(e.passed, number)
		close(e.room)
		e.room = make(chan struct{})
	case kindEnd: // with all that was sent before it, or after a loss
		fits, e.over = number == e.got, true
	}
	e.mu.Unlock()
	if !fits {
		e.stop()
		return
	}
	select {
	case e.came <- struct{}{}:
	default:
	}
}

// write passes on what has come.
func (e *end) write() {
	defer e.stop()
	told := uint64(0)
	for {
		select {
		case <-e.came:
		case <-e.done:
			return
		}
		e.mu.Lock()
		arrived, over := e.arrived, e.over
		e.arrived = nil
		e.mu.Unlock()
		for _, data := range arrived {
			if _, err := e.pipe.Write(data); err != nil {
				return
			}
			given := e.give(len(data))
			if given-told < window/4 {
				continue
			}
			told = given
			if e.send(kindPassed, given, nil) != nil {
				return
			}
		}
		if over {
			return
		}
	}
}

// give counts bytes that were passed on.
func (e *end) give(n int) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.given += uint64(n)
	return e.given
}

// live tells the other end that this one is there, and watches for the same.
func (e *end) live() {
	defer e.stop()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.done:
			return
		}
		e.mu.Lock()
		given, silent := e.given, time.Since(e.heard) > silence
		e.mu.Unlock()
		if silent || e.send(kindPassed, given, nil) != nil {
			return
		}
	}
}

// Dial opens a stream to whoever listens as name. What runs for it is started with spawn, which reports false where nothing is started any
// more. The error is nats.ErrNoResponders where nobody listens.
func Dial(ctx context.Context, nc *nats.Conn, prefix, name string, spawn func(func()) bool) (net.Conn, error) {
	own := prefix + nuid.Next()
	e, user, err := start(nc, own)
	if err != nil {
		return nil, err
	}
	reply, err := nc.RequestWithContext(ctx, prefix+name, []byte(own))
	if err == nil {
		e.to = string(reply.Data)
		if spawn(e.run) {
			return user, nil
		}
		err = errClosed
	}
	e.abandon()
	return nil, err
}

// abandon gives back an end that does not run.
func (e *end) abandon() {
	_ = e.sub.Unsubscribe() // fails only where the connection is closed
	_ = e.pipe.Close()
}
