package jetstream

import (
	"context"
	"sync"
)

// settling lets those who need an own position at the same time share one. The zero value is ready.
type settling struct {
	mu    sync.Mutex
	begun uint64 // positions begun so far
	now   *sharedPosition
}

// sharedPosition is one position that is being taken.
type sharedPosition struct {
	number uint64
	done   chan struct{} // closed by who takes it
	err    error         // set before done is closed
}

// share returns after a take that began after share was called: its own, or that of somebody else who waited like it. Where the
// other one's fails, that may be because he gave up, so it tries by itself.
func (s *settling) share(ctx context.Context, take func(context.Context) error) error {
	s.mu.Lock()
	wanted := s.begun + 1
	for s.now != nil {
		other := s.now
		s.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if other.number >= wanted && other.err == nil {
			return nil
		}
		s.mu.Lock()
	}
	s.begun++
	own := &sharedPosition{number: s.begun, done: make(chan struct{})}
	s.now = own
	s.mu.Unlock()
	own.err = take(ctx)
	s.mu.Lock()
	s.now = nil
	s.mu.Unlock()
	close(own.done)
	return own.err
}
