package badinput

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// The connect timeout, and how late its end may be on a busy machine.
const (
	connectTimeout = 10 * time.Second
	slack          = 5 * time.Second
	mebibyte       = 1 << 20
)

// idlers opens connections, lets each send, and counts how each ends.
type idlers struct {
	all              sync.WaitGroup
	opened           atomic.Int64
	early, late, odd atomic.Int64
	mu               sync.Mutex
	err              error // guarded by mu
}

func (is *idlers) failed(err error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.err == nil {
		is.err = err
	}
}

// open opens one connection and waits in the background for its end, which has to come when the connect timeout has
// passed, without any packet.
func (is *idlers) open(ctx context.Context, w *weirtest.Weir, do func(ctx context.Context, c *weirtest.Conn)) {
	begin := time.Now()
	c, err := weirtest.Open(ctx, w.MQTT(), codec.V5)
	if err != nil {
		is.failed(err)
		return
	}
	is.opened.Add(1)
	is.all.Go(func() {
		defer c.Close()
		ctx, cancel := context.WithCancel(ctx)
		var doing sync.WaitGroup
		defer doing.Wait()
		defer cancel()
		if do != nil {
			doing.Go(func() { do(ctx, c) })
		}
		packets, err := answers(c, connectTimeout+2*slack)
		took := time.Since(begin)
		switch {
		case err != nil:
			is.failed(err)
		case len(packets) > 0:
			is.odd.Add(1)
		case took < connectTimeout-time.Second/2:
			is.early.Add(1)
		case took > connectTimeout+slack:
			is.late.Add(1)
		}
	})
}

func (is *idlers) judge(t *testing.T, want int64) {
	t.Helper()
	is.all.Wait()
	if is.err != nil {
		t.Errorf("%d were opened; first error: %v", is.opened.Load(), is.err)
	}
	if n := is.opened.Load(); n != want {
		t.Errorf("%d connections were opened, want %d", n, want)
	}
	if is.early.Load()+is.late.Load()+is.odd.Load() > 0 {
		t.Errorf("of %d, %d ended before the connect timeout, %d long after it, %d with a packet",
			is.opened.Load(), is.early.Load(), is.late.Load(), is.odd.Load())
	}
}

// Ten thousand connections that send nothing: each is closed after 10 s, and costs little until then.
func TestTenThousandSilentConnections(t *testing.T) {
	const n = 10_000
	files(t, n+500)
	w := weirtest.Start(t, weirtest.Options{Unchecked: true}) // the race detector takes memory of its own
	beside := observe(t, w)
	grown := peak(t, w)
	defer grown()
	var silent idlers
	crowd(n, func(int) { silent.open(t.Context(), w, nil) })
	silent.judge(t, n)
	beside.judge()
	t.Logf("%d connections take %d MiB", n, grown()/mebibyte)
	if grown() > 200*mebibyte {
		t.Errorf("%d silent connections take %d MiB", n, grown()/mebibyte)
	}
	weirtest.Until(t, "all connections have gone", func() bool { return w.Metric("weir_connections") <= 2 })
}

// Connections that send a CONNECT so slowly that it never ends, and others that announce the largest packet there is,
// send what they may of it, and stop.
func TestSlowConnections(t *testing.T) {
	t.Parallel()
	const dripping, large = 300, 200
	w := weirtest.Start(t, weirtest.Options{Unchecked: true})
	beside := observe(t, w)
	grown := peak(t, w)
	defer grown()
	var all idlers
	for range dripping {
		all.open(t.Context(), w, drip)
	}
	connect := bytesOf(t, demo("large"), codec.V5)
	head := append([]byte{0x10, 0xF0, 0xFF, 0x07}, connect[2:14]...) // almost 128 KiB
	for range large {
		all.open(t.Context(), w, func(_ context.Context, c *weirtest.Conn) {
			_ = c.WriteBytes(append(head, make([]byte, 100<<10)...))
		})
	}
	all.judge(t, dripping+large)
	beside.judge()
	t.Logf("%d connections take %d MiB", dripping+large, grown()/mebibyte)
	if grown() > 128*mebibyte {
		t.Errorf("%d unfinished CONNECTs take %d MiB", dripping+large, grown()/mebibyte)
	}
}

// drip sends a CONNECT byte by byte, slower than the connect timeout allows.
func drip(ctx context.Context, c *weirtest.Conn) {
	b, err := demo("dripping-with-a-long-client-identifier").Append(nil, codec.V5)
	if err != nil {
		return
	}
	pace := time.NewTicker(300 * time.Millisecond)
	defer pace.Stop()
	for i := range b {
		if c.WriteBytes(b[i:i+1]) != nil {
			return
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
	}
}

// A client that has logged in, begins large packets and stops: its memory is what arrived of one packet, and its keep alive
// ends it.
func TestUnfinishedPackets(t *testing.T) {
	t.Parallel()
	const n = 200
	w := weirtest.Start(t, weirtest.Options{Unchecked: true})
	beside := observe(t, w)
	grown := peak(t, w)
	defer grown()
	var all sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		c, err := weirtest.Open(t.Context(), w.MQTT(), codec.V5)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			p := demo(fmt.Sprintf("unfinished-%d", i))
			p.KeepAlive = 4
			if err := c.Write(p); err != nil {
				errs <- err
				return
			}
			// 100 KiB of a PUBLISH of almost 128 KiB
			if err := c.WriteBytes(append([]byte{0x30, 0xF0, 0xFF, 0x07, 0, 1, 'a', 0}, make([]byte, 100<<10)...)); err != nil {
				errs <- err
				return
			}
			packets, err := answers(c, 6*time.Second+2*slack)
			if err == nil && (len(packets) != 2 || packets[1].Type() != codec.DISCONNECT || packets[1].(*codec.Disconnect).Code != codec.KeepAliveTimeout) {
				err = fmt.Errorf("received %v", packets)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	beside.judge()
	t.Logf("%d unfinished packets take %d MiB", n, grown()/mebibyte)
	if grown() > 96*mebibyte {
		t.Errorf("%d unfinished packets take %d MiB", n, grown()/mebibyte)
	}
}

// A client that sends and never reads: what waits for it is bounded, and when it has not read for as long as its keep alive
// allows, it is closed.
func TestClientThatNeverReads(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{Unchecked: true})
	beside := observe(t, w)
	grown := peak(t, w)
	defer grown()
	const n = 20
	var all sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		c, err := weirtest.Open(t.Context(), w.MQTT(), codec.V311)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			p := demo(fmt.Sprintf("deaf-%d", i))
			p.KeepAlive = 4
			if err := c.Write(p); err != nil {
				errs <- err
				return
			}
			pings := make([]byte, 0, 64<<10)
			for len(pings) < cap(pings) {
				pings = append(pings, 0xC0, 0)
			}
			begin := time.Now()
			for c.WriteBytes(pings) == nil {
				if time.Since(begin) > weirtest.Patience {
					errs <- fmt.Errorf("it still takes PINGREQs after %s", time.Since(begin))
					return
				}
			}
			if took := time.Since(begin); took > 6*time.Second+3*slack {
				errs <- fmt.Errorf("it was closed after %s", took)
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	beside.judge()
	t.Logf("%d clients that never read take %d MiB", n, grown()/mebibyte)
	if grown() > 128*mebibyte {
		t.Errorf("%d clients that never read take %d MiB", n, grown()/mebibyte)
	}
}

// Logins with wrong passwords cost time. However many come at once, each is answered or closed in its time, and who has been
// here before does not wait behind them.
func TestStormOfWrongPasswords(t *testing.T) {
	const n = 700
	w := weirtest.Start(t, weirtest.Options{Unchecked: true})
	beside := observe(t, w)
	var all sync.WaitGroup
	var wrong, busy, closed, other, late atomic.Int64
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			begin := time.Now()
			c, err := weirtest.Open(t.Context(), w.MQTT(), codec.V5)
			if err != nil {
				errs <- err
				return
			}
			defer c.Close()
			p := demo(fmt.Sprintf("wrong-%d", i))
			p.Password = fmt.Appendf(nil, "wrong-%d", i)
			if err := c.Write(p); err != nil {
				errs <- err
				return
			}
			packets, err := answers(c, connectTimeout+2*slack)
			if err != nil {
				errs <- err
				return
			}
			if time.Since(begin) > connectTimeout+slack {
				late.Add(1)
			}
			switch ack := first(packets); {
			case len(packets) == 0:
				closed.Add(1)
			case ack != nil && ack.Code == codec.BadUserNameOrPassword:
				wrong.Add(1)
			case ack != nil && ack.Code == codec.ServerBusy:
				busy.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	t.Logf("%d wrong, %d told that Weir is busy, %d timed out", wrong.Load(), busy.Load(), closed.Load())
	if other.Load()+late.Load() > 0 || wrong.Load() == 0 {
		t.Errorf("%d with another answer, %d late", other.Load(), late.Load())
	}
	beside.judge()
}
