package follow

import (
	"time"

	"github.com/nats-io/nats.go"
)

// expireInterval is how often entries are looked through for those that have expired.
const expireInterval = 5 * time.Second

// apply puts one message into the copy.
func (c *Copy[T]) apply(m *nats.Msg, sequence uint64, stored time.Time) {
	value, live := c.config.Decode(m.Subject, m.Header, m.Data)
	after := Entry[T]{Value: value, Sequence: sequence, Live: live, Stored: stored}
	var expires time.Time
	if ttl, err := time.ParseDuration(m.Header.Get("Nats-TTL")); err == nil {
		switch {
		case !live:
			// Later than in the stream, by the time the message has spent there: a tombstone that is kept too
			// long costs memory, one that is dropped too soon hides the sequence that is still there.
			expires = time.Now().Add(ttl)
		case c.config.Expire:
			expires = stored.Add(ttl)
		}
	}
	c.mu.Lock()
	s := c.entries[m.Subject]
	if s == nil {
		s = &slot[T]{}
		c.entries[m.Subject] = s
	}
	before := s.entry
	s.entry, s.epoch, s.expires = after, c.epoch, expires
	c.mu.Unlock()
	// The same message again, after a rebuild, is no change.
	if before.Sequence != after.Sequence || before.Live != after.Live {
		c.change(m.Subject, before, after)
	}
}

// sweep removes what the present build did not deliver.
func (c *Copy[T]) sweep() {
	c.remove(func(s *slot[T]) bool { return s.epoch != c.epoch })
}

// expire removes what has a time that has come, once in a while.
func (c *Copy[T]) expire(now time.Time) {
	if now.Sub(c.expired) < expireInterval {
		return
	}
	c.expired = now
	c.remove(func(s *slot[T]) bool { return !s.expires.IsZero() && now.After(s.expires) })
}

func (c *Copy[T]) remove(gone func(*slot[T]) bool) {
	removed := make(map[string]Entry[T])
	c.mu.Lock()
	for subject, s := range c.entries {
		if gone(s) {
			delete(c.entries, subject)
			removed[subject] = s.entry
		}
	}
	c.mu.Unlock()
	for subject, before := range removed {
		c.change(subject, before, Entry[T]{})
	}
}

func (c *Copy[T]) change(subject string, before, after Entry[T]) {
	if c.config.Change != nil && (before.Live || after.Live || before.Sequence != after.Sequence) {
		c.config.Change(subject, before, after)
	}
}

// advance moves the position on and wakes who waited for it. Only where the stream has taken the place of another may
// it go back.
func (c *Copy[T]) advance(position uint64, renewed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position > c.position || renewed {
		c.position = position
	}
	for w := range c.waiters {
		if w.sequence <= c.position {
			delete(c.waiters, w)
			close(w.reached)
		}
	}
	select {
	case <-c.synced:
	default:
		close(c.synced)
	}
}
