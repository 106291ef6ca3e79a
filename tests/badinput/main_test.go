// Package badinput sends what no client should, and sees that it is refused as documented and in its time, that memory stays
// bounded, and that a well-behaved client beside it is served throughout.
package badinput

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// TestMain lets more tests run at once than there are processors, because most of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

var versions = []codec.Version{codec.V31, codec.V311, codec.V5}

// demo is a CONNECT of the device of the demo tenant.
func demo(clientID string) *codec.Connect {
	return weirtest.Credentials(clientID, "demo/device", "demo")
}

// bytesOf is the packet on the wire.
func bytesOf(t *testing.T, p codec.Packet, v codec.Version) []byte {
	t.Helper()
	b, err := p.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// half is what a Conn's network connection does, too.
type half interface{ CloseWrite() error }

// answers reads until the other side has closed the connection, which has to happen within the patience. All that comes has to be
// packets of the version. There are no other errors than those of reading.
func answers(c *weirtest.Conn, patience time.Duration) (packets []codec.Packet, err error) {
	deadline := time.Now().Add(patience)
	for {
		p, err := c.ReadWithin(time.Until(deadline))
		if weirtest.Closed(err) {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		packets = append(packets, p)
	}
}

// files makes sure that this process may have that many files open.
func files(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n {
		t.Fatalf("this test needs %d open files, and the hard limit is %d: raise it (ulimit -Hn)", n, limit.Max)
	}
	if limit.Cur >= n {
		return
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// peak measures how much the memory of a Weir grows, at its most, until the function that it returns is called.
func peak(t *testing.T, w *weirtest.Weir) (grown func() int64) {
	t.Helper()
	before := w.Memory()
	most := before
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			most = max(most, w.Memory())
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
	return sync.OnceValue(func() int64 {
		close(stop)
		<-done
		return most - before
	})
}

// witness is the well-behaved client: it publishes to itself, one message at a time, until it is stopped.
type witness struct {
	t      *testing.T
	stop   context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error
	trips  []time.Duration
	longer time.Duration // the longest that a login took
	w      *weirtest.Weir
}

// How the witness has to be served on a machine that is busy with the test itself, and slow under the race detector.
const (
	maxMedian = 250 * time.Millisecond
	maxTrip   = 5 * time.Second
)

// observe starts a witness. Its verdict is asked for with judge.
func observe(t *testing.T, w *weirtest.Weir) *witness {
	t.Helper()
	c := weirtest.Login(t, w.MQTT(), codec.V5, "witness", "demo/device", "demo")
	c.Subscribe("witness", 1)
	ctx, stop := context.WithCancel(t.Context())
	one := &witness{t: t, stop: stop, done: make(chan struct{}), w: w}
	go func() {
		defer close(one.done)
		one.run(ctx, c.Conn)
	}()
	return one
}

func (o *witness) run(ctx context.Context, c *weirtest.Conn) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		begin := time.Now()
		if o.err = o.trip(c, fmt.Sprint(n)); o.err != nil {
			return
		}
		o.trips = append(o.trips, time.Since(begin))
		if n%20 == 0 {
			if o.err = o.login(ctx); o.err != nil {
				return
			}
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}

// trip publishes one message and receives it.
func (o *witness) trip(c *weirtest.Conn, payload string) error {
	if err := c.Write(&codec.Publish{QoS: 1, PacketID: 1, Topic: []byte("witness"), Payload: []byte(payload)}); err != nil {
		return err
	}
	for acknowledged, received := false, false; !acknowledged || !received; {
		p, err := c.Read()
		if err != nil {
			return err
		}
		switch p := p.(type) {
		case *codec.Ack:
			acknowledged = p.Kind == codec.PUBACK && p.Code < 0x80
		case *codec.Publish:
			if received = string(p.Payload) == payload; !received {
				return fmt.Errorf("received %q instead of %q", p.Payload, payload)
			}
			if err := c.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID}); err != nil {
				return err
			}
		default:
			return fmt.Errorf("received %s %+v", p.Type(), p)
		}
	}
	return nil
}

// login is a client that comes and goes.
func (o *witness) login(ctx context.Context) error {
	begin := time.Now()
	c, err := weirtest.Open(context.WithoutCancel(ctx), o.w.MQTT(), codec.V311)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Write(demo("witness-2")); err != nil {
		return err
	}
	p, err := c.Read()
	if err != nil {
		return fmt.Errorf("CONNECT after %s: %w", time.Since(begin), err)
	}
	if ack, ok := p.(*codec.Connack); !ok || ack.Code != 0 {
		return fmt.Errorf("CONNECT is answered with %s %+v", p.Type(), p)
	}
	o.longer = max(o.longer, time.Since(begin))
	return c.Write(&codec.Disconnect{})
}

// judge stops the witness and fails the test where it was not served.
func (o *witness) judge() {
	o.t.Helper()
	o.stop()
	<-o.done
	if o.err != nil {
		o.t.Fatalf("the well-behaved client, after %d messages: %v", len(o.trips), o.err)
	}
	if len(o.trips) == 0 {
		o.t.Fatal("the well-behaved client has done nothing")
	}
	slices.Sort(o.trips)
	median, most := o.trips[len(o.trips)/2], o.trips[len(o.trips)-1]
	o.t.Logf("well-behaved client: %d messages, median %s, longest %s; longest CONNECT %s", len(o.trips), median, most, o.longer)
	if median > maxMedian || most > maxTrip || o.longer > maxTrip {
		o.t.Errorf("the well-behaved client had to wait: median %s, longest %s, CONNECT %s", median, most, o.longer)
	}
}
