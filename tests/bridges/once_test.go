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
	p := weirtest.StartPair(t, weirtest.DemoTenants)
	const topic, count = "shared/topic", 1000
	bridges := map[string]*weirtest.Weir{"a": p.A, "b": p.B}

	var wg sync.WaitGroup
	for name, weir := range bridges {
		for _, v := range []codec.Version{codec.V31, codec.V311, codec.V5} {
			who := fmt.Sprintf("subscriber on %s with %s", name, v)
			client := weirtest.Device(t, weir, v, who)
			client.Subscribe(topic, 1)
			wg.Go(func() {
				if err := receiveAll(client.Conn, count, len(bridges)); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			})
		}
	}
	for name, weir := range bridges {
		client := weirtest.Device(t, weir, codec.V5, "publisher on "+name)
		wg.Go(func() {
			if err := client.PublishAll(numbered(topic, name, count)); err != nil {
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

// numbered are that many messages, "<name> <number>".
func numbered(topic, name string, count int) (messages []*codec.Publish) {
	for n := range count {
		messages = append(messages, &codec.Publish{Topic: []byte(topic), Payload: fmt.Appendf(nil, "%s %d", name, n)})
	}
	return messages
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
