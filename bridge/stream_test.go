package bridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
)

// listen starts reading packets from a stream with a keep alive of 10 s, and tells when each came and how it ended.
func listen(t *testing.T) (s *stream, peer net.Conn, came chan time.Duration, ended chan error) {
	t.Helper()
	ours, peer := net.Pipe()
	s = &stream{conn: ours, idle: func() {}}
	came, ended = make(chan time.Duration, 100), make(chan error, 1)
	start := time.Now()
	r := codec.NewReader(s, 1<<20)
	s.keepAlive(15 * time.Second)
	go func() {
		for {
			if _, _, err := r.Next(); err != nil {
				came <- time.Since(start)
				ended <- err
				return
			}
			s.packets = true
			came <- time.Since(start)
		}
	}()
	t.Cleanup(func() { _ = peer.Close(); _ = ours.Close() })
	return s, peer, came, ended
}

// TestKeepAlive: the connection ends one and a half times the keep alive after the last packet, in 3.1.1
// [MQTT-3.1.2-24] and in 5 [MQTT-3.1.2-22].
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peer, came, ended := listen(t)
		for range 3 {
			<-time.After(14 * time.Second)
			if _, err := peer.Write([]byte("\xc0\x00")); err != nil {
				t.Fatal(err)
			}
			<-came
		}
		if at := <-came; at != 57*time.Second {
			t.Errorf("ended after %s, want 14+14+14+15 s", at)
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// trickle writes b in pieces, one every 5 s, until the reader has ended.
func trickle(t *testing.T, peer net.Conn, b []byte, size int) {
	var done sync.WaitGroup
	done.Go(func() {
		for len(b) > 0 {
			n := min(len(b), size)
			if _, err := peer.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
			<-time.After(5 * time.Second)
		}
	})
	t.Cleanup(func() {
		_ = peer.Close()
		done.Wait()
	})
}

// TestKeepAliveTrickle: single bytes of a packet that is never complete do not keep a connection alive.
func TestKeepAliveTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peer, came, _ := listen(t)
		trickle(t, peer, []byte("\x32\xff\x7f\x00\x01a"), 1)
		if at := <-came; at != 15*time.Second {
			t.Errorf("ended after %s", at)
		}
	})
}

// TestKeepAliveLargePacket: a large packet on a slow line is a sign of life.
func TestKeepAliveLargePacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peer, came, _ := listen(t)
		trickle(t, peer, append([]byte("\x30\x80\x80\x01\x00\x01a"), make([]byte, 16384-3)...), progressBytes)
		if at := <-came; at < 75*time.Second {
			t.Errorf("ended after %s", at)
		}
	})
}

// TestStop ends a read for good, even where a deadline would be set afterwards.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, came, ended := listen(t)
		synctest.Wait()
		s.stop()
		s.setDeadline(time.Now().Add(time.Hour))
		if at := <-came; at != 0 {
			t.Errorf("ended after %s", at)
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestLastCall: what has arrived is read, however late, and a stream that does not end is read until it is stopped.
func TestLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer, came, ended := listen(t)
		synctest.Wait()
		end := &ending{Error: reason.New(reason.TakenOver, "")}
		s.lastCall(end)
		for range 3 {
			<-time.After(lastCallPatience - 1)
			if _, err := peer.Write([]byte("\xc0\x00")); err != nil {
				t.Fatal(err)
			}
			<-came
		}
		if at, want := <-came, 4*lastCallPatience-3; at != want {
			t.Errorf("ended after %s, want %s", at, want)
		}
		if err := <-ended; endingFor(err) != end {
			t.Error(err)
		}
	})
}

// TestKeepAliveOff: with a keep alive of 0 a client may be silent for ever [MQTT-3.1.2-22].
func TestKeepAliveOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer, came, _ := listen(t)
		synctest.Wait()
		s.keepAlive(0)
		for day := range 3 {
			<-time.After(24 * time.Hour)
			if _, err := peer.Write([]byte("\xc0\x00")); err != nil {
				t.Fatal(err)
			}
			if at, want := <-came, time.Duration(day+1)*24*time.Hour; at != want {
				t.Fatalf("ended after %s", at)
			}
		}
	})
}
