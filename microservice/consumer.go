package microservice

import (
	"context"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
)

// maxRequestBytes is how many bytes a frame of a consumer may have.
const maxRequestBytes = 4 << 10

// consumer is a socket that gets the messages of a subscriber, or, where others share it, some of them.
type consumer struct {
	*socket

	// set by open, then immutable
	sub *subscriber // nil where open has failed

	// guarded by sub.mu
	window window
	batch  batch
	idle   bool // the writing goroutine has found nothing to do, and waits
	left   bool

	// owned by the writing goroutine
	sending []outgoing
}

// outgoing is a message on its way to the socket.
type outgoing struct {
	id      uint64
	message *message.Message
}

func newConsumer(c *socket) *consumer { return &consumer{socket: c, window: newWindow()} }

func (c *consumer) open(ctx context.Context) error { return c.owner.join(ctx, c) }

func (c *consumer) ready() bool { return c.box.room() }

func (c *consumer) limit() int { return maxRequestBytes }

// take does what one frame asks for.
func (c *consumer) take(text []byte) {
	r, err := c.encoding.ParseRequest(text)
	if err != nil {
		c.refuse(nil, refused(err))
		return
	}
	known := true
	switch r.Kind {
	case frame.Ack:
		known = c.sub.ack(c, r.ID)
	case frame.Nak:
		known = c.sub.nak(c, r.ID)
	case frame.Unsubscribe:
		c.unsubscribe()
	}
	if !known {
		c.refuse(nil, reason.New(reason.UnknownAck, "no message with this id waits for an acknowledgement"))
	}
}

func (c *consumer) refuse(_ []byte, err *reason.Error) {
	c.counts.refused.Add(1)
	c.owner.Metrics.refused(err.Reason)
	c.answer(func(dst []byte) []byte { return frame.AppendError(dst, err) })
}

// unsubscribe removes the subscriber, with whoever shares it, and ends the socket.
func (c *consumer) unsubscribe() {
	c.close() // nothing of the subscriber is used any more when it is removed
	ctx, cancel := context.WithTimeout(c.ctx, storeTimeout)
	defer cancel()
	if err := c.owner.remove(ctx, c.grant); err != nil {
		c.end(ending{Error: refused(err)})
		return
	}
	c.end(endFor(reason.Unsubscribed, ""))
}

// fill writes the next messages.
func (c *consumer) fill() (bool, error) {
	c.sending = c.sub.take(c, c.sending[:0])
	if len(c.sending) == 0 {
		return false, nil
	}
	defer clear(c.sending)
	text := borrow()
	defer giveBack(text)
	for _, one := range c.sending {
		*text = c.encoding.AppendMessage((*text)[:0], one.id, one.message)
		if err := c.send(*text); err != nil {
			return true, err
		}
	}
	return true, nil
}

// drain has nothing to wait for.
func (c *consumer) drain() {}

// close gives back what was not acknowledged.
func (c *consumer) close() {
	if c.sub != nil {
		c.sub.leave(c)
	}
}
