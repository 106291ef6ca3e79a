// Package wildcards runs topics and topic filters against each other, on two Weirs beside one nats-server.
package wildcards

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Topics are created on one bridge while their filters are subscribed to on another, ten thousand times. Whatever is published
// after the SUBACK is delivered, and from the first message that is delivered none is missing. Old topics are removed meanwhile.
func TestTopicsAreCreatedWhileTheirFiltersComeUp(t *testing.T) {
	comeUp(t, weirtest.DemoTenants+"    quotas: {topics: 20000, backlog_bytes: -1}\n", 625)
}

// The same where all topics share a stream.
func TestFiltersComeUpOverASharedStream(t *testing.T) {
	comeUp(t, weirtest.DemoRules(`{filter: "race/#", stream: shared, name: race, backlog_bytes: 268435456}`), 100)
}

func comeUp(t *testing.T, tenants string, rounds int) {
	const lanes = 16
	p := weirtest.StartPair(t, tenants, "WEIR_TOPIC_IDLE=1s")
	var early atomic.Int64
	var wg sync.WaitGroup
	versions := []codec.Version{codec.V5, codec.V311, codec.V31}
	for lane := range lanes {
		v := versions[lane%len(versions)]
		r := race{
			publisher:  weirtest.Device(t, p.A, v, fmt.Sprint("publisher-", lane)).Conn,
			subscriber: weirtest.Device(t, p.B, v, fmt.Sprint("subscriber-", lane)).Conn,
			early:      &early,
		}
		wg.Go(func() {
			for round := range rounds {
				if err := r.run(fmt.Sprintf("race/%d/%d", lane, round)); err != nil {
					t.Errorf("lane %d, round %d: %v", lane, round, err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("of %d topics %d had a message before the SUBACK that was delivered", lanes*rounds, early.Load())
}

// race is one publisher and one subscriber on different bridges.
type race struct {
	publisher, subscriber *weirtest.Conn
	early                 *atomic.Int64
}

// spread is by how much either may begin before the other.
const spread = 4 * time.Millisecond

// run publishes numbers from 0 on to a new topic, until one was sent after the SUBACK.
func (r race) run(name string) error {
	subscribed := make(chan struct{})
	last := make(chan int, 1)
	var publishing error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(last)
		<-time.After(rand.N(spread))
		var n int
		if n, publishing = r.publish(name+"/t", subscribed); publishing == nil {
			last <- n
		}
	})
	<-time.After(rand.N(spread))
	err := r.subscribe(name+"/#", subscribed, last)
	if err != nil {
		_ = r.publisher.Close()
	}
	wg.Wait()
	return errors.Join(publishing, err)
}

// publish returns the number of the first message that was sent after the SUBACK, which is the last one.
func (r race) publish(topic string, subscribed <-chan struct{}) (last int, err error) {
	for n, done := 0, false; !done; n++ {
		select {
		case <-subscribed:
			done = true
		default:
		}
		p := &codec.Publish{QoS: 1, PacketID: uint16(n%65535 + 1), Topic: []byte(topic), Payload: strconv.AppendInt(nil, int64(n), 10)}
		if err := r.publisher.Write(p); err != nil {
			return 0, err
		}
		answer, err := r.publisher.Read()
		if err != nil {
			return 0, err
		}
		if ack, ok := answer.(*codec.Ack); !ok || ack.Kind != codec.PUBACK || ack.Code != codec.Success {
			return 0, fmt.Errorf("answer to message %d: %+v", n, answer)
		}
		last = n
	}
	return last, nil
}

// subscribe takes what comes until the last message, and unsubscribes.
func (r race) subscribe(filter string, subscribed chan<- struct{}, last <-chan int) error {
	answered, until, next := false, -1, -1
	request := &codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: filter, QoS: 1}}}
	if err := r.subscriber.Write(request); err != nil {
		close(subscribed)
		return err
	}
	for until < 0 || next <= until {
		packet, err := r.subscriber.Read()
		if err != nil {
			if !answered {
				close(subscribed)
			}
			return fmt.Errorf("%w; next is %d, the last %d", err, next, until)
		}
		switch p := packet.(type) {
		case *codec.Suback:
			if p.Codes[0] != codec.GrantedQoS1 {
				err = fmt.Errorf("SUBACK %v", p.Codes)
			}
			answered = true
			close(subscribed)
			n, ok := <-last
			if !ok {
				return err // the publisher says why
			}
			until = n
		case *codec.Publish:
			var n int
			if n, err = strconv.Atoi(string(p.Payload)); err == nil && n != next && (next >= 0 || n > until) {
				err = fmt.Errorf("received %d instead of %d; the last is %d", n, next, until)
			}
			if next < 0 && n < until {
				r.early.Add(1)
			}
			next = n + 1
			if err == nil {
				err = r.subscriber.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
			}
		default:
			err = fmt.Errorf("received %+v", packet)
		}
		if err != nil {
			return err
		}
	}
	if err := r.subscriber.Write(&codec.Unsubscribe{PacketID: 2, Filters: []string{filter}}); err != nil {
		return err
	}
	packet, err := r.subscriber.Read()
	if _, ok := packet.(*codec.Unsuback); err == nil && !ok {
		err = fmt.Errorf("received %+v instead of UNSUBACK", packet)
	}
	return err
}
