package slow

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

const (
	cycles  = 10_000
	workers = 10
)

// usage is what connections must not leave behind.
type usage struct {
	goroutines, readers, connections float64
	memory                           int64
	streams, consumers               int
}

func measure(t *testing.T, weir *weirtest.Weir, js natsjs.JetStream) usage {
	t.Helper()
	u := usage{
		goroutines:  weir.Metric("go_goroutines"),
		readers:     weir.Metric("weir_readers"),
		connections: weir.Metric("weir_connections"),
		memory:      weir.Memory(),
	}
	streams := js.ListStreams(weirtest.Context(t))
	for info := range streams.Info() {
		u.streams++
		u.consumers += info.State.Consumers
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return u
}

// Ten thousand devices that connect, subscribe, publish and go, politely or not, leave everything where it was.
func TestConnectionsLeaveNothing(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{Unchecked: true})
	js := weirtest.JetStream(t, weir.NATS(), weirtest.DemoService())
	comeAndGo(t, weir, "warm", cycles/10)
	weirtest.Until(t, "the first connections are gone", func() bool { return weir.Metric("weir_connections") == 0 && weir.Metric("weir_readers") == 0 })
	before := measure(t, weir, js)
	began := time.Now()
	comeAndGo(t, weir, "device", cycles)
	t.Logf("%d connections in %s", cycles, time.Since(began))

	var after usage
	ctx, cancel := context.WithTimeout(t.Context(), weirtest.Patience)
	defer cancel()
	// Goroutines may be a few more or less at any moment.
	for ctx.Err() == nil {
		if after = measure(t, weir, js); after.goroutines <= before.goroutines+5 && after.consumers == before.consumers && after.connections == 0 && after.readers == before.readers {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Logf("before: %+v", before)
	t.Logf("after:  %+v", after)
	if after.goroutines > before.goroutines+5 {
		t.Errorf("%v goroutines, %v before", after.goroutines, before.goroutines)
	}
	if after.streams != before.streams || after.consumers != before.consumers || after.readers != before.readers || after.connections != 0 {
		t.Errorf("%+v, before %+v", after, before)
	}
	if grown := after.memory - before.memory; grown > 32*mebibyte {
		t.Errorf("memory grew by %d MiB", grown/mebibyte)
	}
}

// comeAndGo makes that many connections, some at a time.
func comeAndGo(t *testing.T, weir *weirtest.Weir, name string, count int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < count; i += workers {
				if err := comeOnce(t.Context(), weir.MQTT(), name, i); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func comeOnce(ctx context.Context, address, name string, i int) error {
	v := []codec.Version{codec.V31, codec.V311, codec.V5}[i%3]
	conn, err := weirtest.Open(ctx, address, v)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Ten client identifiers come back again and again, the others once.
	clientID := fmt.Sprint(name, "-", i)
	if i%5 == 0 {
		clientID = fmt.Sprint("regular-", i%10, "-", i%workers)
	}
	topic := fmt.Sprint("topic/", i%20)
	if err := exchange[*codec.Connack](conn, weirtest.Credentials(clientID, "demo/device", "demo")); err != nil {
		return err
	}
	if i%2 == 0 {
		subscribe := &codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: topic, QoS: 1}}}
		if err := exchange[*codec.Suback](conn, subscribe); err != nil {
			return err
		}
	} else {
		publish := &codec.Publish{QoS: 1, PacketID: 1, Topic: []byte(topic), Payload: []byte("x")}
		if err := exchange[*codec.Ack](conn, publish); err != nil {
			return err
		}
	}
	if i%4 < 2 {
		return conn.Write(&codec.Disconnect{})
	}
	return nil // the connection is closed without a word
}

// exchange sends a packet and reads until the answer of this type, past messages.
func exchange[P codec.Packet](conn *weirtest.Conn, p codec.Packet) error {
	if err := conn.Write(p); err != nil {
		return err
	}
	for {
		answer, err := conn.Read()
		if err != nil {
			return fmt.Errorf("no answer to %s: %w", p.Type(), err)
		}
		if connack, ok := answer.(*codec.Connack); ok && connack.Code != codec.Success {
			return fmt.Errorf("CONNACK 0x%02X %s", connack.Code, connack.Properties.ReasonString)
		}
		if _, ok := answer.(P); ok {
			return nil
		}
		if _, ok := answer.(*codec.Publish); !ok {
			return fmt.Errorf("received %+v", answer)
		}
	}
}
