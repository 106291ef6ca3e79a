package load

import (
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// metronome beats in a fixed rhythm. It sleeps in the kernel on a thread of its own: the timers of the Go
// runtime are only as fine as a millisecond when the process is otherwise idle.
type metronome struct {
	interval int64 // nanoseconds
	next     int64 // CLOCK_MONOTONIC of the next beat
}

// newMetronome binds the calling goroutine to its thread until stop.
func newMetronome(interval time.Duration) (*metronome, error) {
	runtime.LockOSThread()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return &metronome{interval: int64(interval), next: ts.Nano()}, nil
}

// wait returns at the next beat; at once for beats that were missed.
func (m *metronome) wait() error {
	m.next += m.interval
	ts := unix.NsecToTimespec(m.next)
	for {
		err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (m *metronome) stop() { runtime.UnlockOSThread() }
