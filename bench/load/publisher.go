package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/semaphore"
)

// publisher publishes to one topic.
type publisher struct {
	// immutable
	client      *client
	index       int
	window      *semaphore.Weighted // PUBLISH without PUBACK
	windowSize  int64
	undelivered *semaphore.Weighted // of the whole run

	// owned by send
	batch    []byte // one or more PUBLISH packets, patched before each write
	size     int    // of one packet in batch, bytes
	sequence uint64 // of the next message, from 0: how many were sent
	sentID   uint16 // packet identifier of the last one

	// owned by receive
	ackedID uint16
}

// newPublisher makes a publisher that writes batch packets at once.
func newPublisher(c *client, index int, topic string, batch int, windowSize int64, undelivered *semaphore.Weighted) *publisher {
	p := &publisher{
		client: c, index: index, undelivered: undelivered,
		window: semaphore.NewWeighted(windowSize), windowSize: windowSize,
	}
	packet := appendPublish(nil, topic, 0, make([]byte, PayloadSize))
	p.size = len(packet)
	for range batch {
		p.batch = append(p.batch, packet...)
	}
	return p
}

// count is how many packets a batch has.
func (p *publisher) count() int64 { return int64(len(p.batch) / p.size) }

// flood publishes as fast as the windows allow until ctx ends.
func (p *publisher) flood(ctx context.Context) error {
	n := p.count()
	for {
		if p.window.Acquire(ctx, n) != nil {
			return nil
		}
		if p.undelivered.Acquire(ctx, n) != nil {
			p.window.Release(n)
			return nil
		}
		if err := p.write(); err != nil {
			return err
		}
	}
}

// pace publishes on the beats of a clock until ctx ends, whatever the server does.
func (p *publisher) pace(ctx context.Context, interval time.Duration) error {
	beat, err := newMetronome(interval)
	if err != nil {
		return err
	}
	defer beat.stop()
	n := p.count()
	for ctx.Err() == nil {
		if err := beat.wait(); err != nil {
			return err
		}
		if !p.window.TryAcquire(n) || !p.undelivered.TryAcquire(n) {
			return fmt.Errorf("the server is %d messages behind", p.windowSize)
		}
		if err := p.write(); err != nil {
			return err
		}
	}
	return nil
}

// write sends one batch.
func (p *publisher) write() error {
	stamp := Now()
	for rest := p.batch; len(rest) > 0; rest = rest[p.size:] {
		body := rest[p.size-PayloadSize-2 : p.size]
		p.sentID = nextID(p.sentID)
		binary.BigEndian.PutUint16(body, p.sentID)
		payload(body[2:]).set(stamp, p.sequence, p.index)
		p.sequence++
	}
	_, err := p.client.conn.Write(p.batch)
	return err
}

// receive takes PUBACKs, in the order of the PUBLISH packets [MQTT-4.6.0-2], until the connection ends.
func (p *publisher) receive() error {
	acked := int64(0)
	for {
		header, body, err := p.client.packets.next()
		if err != nil {
			return err
		}
		if header != headerPuback || len(body) != 2 {
			return fmt.Errorf("publisher got packet %#x % x, want a PUBACK", header, body)
		}
		p.ackedID = nextID(p.ackedID)
		if id := binary.BigEndian.Uint16(body); id != p.ackedID {
			return fmt.Errorf("PUBACK %d out of order, want %d", id, p.ackedID)
		}
		acked++
		if !p.client.packets.buffered() {
			p.window.Release(acked)
			acked = 0
		}
	}
}

// acknowledged waits until nothing is without a PUBACK. To be called after sending has ended.
func (p *publisher) acknowledged(ctx context.Context) error {
	return p.window.Acquire(ctx, p.windowSize)
}

// nextID counts 1 to 65535 and around, as packet identifiers do.
func nextID(id uint16) uint16 {
	if id == math.MaxUint16 {
		return 1
	}
	return id + 1
}
