package jetstream

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/follow"
)

// recordVersion is in every record, so that bridges of two neighbouring releases can run side by side.
const recordVersion = 1

// positionTTL removes the positions of bridges that have ended.
const positionTTL = time.Hour

// positionRecord is written for its sequence alone.
type positionRecord struct {
	Version int `json:"v"`
}

// records is a stream of records that several bridges write by compare-and-set and follow.
type records[T any] struct {
	control  control
	copy     *follow.Copy[T]
	position string // subject of this bridge's own position
	settling settling
}

// set replaces an entry that nobody else has replaced in the meantime, else the error is a conflict. It returns the new
// sequence once the local copy has it. ttl is how long the stream keeps the record, 0: for ever.
func (r *records[T]) set(ctx context.Context, subject string, record any, expected follow.Entry[T], ttl time.Duration) (uint64, error) {
	sequence, err := publish(ctx, r.control, subject, record, ttl, natsjs.WithExpectLastSequencePerSubject(expected.Sequence))
	if expected.Sequence > 0 && !expected.Live && conflict(err) {
		// The tombstone may have expired.
		sequence, err = publish(ctx, r.control, subject, record, ttl, natsjs.WithExpectLastSequencePerSubject(0))
	}
	if err != nil {
		return 0, err
	}
	return sequence, r.copy.Wait(ctx, sequence)
}

// settle returns once the local copy has everything that was in the stream when settle was called. Those who wait at the same
// time share one position.
func (r *records[T]) settle(ctx context.Context) error {
	return r.settling.share(ctx, r.settleAlone)
}

func (r *records[T]) settleAlone(ctx context.Context) error {
	sequence, err := publish(ctx, r.control, r.position, positionRecord{Version: recordVersion}, positionTTL)
	if err != nil {
		return err
	}
	return r.copy.Wait(ctx, sequence)
}

// publish stores a record as JSON and returns its sequence.
func publish(ctx context.Context, c control, subject string, record any, ttl time.Duration, opts ...natsjs.PublishOpt) (uint64, error) {
	data, err := json.Marshal(record)
	if err != nil {
		return 0, err
	}
	if ttl > 0 {
		opts = append(opts, natsjs.WithMsgTTL(ttl))
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, opts...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}
