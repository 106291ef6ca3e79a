package reader

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// Deliveries tell how many messages are behind them. A consumer that may deliver no more tells nothing: what is stored meanwhile is asked
// for, by askEvery on average at most over all readers of a connection, however many of them stand still.
const (
	askEvery   = 5 * time.Millisecond
	askTimeout = time.Second // acknowledgements wait for as long
)

// standstill is where a reader is that gets nothing before the sink goes on; the zero value: it does get something.
type standstill struct {
	full      bool
	high      uint64
	arrived   uint64
	unsettled int
}

// standing tells where the reader stands still. The caller holds mu, and is the keeper.
func (r *Reader) standing() standstill {
	busy := r.closed || r.syncing || r.mending || r.adrift || r.cause != causeNone || len(r.acks) > 0
	if busy || !r.paused && r.unsettled() < r.made.MaxAckPending {
		return standstill{}
	}
	return standstill{full: true, high: r.high, arrived: r.arrived, unsettled: r.unsettled()}
}

// look takes a turn to ask for the lag where the reader has stood still since it last looked: no acknowledgement is under way then.
func (r *Reader) look() {
	r.mu.Lock()
	now := r.standing()
	r.mu.Unlock()
	if now.full && now == r.stood && !r.asking {
		r.asking = true
		r.turn.Reset(r.cfg.Pace.turn(time.Now()))
	}
	r.stood = now
}

// ask brings the lag up to date, where the reader still stands where it did.
func (r *Reader) ask() {
	r.asking = false
	r.mu.Lock()
	stands := r.stood.full && r.standing() == r.stood
	stream, durable := r.stream, r.durable
	r.mu.Unlock()
	if _, up := r.cfg.Conn.State(); !stands || !up {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
	defer cancel()
	c, err := r.cfg.JetStream.PushConsumer(ctx, stream, durable)
	if err != nil { // where the consumer is gone, that is noticed otherwise
		r.cfg.Log.Debug("reader: lag not known", zap.String("stream", stream), zap.String("consumer", durable), zap.Error(err))
		return
	}
	info := c.CachedInfo()
	r.lock(func() {
		if r.standing() == r.stood {
			all := info.NumPending + uint64(info.NumAckPending)
			r.pending = all - min(all, uint64(r.unsettled()))
		}
	})
}

// turn is how long a reader waits before it asks for its lag.
func (p *Pace) turn(now time.Time) time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked = p.asked.Add(askEvery); p.asked.Before(now) {
		p.asked = now
	}
	return p.asked.Sub(now)
}
