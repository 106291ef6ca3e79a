// Package publisher stores messages in JetStream with many publishes in flight and one answer for each. It also publishes messages
// that nothing stores, and answers when NATS has them.
//
// Each publish takes a slot. The slot's number is the last token of the reply subject, so answers are matched by
// number and never by the order in which they come: with replicas, refusals overtake earlier successes. Slots are used
// again, the last freed first, which keeps the set of reply subjects small enough for the server's routing cache. A
// slot whose answer never came changes its number, so that a late answer finds nobody.
//
// While the connection is down nothing is sent, and what was sent is answered Unknown at once. What comes in the
// meantime waits, in order, and is sent when the connection is back; when the first of it has waited for
// Config.Timeout, all that waits is answered Unknown. So whoever publishes nothing more after an Unknown never has
// a later message stored without an earlier one on the same publisher.
package publisher

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
)

// Outcome is what became of one publish.
type Outcome byte

// The outcomes. Unknown means that the message may or may not be stored.
const (
	Stored Outcome = iota
	Refused
	NoStream
	Unknown
)

// Result is the answer to one publish. Err is nil for Stored, and a *reason.Error for the others (backlog_full,
// storage_full, message_too_large, …).
type Result struct {
	Outcome Outcome
	Err     error
}

// Done takes answers. Published is called exactly once for every publish that was accepted, on a goroutine of
// the publisher, and must not block.
type Done interface {
	Published(token uint64, r Result)
}

// Config of a publisher. The zero value of each field but Metrics takes the default.
type Config struct {
	// Timeout after which an outcome is unknown; the check comes every twentieth of it. Default 10 s.
	Timeout time.Duration
	// MaxPending and MaxBytes are what Wait lets be under way, in messages and in bytes of payload. Default 8,192 and
	// 64 MiB.
	MaxPending int
	MaxBytes   int
	Metrics    *Metrics // required; shared by all publishers
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxPending == 0 {
		c.MaxPending = 8192
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	return c
}

// Publisher publishes over one NATS connection. It is safe for concurrent use.
type Publisher struct {
	// immutable
	config  Config
	conn    *wire.Conn
	changed <-chan struct{} // a token when conn may have another state
	unwatch func()
	start   time.Time
	wake    chan struct{} // holds one signal to run; never closed
	stop    chan struct{} // closed by Close
	gone    chan struct{} // closed by run when it ends

	// owned by run, and by New before
	sub *wire.Subscription // to answers, on the connection of epoch; nil before the first

	mu      sync.Mutex
	slots   slots
	state   state
	epoch   uint64 // of the connection that is published on
	header  []byte // of one message, used again for the next
	subject []byte // the same
	flushing
	parked  []*slot       // not sent, in order
	decided []*slot       // refused without an answer; run tells them
	room    chan struct{} // not nil while somebody waits in Wait; closed when there is room
	idle    chan struct{} // not nil once Close has begun; closed when nothing is under way
	closed  bool          // Close has ended
}

// state of the connection as far as run has dealt with it.
type state byte

const (
	open    state = iota // publishes are sent
	failing              // the connection was lost: publishes are parked and become Unknown with all that is under way
	waiting              // publishes are parked until the connection is back
)

// New returns a publisher on conn, which stays the caller's.
func New(conn *wire.Conn, config Config) *Publisher {
	p := &Publisher{
		config: config.withDefaults(),
		conn:   conn,
		start:  time.Now(),
		wake:   make(chan struct{}, 1),
		stop:   make(chan struct{}),
		gone:   make(chan struct{}),
		state:  waiting, // settle opens it
	}
	p.slots.inbox = conn.NewInbox() + "."
	p.onBarrier = p.reached
	p.changed, p.unwatch = conn.Watch()
	p.settle()
	go p.run()
	return p
}

// Publish stores m under subject, in the background, and answers to done with token. It never waits for an answer, so it
// may be called with locks that Published takes. Messages of one goroutine to one subject are stored in the order of
// the calls. m and its bytes must stay as they are until the answer. Once Close has returned, it does nothing.
func (p *Publisher) Publish(subject string, m *message.Message, done Done, token uint64) {
	p.publish(subject, "", m, done, token)
}

func (p *Publisher) publish(subject, tenant string, m *message.Message, done Done, token uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	s := p.slots.take()
	s.subject, s.tenant, s.message, s.done, s.token = subject, tenant, m, done, token
	s.begun = time.Since(p.start)
	p.slots.bytes += len(m.Payload)
	p.send(s)
}

// send writes a publish to the connection, or parks it where that is down. The caller holds mu.
func (p *Publisher) send(s *slot) {
	if p.state != open {
		s.state = parked
		p.parked = append(p.parked, s)
		return
	}
	p.header = message.AppendHeader(p.header[:0], s.message)
	switch err := p.write(s); {
	case err == nil && s.core():
		s.state = flushed
		p.confirm(s)
	case err == nil:
		s.state = sent
	case errors.Is(err, wire.ErrMaxPayload):
		p.decide(s, tooLarge)
	default:
		// Lost, and maybe back: those whose answers were lost with it have still to be told.
		p.state = failing
		s.state = parked
		p.parked = append(p.parked, s)
		p.signal()
	}
}

// write hands a publish with its header to the connection. The caller holds mu.
func (p *Publisher) write(s *slot) error {
	if !s.core() {
		return p.conn.Publish(p.epoch, s.subject, s.reply, p.header, s.message.Payload)
	}
	p.subject = message.AppendSubject(p.subject[:0], s.tenant, s.message.Topic)
	return p.conn.PublishOnly(p.epoch, p.subject, p.header, s.message.Payload)
}

// decide refuses a publish that was not sent. The caller holds mu.
func (p *Publisher) decide(s *slot, r Result) {
	s.state, s.result = decided, r
	p.decided = append(p.decided, s)
	p.signal()
}

// signal wakes run.
func (p *Publisher) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Wait returns once fewer messages and bytes are under way than the configuration allows. Callers that Wait before
// they Publish keep what is under way below that limit plus one message each.
func (p *Publisher) Wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		if p.hasRoom() {
			p.mu.Unlock()
			return nil
		}
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Publisher) hasRoom() bool {
	return p.slots.busy < p.config.MaxPending && p.slots.bytes < p.config.MaxBytes
}

// Close waits until every publish is answered, or until ctx ends and the rest is answered Unknown, and stops. It
// returns after the last call of Published. It is called once, and must not be called from Published.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	idle := make(chan struct{})
	p.idle = idle
	if p.slots.busy == 0 {
		close(idle)
	}
	p.mu.Unlock()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	close(p.stop)
	<-p.gone
	return err
}

// base of the number in a reply subject: the shortest that strconv writes.
const base = 36

// reply is the subject for the answer to one use of a slot.
func reply(inbox string, index, generation uint32) string {
	return inbox + strconv.FormatUint(uint64(generation)<<32|uint64(index), base)
}

// maxDigits keeps the number of a reply subject from overflowing.
const maxDigits = 12

// parseReply is strconv.ParseUint without the string that it would take.
func parseReply(token []byte) (index, generation uint32, ok bool) {
	if len(token) == 0 || len(token) > maxDigits {
		return 0, 0, false
	}
	var n uint64
	for _, c := range token {
		switch {
		case '0' <= c && c <= '9':
			n = n*base + uint64(c-'0')
		case 'a' <= c && c <= 'z':
			n = n*base + uint64(c-'a'+10)
		default:
			return 0, 0, false
		}
	}
	return uint32(n), uint32(n >> 32), true
}
