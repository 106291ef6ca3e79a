package load

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Sample is one message of a paced run.
type Sample struct {
	Sent    time.Duration // on the clock of Now
	Latency time.Duration // from just before the write of the PUBLISH to the return of the read that brought it
}

// subscriber takes all messages and acknowledges them.
type subscriber struct {
	// immutable
	client      *client
	undelivered *semaphore.Weighted // of the whole run
	sampling    bool

	// any goroutine
	delivered atomic.Int64

	// owned by receive, others after it has ended
	streams    []stream // by publisher
	late       int64    // messages that a later one of the same publisher overtook
	duplicates int64
	samples    []Sample
}

func newSubscriber(c *client, publishers int, undelivered *semaphore.Weighted, sampling bool) *subscriber {
	s := &subscriber{client: c, undelivered: undelivered, sampling: sampling, streams: make([]stream, publishers)}
	for i := range s.streams {
		s.streams[i].overtaken = make(map[uint64]struct{})
	}
	return s
}

// receive takes messages until the connection ends.
func (s *subscriber) receive() error {
	var acks []byte
	var delivered int64
	var arrived time.Duration
	for {
		header, body, err := s.client.packets.next()
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
		fresh, err := s.check(payload(content))
		if err != nil {
			return err
		}
		if fresh {
			delivered++
			if s.sampling {
				sent := payload(content).stamp()
				s.samples = append(s.samples, Sample{Sent: sent, Latency: arrived - sent})
			}
		}
		acks = appendPuback(acks, id)
		if s.client.packets.buffered() {
			continue
		}
		if _, err := s.client.conn.Write(acks); err != nil {
			return err
		}
		s.delivered.Add(delivered)
		s.undelivered.Release(delivered)
		acks, delivered = acks[:0], 0
	}
}

// check tells whether the message is here for the first time.
func (s *subscriber) check(p payload) (fresh bool, err error) {
	if len(p) != PayloadSize || p.publisher() >= len(s.streams) {
		return false, fmt.Errorf("subscriber got a payload of %d bytes that nobody sent", len(p))
	}
	stream := &s.streams[p.publisher()]
	switch sequence := p.sequence(); {
	case sequence >= stream.next:
		if sequence-stream.next > maxOvertaken {
			return false, fmt.Errorf("message %d of a publisher came after message %d", sequence, int64(stream.next)-1)
		}
		for ; stream.next < sequence; stream.next++ {
			stream.overtaken[stream.next] = struct{}{}
		}
		stream.next++
		return true, nil
	case stream.wasOvertaken(sequence):
		delete(stream.overtaken, sequence)
		s.late++
		return true, nil
	default:
		s.duplicates++
		return false, nil
	}
}

// maxOvertaken bounds what one message can overtake: a publisher has no more on the way.
const maxOvertaken = max(Undelivered, pacedWindow)

// stream is what has come from one publisher.
type stream struct {
	next      uint64              // above the highest sequence number so far
	overtaken map[uint64]struct{} // sequence numbers below next that are not here; at most what is undelivered
}

func (s *stream) wasOvertaken(sequence uint64) bool {
	_, ok := s.overtaken[sequence]
	return ok
}
