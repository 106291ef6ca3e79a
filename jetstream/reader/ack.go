package reader

import (
	"context"
	"time"
)

// Acknowledgements are written together once there are ackBatch of them or ackDelay after the first, whichever is
// sooner. A backlog that is full frees room as late as that.
const (
	ackBatch = 64
	ackDelay = 2 * time.Millisecond
	// probeEvery is how often, at most, the last acknowledgement of a batch asks for an answer, whose absence of
	// responders tells that the consumer is gone.
	probeEvery = 100 * time.Millisecond
	// settleTimeout is how long a reader whose consumer stays waits for the server when it is closed.
	settleTimeout = time.Second
)

// Ack acknowledges one delivery. Acknowledgements are collected and written together. It does no I/O.
func (r *Reader) Ack(d Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if (d.Stream == "" || d.Stream == r.stream) && r.settle(d.Sequence) {
		r.acknowledge(r.address(d.Reply))
	}
}

// acknowledge queues one reply. The caller holds mu. What the queue holds is bounded by what the server leaves
// unacknowledged.
func (r *Reader) acknowledge(reply string) {
	r.acks = append(r.acks, reply)
	if n := len(r.acks); n == 1 || n == ackBatch {
		r.signal()
	}
}

// flush writes the acknowledgements collected so far. What cannot be written is not lost: the connection is down
// then, and after it is up again the consumer is reset and delivers again what lacks an acknowledgement.
func (r *Reader) flush() {
	r.mu.Lock()
	acks := r.acks
	r.acks = r.spare[:0]
	r.spare = acks
	r.mu.Unlock()
	if len(acks) == 0 {
		return
	}
	r.written = acks[len(acks)-1]
	conn := r.cfg.Conn
	epoch, _ := conn.State()
	for _, reply := range acks[:len(acks)-1] {
		if conn.Publish(epoch, reply, "", nil, nil) != nil {
			return
		}
	}
	last := acks[len(acks)-1]
	// Answers go to the deliver subject, so that they need no subscription and no goroutine of their own. An error
	// is the same as above.
	if now := time.Now(); now.Sub(r.probed) >= probeEvery {
		r.probed = now
		_ = conn.Publish(epoch, last, r.cfg.Deliver, nil, nil)
		return
	}
	_ = conn.Publish(epoch, last, "", nil, nil)
}

// settleAcks returns when the server has taken every acknowledgement that was written, or after a moment: whoever reads next has the consumer reset,
// and what the server has not taken by then it delivers again.
func (r *Reader) settleAcks(ctx context.Context) {
	if r.written == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	epoch, _ := r.cfg.Conn.State()
	if r.cfg.Conn.Flush(ctx, epoch) == nil {
		_, _ = r.cfg.JetStream.Conn().RequestWithContext(ctx, r.written, nil) // the last once more, with an answer
	}
}

// Discard forgets every delivery with a sequence above after, unacknowledged, and stops delivering. They come
// again after Resume. One that is on its way to the sink at this moment has to be refused there, see Sink. It does no I/O.
func (r *Reader) Discard(after uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(after)
	r.paused = true
	r.discards++
}

// Resume delivers again what Deliver had no room for, or what was discarded.
func (r *Reader) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resumes++
	if r.paused {
		r.paused = false
		r.reset(causeResume)
	}
}
