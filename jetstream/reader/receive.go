package reader

import (
	"errors"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/reason"
)

// Headers and status codes of what a consumer sends besides messages.
const (
	lastConsumerHeader = "Nats-Last-Consumer"
	lastStreamHeader   = "Nats-Last-Stream"
	statusHeartbeat    = "100"
	statusNoResponders = "503"
)

// receive is the subscription's callback: deliveries, heartbeats and the answers to acknowledgements, in the
// order in which the server sent them.
func (r *Reader) receive(m *wire.Msg) {
	p, ok := parseReply(m.Reply)
	if !ok {
		r.control(m)
		return
	}
	r.calls.Lock()
	defer r.calls.Unlock()
	if !r.accept(m, p) {
		return
	}
	decoded, err := r.cfg.Decode(m)
	mark := errors.Is(err, ErrMark)
	if err != nil && !mark {
		r.badSubject(string(m.Subject), err)
	}
	if decoded == nil {
		r.Ack(Delivery{Sequence: p.stream, Reply: string(m.Reply)})
		if mark {
			r.pass(p.stream)
		}
		return
	}
	decoded.Stored = p.stored
	d := Delivery{Message: decoded, Sequence: p.stream, Pending: p.pending, Size: m.Size(), Reply: string(m.Reply)}
	r.mu.Lock()
	if r.closed || r.high != p.stream { // discarded meanwhile
		r.mu.Unlock()
		return
	}
	d.Stream, d.Discards = r.stream, r.discards
	resumes := r.resumes
	r.mu.Unlock()
	if r.sink.Deliver(d) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.discards != d.Discards {
		return // it was discarded while it was on its way
	}
	r.forget(p.stream - 1)
	r.paused = true
	if r.resumes != resumes { // the room came before this note of its lack
		r.paused = false
		r.reset(causeResume)
	}
}

// badSubject counts a message that is not delivered, and logs one a second at most.
func (r *Reader) badSubject(subject string, err error) {
	r.cfg.Metrics.badSubject()
	if now := time.Now(); now.Sub(r.complained) >= time.Second {
		r.complained = now
		r.cfg.Log.Warn("message not delivered", zap.String("reason", string(reason.BadSubject)),
			zap.String("subject", subject), zap.Error(err))
	}
}

// accept tells whether the message is the next one for the sink.
func (r *Reader) accept(m *wire.Msg, p place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = time.Now()
	r.arrive(p.consumer)
	if r.note(m.Size()) {
		r.signal()
	}
	if r.closed || r.paused || r.adrift {
		return false
	}
	// Consumer sequence 1 is always a new beginning: from the ack floor, so nothing of what follows can be missing.
	if p.consumer == 1 {
		r.syncing, r.last = false, 0
	}
	if r.syncing {
		return false
	}
	if p.consumer != r.last+1 {
		r.reset(causeGap)
		return false
	}
	r.last = p.consumer
	if p.stream >= r.high { // what is below may have messages behind it that the sink holds
		r.pending = p.pending
	}
	if p.stream > r.high {
		r.hand(p.stream)
		return true
	}
	// Already with the sink. Its acknowledgement, where it came, was lost or came before the server had delivered
	// again, and then it does not count.
	if !r.isOpen(p.stream) {
		r.acknowledge(string(m.Reply))
	}
	return false
}

// control takes heartbeats and the answers to acknowledgements.
func (r *Reader) control(m *wire.Msg) {
	if passed := r.controlled(m); passed > 0 {
		r.calls.Lock()
		defer r.calls.Unlock()
		r.pass(passed)
	}
}

// pass tells the sink how far the reader has come where that is not by a delivery. The caller holds calls.
func (r *Reader) pass(sequence uint64) {
	passer, ok := r.sink.(Passer)
	if !ok {
		return
	}
	r.mu.Lock()
	discards, quiet := r.discards, !r.closed && !r.paused && !r.syncing
	r.mu.Unlock()
	if quiet {
		passer.Passed(sequence, discards)
	}
}

// controlled takes a heartbeat or an answer, and returns up to which stream sequence a consumer that is idle has delivered everything, 0 where
// that is not told.
func (r *Reader) controlled(m *wire.Msg) (passed uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch string(m.Status()) {
	case statusHeartbeat:
		r.heard = time.Now()
		told, err := strconv.ParseUint(string(m.Get(lastConsumerHeader)), 10, 64)
		if err == nil {
			r.idle(told)
		}
		if err == nil && told != r.last && !r.paused && !r.mending && r.cause == causeNone {
			r.reset(causeHeartbeat)
		}
		if err == nil && told == r.last && !r.paused && !r.mending && !r.syncing {
			passed, _ = strconv.ParseUint(string(m.Get(lastStreamHeader)), 10, 64) // 0 where it is no number
		}
	case statusNoResponders:
		r.lost = true
		r.reset(causeNoResponders)
	default:
		r.heard = time.Now() // an acknowledgement arrived
	}
	return passed
}

// reset drops everything from here on until the keeper has reset the consumer. The caller holds mu.
func (r *Reader) reset(c cause) {
	if r.closed {
		return
	}
	r.syncing = true
	if r.cause == causeNone {
		r.cause = c
	}
	r.signal()
}

// signal wakes the keeper.
func (r *Reader) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
