package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// mqttLink publishes as a device, at QoS 1.
type mqttLink struct {
	// immutable
	*client

	// owned by send
	batch  []byte // one or more PUBLISH packets, patched before each write
	size   int    // of one packet in batch, bytes
	sentID uint16 // packet identifier of the last one

	// owned by receive
	ackedID uint16
}

// linkMQTT makes a link that writes batch packets at once.
func linkMQTT(ctx context.Context, addr, clientID, topic string, batch int) (link, error) {
	c, err := connect(ctx, addr, clientID)
	if err != nil {
		return nil, err
	}
	packet := appendPublish(nil, topic, 0, make([]byte, PayloadSize))
	l := &mqttLink{client: c, size: len(packet)}
	for range batch {
		l.batch = append(l.batch, packet...)
	}
	return l, nil
}

func (l *mqttLink) send(stamp time.Duration, sequence uint64, publisher int) error {
	for rest := l.batch; len(rest) > 0; rest = rest[l.size:] {
		body := rest[l.size-PayloadSize-2 : l.size]
		l.sentID = nextID(l.sentID)
		binary.BigEndian.PutUint16(body, l.sentID)
		payload(body[2:]).set(stamp, sequence, publisher)
		sequence++
	}
	_, err := l.conn.Write(l.batch)
	return err
}

// receive takes PUBACKs, in the order of the PUBLISH packets [MQTT-4.6.0-2].
func (l *mqttLink) receive(acknowledged func(n int64)) error {
	acked := int64(0)
	for {
		header, body, err := l.packets.next()
		if err != nil {
			return err
		}
		if header != headerPuback || len(body) != 2 {
			return fmt.Errorf("publisher got packet %#x % x, want a PUBACK", header, body)
		}
		l.ackedID = nextID(l.ackedID)
		if id := binary.BigEndian.Uint16(body); id != l.ackedID {
			return fmt.Errorf("PUBACK %d out of order, want %d", id, l.ackedID)
		}
		acked++
		if !l.packets.buffered() {
			acknowledged(acked)
			acked = 0
		}
	}
}

// nextID counts 1 to 65535 and around, as packet identifiers do.
func nextID(id uint16) uint16 {
	if id == math.MaxUint16 {
		return 1
	}
	return id + 1
}
