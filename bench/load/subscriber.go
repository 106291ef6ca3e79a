package load

import (
	"context"
	"fmt"
	"time"
)

// subscriber takes all messages and acknowledges each.
type subscriber interface {
	// receive takes messages until the connection ends.
	receive() error
	// close disconnects.
	close()
}

// subscribe connects a subscriber. Everything that is published when it has returned comes to it, once it receives.
func subscribe(ctx context.Context, cfg Config, topics []string, in *intake) (subscriber, error) {
	switch cfg.To {
	case JSON, Avro:
		return subscribeWebSocket(ctx, cfg, topics[0], in)
	case NATS, Like:
		return subscribeNATS(ctx, cfg, topics[0], in)
	default:
		return subscribeMQTT(ctx, cfg.MQTTAddr, topics, in)
	}
}

// mqttSubscriber is a client with subscriptions at QoS 1.
type mqttSubscriber struct {
	*client
	in *intake
}

func subscribeMQTT(ctx context.Context, addr string, topics []string, in *intake) (subscriber, error) {
	c, err := connect(ctx, addr, "bench-subscriber")
	if err != nil {
		return nil, err
	}
	if err := c.subscribe(topics); err != nil {
		c.close()
		return nil, err
	}
	return &mqttSubscriber{c, in}, nil
}

func (s *mqttSubscriber) receive() error {
	var acks []byte
	var arrived time.Duration
	for {
		header, body, err := s.packets.next()
		if err != nil {
			return err
		}
		if len(acks) == 0 {
			arrived = Now()
		}
		if header&maskType != headerPublish&maskType || header&0x06 != headerPublish&0x06 {
			return fmt.Errorf("subscriber got packet %#x, want a PUBLISH at QoS 1", header)
		}
		id, content, err := decodePublish(body)
		if err != nil {
			return err
		}
		if err := s.in.take(content, arrived); err != nil {
			return err
		}
		acks = appendPuback(acks, id)
		if s.packets.buffered() {
			continue
		}
		if _, err := s.conn.Write(acks); err != nil {
			return err
		}
		s.in.settle()
		acks = acks[:0]
	}
}
