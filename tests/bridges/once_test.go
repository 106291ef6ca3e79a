package bridges

import (
	"fmt"
	"sync"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// What is published on one bridge reaches every subscriber of both exactly once, in the publisher's order.
func TestEverySubscriberOnBothExactlyOnce(t *testing.T) {
	p := startPair(t, weirtest.DemoTenants)
	const topic, count = "shared/topic", 1000
	bridges := map[string]*weirtest.Weir{"a": p.a, "b": p.b}

	var wg sync.WaitGroup
	for name, weir := range bridges {
		for _, v := range []codec.Version{codec.V31, codec.V311, codec.V5} {
			who := fmt.Sprintf("subscriber on %s with %s", name, v)
			client := login(t, weir, v, who)
			client.Subscribe(topic, 1)
			wg.Go(func() {
				if err := receiveAll(client.Conn, count, len(bridges)); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			})
		}
	}
	for name, weir := range bridges {
		client := login(t, weir, codec.V5, "publisher on "+name)
		wg.Go(func() {
			if err := publishAll(client.Conn, topic, name, count); err != nil {
				t.Errorf("publisher on %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	for name, weir := range bridges {
		if delivered, want := weir.Metric("weir_deliveries_total"), float64(3*2*count); delivered != want {
			t.Errorf("bridge %s delivered %v messages instead of %v", name, delivered, want)
		}
	}
}

// publishAll publishes "<name> <number>" with QoS 1 and reads all answers.
func publishAll(conn *weirtest.Conn, topic, name string, count int) error {
	const window = 100
	for n := range count + window {
		if n >= window {
			packet, err := conn.Read()
			if err != nil {
				return err
			}
			if ack, ok := packet.(*codec.Ack); !ok || ack.Kind != codec.PUBACK || int(ack.PacketID) != n-window+1 || ack.Code != codec.Success {
				return fmt.Errorf("received %+v instead of PUBACK %d", packet, n-window+1)
			}
		}
		if n < count {
			err := conn.Write(&codec.Publish{QoS: 1, PacketID: uint16(n + 1), Topic: []byte(topic), Payload: fmt.Appendf(nil, "%s %d", name, n)})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// receiveAll takes what that many publishers publish, each once and in order.
func receiveAll(conn *weirtest.Conn, count, publishers int) error {
	next := map[string]int{}
	for range count * publishers {
		packet, err := conn.Read()
		if err != nil {
			return fmt.Errorf("%w after %v", err, next)
		}
		publish, ok := packet.(*codec.Publish)
		if !ok {
			return fmt.Errorf("received %+v", packet)
		}
		var name string
		var n int
		if _, err := fmt.Sscanf(string(publish.Payload), "%s %d", &name, &n); err != nil {
			return fmt.Errorf("%q: %w", publish.Payload, err)
		}
		if n != next[name] {
			return fmt.Errorf("received %d of %s instead of %d", n, name, next[name])
		}
		next[name]++
		if err := conn.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: publish.PacketID}); err != nil {
			return err
		}
	}
	return nil
}
