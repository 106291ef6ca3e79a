package bridge

import (
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
)

// endless is a source that always has one more.
type endless struct {
	sequence uint64
	message  message.Message
}

func (e *endless) Bind(fanout.Waker) bool { return true }
func (e *endless) Next() (d reader.Delivery, held, ok bool) {
	e.sequence++
	e.message.Topic, e.message.QoS = "a", 1
	return reader.Delivery{Message: &e.message, Stream: "s", Sequence: e.sequence}, true, true
}
func (e *endless) Ack(uint64) {}
func (e *endless) Hold()      {}
func (e *endless) Close()     {}

func (e *endless) Includes(string) bool { return true }

func (e *endless) Former() bool { return false }
