package reader

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/wire"
)

// cause is why a consumer is reset; the label of the metric.
type cause string

const (
	causeNone         cause = ""
	causeGap          cause = "gap"
	causeHeartbeat    cause = "heartbeat"
	causeReconnect    cause = "reconnect"
	causeResume       cause = "resume"
	causeNoResponders cause = "no_responders"
	causeDeleted      cause = "deleted"
	causeSilent       cause = "silent"
	causeWedged       cause = "wedged"
	causeKept         cause = "kept"
)

// silence is how long a consumer may say nothing: two heartbeats, and time for the second to arrive.
const silence = 2*heartbeat + heartbeat/5

// listenEvery is how often that is looked at, so that it is noticed within 15 s.
const listenEvery = 2 * time.Second

// Requests to the server, and the waits between failed ones.
const (
	requestTimeout = 5 * time.Second
	retryFirst     = 50 * time.Millisecond
	retryLast      = 2 * time.Second
)

// keep is the keeper: it runs until the reader is closed and is the only goroutine that waits for the server.
func (r *Reader) keep() {
	acks := time.NewTimer(ackDelay)
	acks.Stop()
	defer acks.Stop()
	beat := time.NewTicker(listenEvery)
	defer beat.Stop()
	defer r.patience.Stop()
	r.turn = time.NewTimer(listenEvery)
	r.turn.Stop()
	defer r.turn.Stop()
	defer r.lock(r.giveBack)
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
			r.mu.Lock()
			waiting, broken := len(r.acks), r.cause != causeNone
			r.mu.Unlock()
			switch {
			case broken:
				r.flush() // what the server learns before the reset it need not deliver again
				r.mend()
			case waiting >= ackBatch:
				r.flush()
			case waiting > 0:
				acks.Reset(ackDelay)
			}
			r.resize()
		case <-acks.C:
			r.flush()
		case <-r.patience.C:
			r.lock(r.giveBack)
		case <-beat.C:
			r.listen()
			r.resize()
			r.look()
		case <-r.turn.C:
			r.ask()
		case <-r.changed:
			r.connection()
		case advisory := <-r.gone:
			r.died(advisory)
		}
	}
}

// listen notices that the consumer has fallen silent.
func (r *Reader) listen() {
	_, up := r.cfg.Conn.State()
	r.lock(func() {
		if up && time.Since(r.heard) > silence {
			r.lost = true
			r.reset(causeSilent)
		}
	})
}

// connection takes what has become of the connection, and tells whether it is the one that the reader listens on. On a new one
// nobody listens to the consumer until the reader starts over, so that the server does not begin to deliver for all readers at
// once.
func (r *Reader) connection() bool {
	epoch, up := r.cfg.Conn.State()
	if up && epoch != r.epoch {
		r.lock(func() { r.reset(causeReconnect) })
	}
	return up && epoch == r.epoch
}

// died takes the advisory that a consumer was deleted. It reports false where that is not the present one.
func (r *Reader) died(advisory string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if advisory != r.watched {
		return false
	}
	r.lost, r.spent = true, true
	r.reset(causeDeleted)
	return true
}

// resize changes the consumer's window where the size of the messages asks for it.
func (r *Reader) resize() {
	r.mu.Lock()
	changed := r.window != r.made.MaxAckPending
	r.mu.Unlock()
	if _, up := r.cfg.Conn.State(); !changed || !up {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, requestTimeout)
	defer cancel()
	r.adapt(ctx)
}

func (r *Reader) lock(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// mend resets the consumer, or makes it again, until that has succeeded or the reader is closed.
func (r *Reader) mend() {
	wait := retryFirst
	for {
		r.mu.Lock()
		cause, lost := r.cause, r.lost
		if cause == causeNone {
			r.mu.Unlock()
			return
		}
		r.cause, r.lost = causeNone, false
		r.mending, r.syncing, r.last, r.arrived = true, true, 0, 0
		lost = lost || r.adrift
		r.mu.Unlock()
		if r.await() != nil {
			return // closed
		}
		r.cfg.Metrics.reset(cause)
		err := r.repair(lost)
		if err == nil {
			r.lock(func() { r.mending, r.heard = false, time.Now() })
			wait = retryFirst
			continue // where another cause came up meanwhile, once more
		}
		if r.ctx.Err() != nil {
			return
		}
		level := zap.WarnLevel
		if errors.Is(err, wire.ErrLost) {
			level = zap.DebugLevel // every reader of the connection is, and the connection says so
		}
		r.cfg.Log.Log(level, "reader: reset failed", zap.String("stream", r.cfg.Stream), zap.String("consumer", r.cfg.Durable),
			zap.String("cause", string(cause)), zap.Duration("retry", wait), zap.Error(err))
		r.lock(func() {
			r.giveBack()
			r.lost = true // a consumer that does not exist does not answer to a reset at all
			if r.cause == causeNone {
				r.cause = cause
			}
		})
		select {
		case <-r.ctx.Done():
			return
		case <-r.changed:
			r.connection()
		case <-time.After(wait):
		}
		wait = min(2*wait, retryLast)
	}
}

// repair brings the consumer back to its ack floor, or makes it again where it is gone.
func (r *Reader) repair(lost bool) error {
	ctx, cancel := context.WithTimeout(r.ctx, requestTimeout)
	if err := r.subscribe(ctx, r.currentStream()); err != nil {
		cancel()
		return err
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		// Either way an answer that is waited for may never come.
		for {
			select {
			case <-r.changed:
				if r.connection() {
					continue
				}
			case advisory := <-r.gone:
				if !r.died(advisory) {
					continue
				}
			case <-ctx.Done():
			}
			cancel()
			return
		}
	})
	defer watch.Wait()
	defer cancel()
	stream := r.currentStream()
	if lost {
		_, err := r.cfg.JetStream.PushConsumer(ctx, stream, r.name())
		if missing(err) && !r.unsettledPlace() {
			r.spend()
		}
		switch {
		case missing(err) || err == nil && r.unsettledPlace():
			if stream, err = r.remake(ctx); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
	r.adapt(ctx)
	answer, err := r.cfg.JetStream.ResetConsumer(ctx, stream, r.name())
	if err != nil {
		return err
	}
	if r.altered(answer.Config) {
		r.spend()
		return errAltered
	}
	r.lock(func() { r.expect(answer.NumPending + answer.Delivered.Consumer) })
	return nil
}

// unsettledPlace tells whether the consumer is to be made again, or was being made and that has not come to its end.
func (r *Reader) unsettledPlace() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.adrift || r.spent
}

// home names the stream that holds the topic now.
func (r *Reader) home(ctx context.Context) (string, error) {
	if r.cfg.Reattach == nil {
		return r.currentStream(), nil
	}
	return r.cfg.Reattach(ctx)
}

func (r *Reader) currentStream() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream
}
