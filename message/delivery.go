package message

import (
	"sync/atomic"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// unsettledPause is when a message comes again that its handler has not settled.
const unsettledPause = time.Second

// Delivery is one message for a subscription. The handler settles it with one of Ack, Nak and Term before it returns; one that it does not settle comes again
// after a second. Until then nothing more comes of the same stream.
type Delivery struct {
	*Message
	Stream    string
	Sequence  uint64 // in the stream
	Delivered uint64 // how many times it was delivered to this subscription, this time included

	// immutable
	msg   natsjs.Msg
	place *place
	done  chan struct{} // closed when it is settled for this run of Consume

	settled atomic.Bool
}

// Ack says that the message is done with. A message whose Ack does not reach JetStream is delivered again.
func (d *Delivery) Ack() error { return d.settle(true, d.msg.Ack) }

// Nak wants the message again, not before the pause is over. Those behind it wait.
func (d *Delivery) Nak(pause time.Duration) error {
	return d.settle(false, func() error {
		if pause <= 0 {
			return d.msg.Nak()
		}
		return d.msg.NakWithDelay(pause)
	})
}

// Term says that the message will never be done with, and need not come again.
func (d *Delivery) Term() error { return d.settle(true, d.msg.Term) }

// settle does it once; what is settled already stays as it is.
func (d *Delivery) settle(final bool, tell func() error) error {
	if d.settled.Swap(true) {
		return nil
	}
	if final {
		d.place.last.Store(d.Sequence)
	}
	return tell()
}

// finish is after the handler.
func (d *Delivery) finish() error {
	err := d.Nak(unsettledPause)
	close(d.done)
	return err
}

// expired tells whether the message is not to be delivered any more, which JetStream is up to a second late to know.
func (d *Delivery) expired(now time.Time) bool {
	return d.HasExpiry && !d.Stored.IsZero() && now.Sub(d.Stored) >= time.Duration(max(d.Expiry, 1))*time.Second
}
