package wire

import (
	"errors"
	"testing"
)

// A barrier is reached once the server has all that was published before, also what goes to others.
func TestBarrier(t *testing.T) {
	s := serve(t, nil)
	c, other := dial(t, optionsFor(s)), dial(t, optionsFor(s))
	epoch := up(t, c, 0)
	in := subscribe(t, other, up(t, other, 0), "a")
	reached := make(chan bool, 100)
	for i := range cap(reached) {
		if err := c.PublishOnly(epoch, []byte("a"), header, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if err := c.Barrier(epoch, func(ok bool) { reached <- ok }); err != nil {
			t.Fatal(err)
		}
	}
	for range cap(reached) {
		if !next(t, reached) {
			t.Fatal("not reached")
		}
	}
	flush(t, other, 1) // behind what the server has for it
	if len(in.got) != cap(reached) {
		t.Fatalf("%d messages have arrived", len(in.got))
	}
	for i := range cap(reached) {
		if m := in.next(t); len(m.Data) != 1 || m.Data[0] != byte(i) || string(m.Subject) != "a" || m.Reply != nil || string(m.Header) != string(header) {
			t.Fatalf("message %d: %q", i, m)
		}
	}
}

// A barrier is not reached where the connection ends before, whatever the next connection does.
func TestBarrierOfALostConnection(t *testing.T) {
	servers, o := newPeers(t)
	c := dial(t, o)
	first := servers.accept(t)
	epoch := up(t, c, 0)
	reached := make(chan bool, 2)
	publish(t, c, epoch, "a", "x")
	for range 2 {
		if err := c.Barrier(epoch, func(ok bool) { reached <- ok }); err != nil {
			t.Fatal(err)
		}
	}
	first.expect(t, "PING\r\nPING\r\n")
	first.say(t, "PONG\r\n")
	if !next(t, reached) {
		t.Error("the first is not reached")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if next(t, reached) {
		t.Error("reached after the end")
	}
	second := servers.accept(t)
	up(t, c, epoch)
	second.say(t, "PONG\r\nPONG\r\n")
	if err := c.Barrier(epoch, func(bool) { t.Error("called") }); !errors.Is(err, ErrLost) {
		t.Errorf("on an old connection: %v", err)
	}
	if err := c.PublishOnly(epoch, []byte("a"), nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("on an old connection: %v", err)
	}
}

func TestBarrierAllocatesNothing(t *testing.T) {
	c := detached(t)
	c.out = make([]byte, 0, 1000)
	subject, payload, pong := []byte("a.b.c"), make([]byte, 128), []byte("PONG")
	reached := 0
	tell := func(ok bool) {
		if ok {
			reached++
		}
	}
	const runs = 1000
	if n := testing.AllocsPerRun(runs, func() {
		c.out = c.out[:0]
		if err := errors.Join(c.PublishOnly(1, subject, header, payload), c.Barrier(1, tell), c.pingPong(pong)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 || reached < runs {
		t.Errorf("%v allocations, reached %d times", n, reached)
	}
}
