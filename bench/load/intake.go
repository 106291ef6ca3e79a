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

// intake counts and checks what a subscriber gets.
type intake struct {
	// immutable
	undelivered *semaphore.Weighted // of the whole run
	sampling    bool

	// any goroutine
	delivered atomic.Int64

	// owned by the subscriber, others after it has ended
	streams    []stream // by publisher
	late       int64    // messages that a later one of the same publisher overtook
	duplicates int64
	samples    []Sample
	fresh      int64 // messages since settle
}

func newIntake(publishers int, undelivered *semaphore.Weighted, sampling bool) *intake {
	in := &intake{undelivered: undelivered, sampling: sampling, streams: make([]stream, publishers)}
	for i := range in.streams {
		in.streams[i].overtaken = make(map[uint64]struct{})
	}
	return in
}

// take counts one message that a read has brought.
func (in *intake) take(p payload, arrived time.Duration) error {
	fresh, err := in.check(p)
	if fresh {
		in.fresh++
		if in.sampling {
			in.samples = append(in.samples, Sample{Sent: p.stamp(), Latency: arrived - p.stamp()})
		}
	}
	return err
}

// settle makes room for as many new messages as were taken.
func (in *intake) settle() {
	in.delivered.Add(in.fresh)
	in.undelivered.Release(in.fresh)
	in.fresh = 0
}

// check tells whether the message is here for the first time.
func (in *intake) check(p payload) (fresh bool, err error) {
	if len(p) != PayloadSize || p.publisher() >= len(in.streams) {
		return false, fmt.Errorf("subscriber got a payload of %d bytes that nobody sent", len(p))
	}
	stream := &in.streams[p.publisher()]
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
		in.late++
		return true, nil
	default:
		in.duplicates++
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
