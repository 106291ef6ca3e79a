package reader

import (
	"context"
	"math/bits"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// A server cuts a connection off when more waits for it than its max_pending, 64 MiB where nobody has changed that. So a
// consumer has at most windowBytes on its way, and all consumers of one connection that start over at a time have
// paceBytes.
const (
	windowBytes = 20 << 20
	paceBytes   = 2 * windowBytes
	// The bounds of a window, in messages. Config may have a higher one.
	minWindow = 4
	maxWindow = 256
	// assumedSize is what a message is taken for where none has been seen.
	assumedSize = 4 << 10
	// sizePeriod is how many messages count for the largest of late.
	sizePeriod = 1024
	// pacePatience is how long a reader that starts over may keep others waiting.
	pacePatience = 10 * time.Second
	// paceFlush is how often acknowledgements are written while the reader waits for its turn.
	paceFlush = 10 * time.Millisecond
)

// Pace lets the readers of one connection start over a few at a time, by the bytes that the server will send each of them
// at once, and those that stand still ask for their lag one after the other. It is safe for concurrent use.
type Pace struct {
	room *semaphore.Weighted

	mu    sync.Mutex
	asked time.Time // when the last of those turns is
}

// NewPace returns the pace of one connection.
func NewPace() *Pace { return &Pace{room: semaphore.NewWeighted(paceBytes)} }

// flow is how much the server may have on its way to one reader. It is guarded by the reader's mu.
type flow struct {
	large  int // bytes of the largest message of late
	recent int // of the largest in this period
	seen   int // messages in this period
	window int // messages that may be unacknowledged, for that size
	most   int // of the window
	// arrived is the consumer sequence of the last delivery since the consumer was last reset; 0: none came yet.
	arrived uint64
	due     uint64 // arrived at which the reader has what it asked for; 0: not known
	ticket  int64  // bytes that it holds of the pace
}

// newFlow takes the size of a message and the largest window; 0: not known, and the usual one.
func newFlow(size, most int) flow {
	return flow{large: size, most: most, window: windowFor(size, most)}
}

// windowFor returns how many messages of a size may be unacknowledged: a power of two.
func windowFor(size, most int) int {
	if most == 0 {
		most = maxWindow
	}
	n := windowBytes / max(size, 1)
	return min(max(1<<(bits.Len(uint(n))-1), minWindow), most)
}

// note takes the size of one message. It reports whether that changes the window.
func (f *flow) note(size int) bool {
	f.recent = max(f.recent, size)
	f.seen++
	if size <= f.large && f.seen < sizePeriod {
		return false
	}
	if f.seen >= sizePeriod {
		f.large, f.recent, f.seen = f.recent, 0, 0
	}
	f.large = max(f.large, size)
	was := f.window
	f.window = windowFor(f.large, f.most)
	return f.window != was
}

// bytes is what a consumer that starts over may send at once.
func (f *flow) bytes() int64 {
	size := f.large
	if size == 0 {
		size = assumedSize
	}
	return min(int64(f.window)*int64(size), paceBytes)
}

// await waits for the reader's turn to start over. Acknowledgements are written meanwhile. It is the keeper's.
func (r *Reader) await() error {
	if r.cfg.Pace == nil {
		return nil
	}
	r.mu.Lock()
	r.giveBack()
	n := r.bytes()
	r.mu.Unlock()
	if !r.cfg.Pace.room.TryAcquire(n) {
		turn := make(chan error, 1)
		r.keeper.Go(func() { turn <- r.cfg.Pace.room.Acquire(r.ctx, n) })
		tick := time.NewTicker(paceFlush)
		defer tick.Stop()
		for waiting := true; waiting; {
			select {
			case err := <-turn:
				if err != nil {
					return err
				}
				waiting = false
			case <-tick.C:
				r.flush()
			case <-r.changed:
				r.connection()
			}
		}
	}
	r.lock(func() { r.ticket = n })
	r.patience.Reset(pacePatience)
	return nil
}

// enter is await for a reader that is being opened.
func (r *Reader) enter(ctx context.Context) error {
	if r.cfg.Pace == nil || r.cfg.Start == StartNew {
		return nil
	}
	n := r.bytes()
	if err := r.cfg.Pace.room.Acquire(ctx, n); err != nil {
		return err
	}
	r.ticket = n
	return nil
}

// expect says how many deliveries there are to come after a reset. The others have their turn when they have arrived.
// The caller holds mu.
func (r *Reader) expect(deliveries uint64) {
	r.due = min(deliveries, uint64(r.window))
	if r.arrived >= r.due {
		r.giveBack()
	}
}

// arrive notes a delivery, whatever becomes of it. The caller holds mu.
func (r *Reader) arrive(consumer uint64) {
	if consumer != 1 && r.arrived == 0 {
		return // from before the reset
	}
	r.arrived = consumer
	if r.due > 0 && consumer >= r.due {
		r.giveBack()
	}
}

// idle notes that the consumer has nothing more to deliver than up to a sequence: what was expected beyond it has gone from
// the stream. The caller holds mu.
func (r *Reader) idle(consumer uint64) {
	if r.due > 0 && consumer == r.arrived {
		r.giveBack()
	}
}

// giveBack ends the reader's turn. The caller holds mu.
func (r *Reader) giveBack() {
	r.due = 0
	if r.ticket > 0 {
		r.cfg.Pace.room.Release(r.ticket)
		r.ticket = 0
	}
}
