package jetstream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Those who wait at the same time share one position, which was begun after each of them had asked.
func TestPositionIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s settling
		taken := 0
		take := func(context.Context) error {
			taken++
			<-time.After(time.Second)
			return nil
		}
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.share(t.Context(), take); err != nil {
				t.Error(err)
			}
		})
		<-time.After(time.Second / 2)
		for range 100 {
			wg.Go(func() {
				if err := s.share(t.Context(), take); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if taken != 2 || time.Since(begin) != 2*time.Second {
			t.Errorf("%d positions in %v, want 2 in 2s", taken, time.Since(begin))
		}
	})
}

// One whose taker gives up is nobody else's failure.
func TestPositionGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s settling
		take := func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		first, giveUp := context.WithCancel(t.Context())
		errs := make(chan error, 3)
		go func() { errs <- s.share(t.Context(), take) }()
		synctest.Wait()
		go func() { errs <- s.share(first, take) }()
		synctest.Wait()
		go func() { errs <- s.share(t.Context(), take) }()
		<-time.After(3 * time.Second / 2)
		giveUp()
		var failed int
		for range 3 {
			if err := <-errs; errors.Is(err, context.Canceled) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 1 {
			t.Errorf("%d gave up, want 1", failed)
		}
	})
}
