// Package slow measures what a device that does not read, and very many that come and go, do to the others and to the
// process.
package slow

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mebibyte = 1 << 20

// phase is one run of messages through one topic.
type phase struct {
	first, count int            // numbers of the messages
	sent         []atomic.Int64 // when each was published, in nanoseconds since start
	start        time.Time
}

func newPhase(first, count int) *phase {
	return &phase{first: first, count: count, sent: make([]atomic.Int64, count), start: time.Now()}
}

// publish sends the messages of the phase, at most window of them without an answer, at this pace per second.
func (p *phase) publish(conn *weirtest.Conn, topic string, pace int) error {
	const window = 200
	free := make(chan struct{}, window)
	for range window {
		free <- struct{}{}
	}
	answers := make(chan error, 1)
	go func() { answers <- p.answers(conn, free) }()
	payload := make([]byte, 128)
	for i := range p.count {
		due := time.Duration(i) * time.Second / time.Duration(pace)
		if early := due - time.Since(p.start); early > 5*time.Millisecond {
			<-time.After(early)
		}
		select {
		case <-free:
		case err := <-answers:
			return fmt.Errorf("publish %d: %w", i, err)
		}
		copy(payload, fmt.Sprintf("%010d", p.first+i))
		p.sent[i].Store(int64(time.Since(p.start)))
		if err := conn.Write(&codec.Publish{QoS: 1, PacketID: uint16(i%60_000) + 1, Topic: []byte(topic), Payload: payload}); err != nil {
			return err
		}
	}
	return <-answers
}

func (p *phase) answers(conn *weirtest.Conn, free chan<- struct{}) error {
	for i := range p.count {
		packet, err := conn.Read()
		if err != nil {
			return fmt.Errorf("no answer to publish %d: %w", i, err)
		}
		ack, ok := packet.(*codec.Ack)
		if !ok || ack.PacketID != uint16(i%60_000)+1 || ack.Code != codec.Success {
			return fmt.Errorf("received %+v instead of PUBACK for publish %d", packet, i)
		}
		free <- struct{}{}
	}
	return nil
}

// receive takes the messages of the phase in their order and returns the latency of each.
func (p *phase) receive(conn *weirtest.Conn) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, p.count)
	for i := range p.count {
		if err := takeNumber(conn, p.first+i); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(p.start)-time.Duration(p.sent[i].Load()))
	}
	return latencies, nil
}

// takeNumber receives and acknowledges one message, which must be this one.
func takeNumber(conn *weirtest.Conn, want int) error {
	packet, err := conn.ReadWithin(stall)
	if err != nil {
		return fmt.Errorf("instead of message %d: %w", want, err)
	}
	publish, ok := packet.(*codec.Publish)
	if !ok || publish.QoS != 1 || string(publish.Payload[:10]) != fmt.Sprintf("%010d", want) {
		return fmt.Errorf("received %+v instead of message %d", packet, want)
	}
	return conn.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: publish.PacketID})
}

// figures are what the receivers saw of a phase.
type figures struct {
	took             time.Duration
	median, p99, max time.Duration
}

func (f figures) String() string {
	return fmt.Sprintf("%s in all, latency %s median, %s at 99 %%, %s at most", f.took, f.median, f.p99, f.max)
}

// run sends a phase from the publisher to all receivers.
func (p *phase) run(t *testing.T, publisher *weirtest.Conn, topic string, pace int, receivers []*weirtest.Conn) figures {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	for i, conn := range receivers {
		wg.Go(func() {
			latencies, err := p.receive(conn)
			if err != nil {
				t.Errorf("receiver %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, latencies...)
		})
	}
	if err := p.publish(publisher, topic, pace); err != nil {
		t.Errorf("publisher: %v", err)
	}
	wg.Wait()
	if len(all) < p.count*len(receivers) {
		t.Errorf("%d of %d messages arrived", len(all), p.count*len(receivers))
		return figures{}
	}
	slices.Sort(all)
	f := figures{took: time.Since(p.start), median: all[len(all)/2], p99: all[len(all)*99/100], max: all[len(all)-1]}
	if f.max > stall {
		t.Errorf("delivery stood still: %s", f)
	}
	return f
}

// stall is a latency that no load on the machine explains.
const stall = 3 * time.Second

// memory watches the largest resident memory of a Weir.
type memory struct {
	weir *weirtest.Weir
	stop chan struct{}
	most chan int64
}

func watchMemory(weir *weirtest.Weir) *memory {
	m := &memory{weir: weir, stop: make(chan struct{}), most: make(chan int64, 1)}
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		most := weir.Memory()
		for {
			select {
			case <-ticker.C:
				most = max(most, weir.Memory())
			case <-m.stop:
				m.most <- most
				return
			}
		}
	}()
	return m
}

// largest ends the watch and returns the largest memory since its begin.
func (m *memory) largest() int64 {
	close(m.stop)
	return <-m.most
}
