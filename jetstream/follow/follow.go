// Package follow keeps a local copy of a stream that holds one last message per subject, and says how far that
// copy is. Whoever needs to know what the stream says does not read it: he writes, waits until the copy has
// reached the sequence of his own write, and looks. That is exact on replicated streams too, where a read from a
// follower can be stale.
//
// A subject goes away only by a message that Decode calls absent, a tombstone, usually stored with a TTL, or with Config.Expire by its
// own TTL. A message that is purged is noticed no sooner than at the next rebuild.
package follow

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// ErrClosed is the answer of Wait when the copy is closed.
var ErrClosed = errors.New("follow: closed")

// Entry is the last message of one subject.
type Entry[T any] struct {
	Value    T
	Sequence uint64 // in the stream; 0 where the subject has no message at all
	// Live is false for a tombstone and where there is no message. Its Sequence is the one that a
	// compare-and-set must expect, as long as the tombstone has not expired.
	Live bool
	// Stored is when the message was stored: as the server's clock has it, if that was before the copy had caught up, else when it
	// arrived.
	Stored time.Time
}

// Config says what to follow.
type Config[T any] struct {
	Stream string
	// Ensure makes the stream where it does not exist. Nil: it is waited for.
	Ensure func(ctx context.Context) error
	// Decode reads one message; live is false for a tombstone. It is called on the copy's goroutine.
	Decode func(subject string, header nats.Header, data []byte) (value T, live bool)
	// Change is called on the copy's goroutine, in stream order, after the copy has changed and before Wait
	// returns for that sequence. It must not call Close. Nil: nobody is told.
	Change func(subject string, before, after Entry[T])
	// Synced is called on the copy's goroutine each time when the copy has caught up after it was (re)built. Nil:
	// nobody is told.
	Synced func()
	// Heartbeat is how often an idle stream shows that it is alive; two that are missed cause a rebuild. 0: 2 s.
	Heartbeat time.Duration
	// Expire lets live entries go when the TTL of their messages is over. Else only tombstones do.
	Expire bool
	Log    *zap.Logger
}

// Copy is the local copy.
type Copy[T any] struct {
	// immutable
	nc     *nats.Conn
	js     natsjs.JetStream
	config Config[T]
	cancel context.CancelFunc
	done   chan struct{} // closed by run

	// owned by run
	epoch   uint64
	created time.Time // of the stream that entries come from
	expired time.Time // when tombstones were looked through

	mu       sync.Mutex
	entries  map[string]*slot[T]
	position uint64
	synced   chan struct{} // closed by run at the first sync
	waiters  map[*waiter]struct{}
}

type slot[T any] struct {
	entry   Entry[T]
	epoch   uint64
	expires time.Time // of a tombstone; zero: never
}

type waiter struct {
	sequence uint64
	reached  chan struct{} // closed by whoever takes the waiter out of the set
}

const defaultHeartbeat = 2 * time.Second

// Start follows the stream in the background, through every loss of the connection, the consumer or the stream,
// until Close.
func Start[T any](nc *nats.Conn, js natsjs.JetStream, config Config[T]) *Copy[T] {
	if config.Heartbeat == 0 {
		config.Heartbeat = defaultHeartbeat
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Copy[T]{
		nc: nc, js: js, config: config, cancel: cancel,
		done:    make(chan struct{}),
		entries: make(map[string]*slot[T]),
		synced:  make(chan struct{}),
		waiters: make(map[*waiter]struct{}),
	}
	go c.run(ctx)
	return c
}

// Close ends following and waits for it. The copy stays readable.
func (c *Copy[T]) Close() {
	c.cancel()
	<-c.done
}

// WaitSynced waits until the copy has caught up with the stream for the first time.
func (c *Copy[T]) WaitSynced(ctx context.Context) error {
	select {
	case <-c.synced:
		return nil
	default:
	}
	select {
	case <-c.synced:
		return nil
	case <-c.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wait waits until the copy contains everything up to the sequence.
func (c *Copy[T]) Wait(ctx context.Context, sequence uint64) error {
	c.mu.Lock()
	if c.position >= sequence {
		c.mu.Unlock()
		return nil
	}
	w := &waiter{sequence: sequence, reached: make(chan struct{})}
	c.waiters[w] = struct{}{}
	c.mu.Unlock()
	select {
	case <-w.reached:
		return nil
	case <-c.done:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waiting := c.waiters[w]; !waiting {
		return nil
	}
	delete(c.waiters, w)
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrClosed
}

// Get returns what the copy knows about a subject; the zero Entry where it knows nothing.
func (c *Copy[T]) Get(subject string) Entry[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.entries[subject]; s != nil {
		return s.entry
	}
	return Entry[T]{}
}

// Live returns a snapshot of all live entries by subject.
func (c *Copy[T]) Live() map[string]Entry[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]Entry[T], len(c.entries))
	for subject, s := range c.entries {
		if s.entry.Live {
			all[subject] = s.entry
		}
	}
	return all
}

// Position is the sequence up to which the copy is complete.
func (c *Copy[T]) Position() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.position
}
