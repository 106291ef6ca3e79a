package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// window is how many publishes a publisher has without an answer.
const window = 20

// Publisher publishes the numbers from 0 with QoS 1, in turn to each of its topics, through whatever happens to its
// connection: it connects again and sends again what has not been acknowledged, in the same order.
type Publisher struct {
	// Addresses are of the bridges that serve it, the next one after each loss of the connection.
	Addresses []string
	Version   codec.Version
	ClientID  string
	Topics    []string
	// Patience is how long it waits for an answer before it connects again by itself.
	Patience time.Duration
	// Every is how long it lets pass from one publish to the next; 0: as fast as answers come.
	Every time.Duration

	acked atomic.Int64 // the numbers below it are acknowledged
	sent  int64        // the numbers below it have been sent at least once; owned by run

	mu     sync.Mutex
	wrong  []error // what a server must never do
	losses int     // of the connection
}

// run publishes until stop is closed and everything that was sent is acknowledged, or ctx ends.
func (p *Publisher) run(ctx context.Context, stop <-chan struct{}) error {
	for {
		finished, err := p.connection(ctx, stop)
		if finished {
			return nil
		}
		p.mu.Lock()
		p.losses++
		p.mu.Unlock()
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s has %d of %d acknowledged; the last connection: %w", p.ClientID, p.acked.Load(), p.sent, err)
		}
	}
}

// connection is one connection, from CONNECT to its end.
func (p *Publisher) connection(ctx context.Context, stop <-chan struct{}) (finished bool, err error) {
	conn, err := weirtest.Open(ctx, p.Addresses[p.losses%len(p.Addresses)], p.Version)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := conn.Write(weirtest.Credentials(p.ClientID, "demo/device", "demo")); err != nil {
		return false, err
	}
	answer, err := conn.Read()
	if err != nil {
		return false, fmt.Errorf("CONNACK: %w", err)
	}
	if ack, ok := answer.(*codec.Connack); !ok || ack.Code != codec.Success {
		return false, fmt.Errorf("%+v instead of CONNACK", answer)
	}
	answers := make(chan struct{}, window)
	over := make(chan error, 1)
	go func() { over <- p.read(conn, answers) }()
	finished, err = p.write(ctx, conn, stop, answers, over)
	conn.Close()
	if readErr, ok := <-over; ok && err == nil && !finished {
		err = readErr
	}
	return finished, err
}

// read takes answers until the connection ends.
func (p *Publisher) read(conn *weirtest.Conn, answers chan<- struct{}) error {
	defer close(answers)
	for {
		packet, err := conn.ReadWithin(p.Patience)
		if err != nil {
			return err
		}
		switch ack := packet.(type) {
		case *codec.Ack:
			next := p.acked.Load()
			if ack.Kind != codec.PUBACK || ack.PacketID != packetID(next) {
				p.fault(fmt.Errorf("%s: %+v instead of PUBACK %d", p.ClientID, ack, packetID(next)))
				return errors.New("wrong answer")
			}
			if ack.Code != codec.Success && ack.Code != codec.NoMatchingSubscribers {
				p.fault(fmt.Errorf("%s: publish %d refused: %+v", p.ClientID, next, ack))
				return errors.New("refused")
			}
			p.acked.Add(1)
			answers <- struct{}{}
		case *codec.Disconnect:
			return fmt.Errorf("DISCONNECT 0x%02X %s", ack.Code, ack.ReasonString)
		default:
			p.fault(fmt.Errorf("%s: received %+v", p.ClientID, packet))
			return errors.New("wrong packet")
		}
	}
}

// write sends what is not acknowledged, and more, until the connection ends or, after stop, all is acknowledged.
func (p *Publisher) write(ctx context.Context, conn *weirtest.Conn, stop <-chan struct{}, answers <-chan struct{}, over chan error) (finished bool, err error) {
	next, free := p.acked.Load(), window
	pace := time.NewTicker(max(p.Every, 1))
	defer pace.Stop()
	for {
		stopping := closed(stop)
		if stopping && p.acked.Load() == p.sent {
			return true, nil
		}
		if free > 0 && (next < p.sent || !stopping) {
			if err := conn.Write(p.message(next)); err != nil {
				return false, err
			}
			next++
			if p.Every > 0 {
				<-pace.C
			}
			p.sent = max(p.sent, next)
			free--
			// Answers that have come already make room, and show the end of the connection.
			select {
			case _, ok := <-answers:
				if !ok {
					return false, nil
				}
				free++
			default:
			}
			continue
		}
		select {
		case _, ok := <-answers:
			if !ok {
				return false, nil
			}
			free++
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (p *Publisher) message(n int64) *codec.Publish {
	return &codec.Publish{QoS: 1, PacketID: packetID(n), Topic: []byte(p.topic(n)), Payload: strconv.AppendInt(nil, n, 10)}
}

func (p *Publisher) topic(n int64) string { return p.Topics[n%int64(len(p.Topics))] }

func (p *Publisher) fault(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, err)
}

func packetID(n int64) uint16 { return uint16(n%65535) + 1 }
