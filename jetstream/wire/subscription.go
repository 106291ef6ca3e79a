package wire

import (
	"strconv"
	"sync"
)

// Handler takes the messages of one subscription, in the order in which the server sent them, on the goroutine that reads
// the connection. It must not block, and m is valid only until it returns.
type Handler func(m *Msg)

// Subscription is interest in one subject on one connection, with which it ends.
type Subscription struct {
	// immutable
	conn    *Conn
	epoch   uint64
	sid     uint64
	handler Handler

	mu    sync.Mutex // held while the handler is called
	ended bool
}

// Subscribe sends interest in a subject, which may have wildcards, on the connection of that epoch. The server has not
// taken it up before a Flush has returned. It fails with ErrLost where that connection has ended.
func (c *Conn) Subscribe(epoch uint64, subject string, handler Handler) (*Subscription, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current(epoch) {
		return nil, ErrLost
	}
	c.lastSID++
	s := &Subscription{conn: c, epoch: epoch, sid: c.lastSID, handler: handler}
	c.subs.add(s)
	c.line("SUB ", subject, " ", strconv.FormatUint(s.sid, 10))
	return s, nil
}

// Unsubscribe ends the subscription. Once it has returned the handler is not called any more. It must not be called from the
// handler, and may be called more than once.
func (s *Subscription) Unsubscribe() {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	s.mu.Unlock()
	if ended {
		return
	}
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current(s.epoch) {
		return
	}
	c.subs.remove(s.sid)
	c.line("UNSUB ", strconv.FormatUint(s.sid, 10))
}

func (s *Subscription) handle(m *Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.handler(m)
	}
}

// subscriptions are those of the connection that is up, by their numbers, which are never used again.
type subscriptions struct {
	mu  sync.Mutex // taken alone, or within Conn.mu
	all map[uint64]*Subscription
}

func (t *subscriptions) add(s *Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[uint64]*Subscription)
	}
	t.all[s.sid] = s
}

func (t *subscriptions) remove(sid uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, sid)
}

func (t *subscriptions) find(sid uint64) *Subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[sid]
}

func (t *subscriptions) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = nil
}
