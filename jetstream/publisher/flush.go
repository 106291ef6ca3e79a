package publisher

import (
	"slices"

	"github.com/weirmq/weir/message"
)

// flushing is what is under way without an answer of JetStream's. A barrier on the connection confirms all that was published before
// it. One at a time is under way, and what comes meanwhile shares the next: a publish waits for two round trips at most, and the
// more there is to confirm the less it costs. It is guarded by the publisher's mu, but for told.
type flushing struct {
	before []*slot // published before the barrier that is under way, in order
	behind []*slot // published since
	asked  bool    // a barrier is under way on the connection of epoch
	// onBarrier is reached, made once.
	onBarrier func(ok bool)
	// told is used again for every batch; owned by the goroutine that reads the connection.
	told []answer
}

// PublishCore publishes m to the subject that its topic has in the tenant, to whoever listens; nothing stores it. It is answered
// Stored when NATS has it, and Unknown where the connection is lost before that is known. For the rest, it is as Publish, and
// messages of one goroutine keep their order whichever of the two they go through.
func (p *Publisher) PublishCore(tenant string, m *message.Message, done Done, token uint64) {
	p.publish("", tenant, m, done, token)
}

// confirm lets a publish that was sent be confirmed. The caller holds mu.
func (p *Publisher) confirm(s *slot) {
	p.behind = append(p.behind, s)
	if !p.asked {
		p.ask()
	}
}

// ask makes a barrier behind all that was published. The caller holds mu, and nothing is before the last one.
func (p *Publisher) ask() {
	if len(p.behind) == 0 || p.state != open {
		return
	}
	if p.conn.Barrier(p.epoch, p.onBarrier) != nil {
		p.state = failing // settle tells everybody
		p.signal()
		return
	}
	p.asked = true
	p.before, p.behind = p.behind, p.before
}

// reached takes the end of a barrier. Where the connection was lost, settle tells everybody.
func (p *Publisher) reached(ok bool) {
	if !ok {
		return
	}
	p.mu.Lock()
	p.asked = false
	for _, s := range p.before {
		p.told = append(p.told, p.release(s, stored))
	}
	clear(p.before)
	p.before = p.before[:0]
	p.ask()
	p.mu.Unlock()
	for _, a := range p.told {
		a.tell()
	}
	clear(p.told)
	p.told = p.told[:0]
}

// dropReleased forgets publishes that were answered Unknown. The caller holds mu since it has released them.
func (p *Publisher) dropReleased() {
	released := func(s *slot) bool { return s.state != flushed }
	p.before = slices.DeleteFunc(p.before, released)
	p.behind = slices.DeleteFunc(p.behind, released)
}
