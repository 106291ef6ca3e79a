package reader

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
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
)

// silence is how long a consumer may say nothing: two heartbeats, and time for the second to arrive.
const silence = 2*heartbeat + heartbeat/5

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
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
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
		case <-acks.C:
			r.flush()
		case <-beat.C:
			r.listen()
		case <-r.status:
			r.lock(func() { r.reset(causeReconnect) })
		case <-r.gone:
			r.lock(func() {
				r.lost = true
				r.reset(causeDeleted)
			})
		}
	}
}

// listen notices that the consumer has fallen silent.
func (r *Reader) listen() {
	r.lock(func() {
		if r.cfg.Conn.IsConnected() && time.Since(r.heard) > silence {
			r.lost = true
			r.reset(causeSilent)
		}
	})
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
		r.mending, r.syncing, r.last = true, true, 0
		r.mu.Unlock()
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
		r.cfg.Log.Warn("reader: reset failed", zap.String("stream", r.cfg.Stream), zap.String("consumer", r.cfg.Durable),
			zap.String("cause", string(cause)), zap.Duration("retry", wait), zap.Error(err))
		r.lock(func() {
			r.lost = r.lost || errors.Is(err, nats.ErrNoResponders) || missing(err)
			if r.cause == causeNone {
				r.cause = cause
			}
		})
		select {
		case <-r.ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, retryLast)
	}
}

// repair brings the consumer back to its ack floor, or makes it again where it is gone.
func (r *Reader) repair(lost bool) error {
	ctx, cancel := context.WithTimeout(r.ctx, requestTimeout)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-r.status: // the answer got lost with the connection
			cancel()
			r.lock(func() { r.reset(causeReconnect) })
		case <-ctx.Done():
		}
	})
	defer watch.Wait()
	defer cancel()
	if !lost {
		_, err := r.cfg.JetStream.ResetConsumer(ctx, r.currentStream(), r.cfg.Durable)
		return err
	}
	_, err := r.cfg.JetStream.PushConsumer(ctx, r.currentStream(), r.cfg.Durable)
	switch {
	case missing(err):
		return r.remake(ctx)
	case err != nil:
		return err
	}
	_, err = r.cfg.JetStream.ResetConsumer(ctx, r.currentStream(), r.cfg.Durable)
	return err
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
