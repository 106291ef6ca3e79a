package load

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
)

// link is how a publisher publishes, to one topic.
type link interface {
	// send publishes a batch of messages, which are numbered from sequence on.
	send(stamp time.Duration, sequence uint64, publisher int) error
	// receive calls acknowledged for all that is acknowledged, until the connection ends.
	receive(acknowledged func(n int64)) error
	// close disconnects.
	close()
}

// publisher publishes over a link.
type publisher struct {
	// immutable
	link        link
	index       int
	batch       int64
	window      *semaphore.Weighted // published and not acknowledged
	windowSize  int64
	undelivered *semaphore.Weighted // of the whole run

	sequence uint64 // owned by flood or pace: of the next message, from 0: how many were sent
}

// newPublisher makes a publisher whose link sends batch messages at once.
func newPublisher(l link, index int, batch, windowSize int64, undelivered *semaphore.Weighted) *publisher {
	return &publisher{
		link: l, index: index, batch: batch, undelivered: undelivered,
		window: semaphore.NewWeighted(windowSize), windowSize: windowSize,
	}
}

// flood publishes as fast as the windows allow until ctx ends.
func (p *publisher) flood(ctx context.Context) error {
	for {
		if p.window.Acquire(ctx, p.batch) != nil {
			return nil
		}
		if p.undelivered.Acquire(ctx, p.batch) != nil {
			p.window.Release(p.batch)
			return nil
		}
		if err := p.send(); err != nil {
			return err
		}
	}
}

// fill publishes as fast as the window allows until so much is undelivered that there is no room, and everything is acknowledged.
func (p *publisher) fill(ctx context.Context) error {
	for p.undelivered.TryAcquire(p.batch) {
		if err := p.window.Acquire(ctx, p.batch); err != nil {
			return context.Cause(ctx)
		}
		if err := p.send(); err != nil {
			return err
		}
	}
	if err := p.acknowledged(ctx); err != nil {
		return context.Cause(ctx)
	}
	p.window.Release(p.windowSize)
	return nil
}

// pace publishes on the beats of a clock until ctx ends, whatever the server does.
func (p *publisher) pace(ctx context.Context, interval time.Duration) error {
	beat, err := newMetronome(interval)
	if err != nil {
		return err
	}
	defer beat.stop()
	for ctx.Err() == nil {
		if err := beat.wait(); err != nil {
			return err
		}
		if !p.window.TryAcquire(p.batch) || !p.undelivered.TryAcquire(p.batch) {
			return fmt.Errorf("the server is %d messages behind", p.windowSize)
		}
		if err := p.send(); err != nil {
			return err
		}
	}
	return nil
}

// send publishes one batch.
func (p *publisher) send() error {
	first := p.sequence
	p.sequence += uint64(p.batch)
	return p.link.send(Now(), first, p.index)
}

// receive takes acknowledgements until the connection ends.
func (p *publisher) receive() error { return p.link.receive(p.window.Release) }

// acknowledged waits until nothing is without an acknowledgement. To be called after sending has ended.
func (p *publisher) acknowledged(ctx context.Context) error {
	return p.window.Acquire(ctx, p.windowSize)
}
