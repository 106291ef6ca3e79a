package publisher

import (
	"slices"
	"time"

	"github.com/weirmq/weir/message"
)

// slot is one publish under way. All slots are guarded by the publisher's mu.
type slot struct {
	index      uint32
	generation uint32 // raised when an answer may still come for an earlier use
	reply      string // of this index and generation

	state   slotState
	subject string // empty: that of the message's topic in tenant, and JetStream gives no answer
	tenant  string
	message *message.Message
	done    Done
	token   uint64
	begun   time.Duration // since the publisher's start
	result  Result        // of a decided one
}

type slotState byte

const (
	free    slotState = iota
	sent              // waits for its answer
	flushed           // sent to be confirmed by a barrier
	parked            // waits to be sent
	decided           // waits to be told
)

// core tells that a barrier confirms the publish, not JetStream.
func (s *slot) core() bool { return s.subject == "" }

// slots are all publishes under way. Their number follows the most that ever was under way at a time.
type slots struct {
	inbox string // of the answers, up to and including the last dot
	all   []*slot
	freed []*slot // the last freed is the first used again
	busy  int
	bytes int // of payload
}

func (t *slots) take() *slot {
	t.busy++
	if n := len(t.freed); n > 0 {
		s := t.freed[n-1]
		t.freed = t.freed[:n-1]
		return s
	}
	s := &slot{index: uint32(len(t.all))}
	s.reply = reply(t.inbox, s.index, 0)
	t.all = append(t.all, s)
	return s
}

// find returns the slot that waits for the answer with this number, else nil.
func (t *slots) find(index, generation uint32) *slot {
	if uint64(index) >= uint64(len(t.all)) {
		return nil
	}
	if s := t.all[index]; s.state == sent && s.generation == generation {
		return s
	}
	return nil
}

// anySent tells whether a publish waits for its answer or its barrier.
func (t *slots) anySent() bool {
	return slices.ContainsFunc(t.all, func(s *slot) bool { return s.state == sent || s.state == flushed })
}

// answer is what Published is called with.
type answer struct {
	done   Done
	token  uint64
	result Result
}

func (a answer) tell() { a.done.Published(a.token, a.result) }

// release frees a slot. Without an answer to a publish that was sent the slot gets another number, because that answer may
// still come.
func (t *slots) release(s *slot, r Result) answer {
	t.busy--
	t.bytes -= len(s.message.Payload)
	if s.state == sent && r.Outcome == Unknown {
		s.generation++
		s.reply = reply(t.inbox, s.index, s.generation)
	}
	a := answer{done: s.done, token: s.token, result: r}
	s.state, s.subject, s.tenant, s.message, s.done, s.result = free, "", "", nil, nil, Result{}
	t.freed = append(t.freed, s)
	return a
}
