package weirtest

import (
	"fmt"

	"github.com/weirmq/weir/codec"
)

// PublishAll publishes with QoS 1, some without an answer, and returns when all are acknowledged, in order. It sets QoS and packet identifiers.
func (c *Conn) PublishAll(messages []*codec.Publish) error {
	window := min(len(messages), 100)
	for n := range len(messages) + window {
		if answered := n - window; answered >= 0 {
			packet, err := c.Read()
			if err != nil {
				return fmt.Errorf("no answer to publish %d: %w", answered, err)
			}
			if ack, ok := packet.(*codec.Ack); !ok || ack.Kind != codec.PUBACK || ack.PacketID != messages[answered].PacketID || ack.Code >= 0x80 {
				return fmt.Errorf("received %+v instead of a PUBACK for publish %d", packet, answered)
			}
		}
		if n < len(messages) {
			messages[n].QoS, messages[n].PacketID = 1, uint16(n%65535)+1
			if err := c.Write(messages[n]); err != nil {
				return err
			}
		}
	}
	return nil
}
