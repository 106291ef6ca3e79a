package refusal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// A login that fails takes the same time whatever is wrong with it. The kinds take turns, so that whatever else the
// machine does meets all of them. One run of argon2id is tens of milliseconds, and a kind that costs none, or two, is far outside
// both bounds: a close one for the fastest fifth of each kind, which nothing else has slowed down, a wide one for the medians. The test is
// not parallel.
func TestBadCredentialsTakeTheSameTime(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": ""}), Unchecked: true})
	login(t, w, codec.V5, "acme/dev", "known") // its password is remembered from now on
	names := []string{
		"wrong password", "unknown user", "unknown tenant", "no user name", "no tenant", "no password", "user with a slash",
	}
	const rounds = 25
	times := map[string][]time.Duration{}
	for round := range rounds {
		for _, name := range names {
			p := connect("acme/dev", "id")
			badCredentials[name](p)
			if p.HasPassword && p.HasUsername {
				// Not what was asked a moment ago: nobody may profit from that either.
				p.Password = fmt.Appendf(p.Password, "-%d", round)
			}
			c := weirtest.Dial(t, w.MQTT(), codec.V5)
			begin := time.Now()
			c.Send(p)
			if ack := weirtest.Expect[*codec.Connack](c); ack.Code != codec.BadUserNameOrPassword {
				t.Fatalf("%s: CONNACK 0x%02X", name, ack.Code)
			}
			times[name] = append(times[name], time.Since(begin))
			c.Close()
		}
	}
	for _, name := range names {
		slices.Sort(times[name])
		t.Logf("%-20s fastest fifth %s, median %s", name, times[name][rounds/5], times[name][rounds/2])
	}
	for _, one := range []struct {
		at    int // of the sorted times
		ratio float64
	}{{rounds / 5, 1.4}, {rounds / 2, 3}} {
		least, most := names[0], names[0]
		for _, name := range names {
			if times[name][one.at] < times[least][one.at] {
				least = name
			}
			if times[name][one.at] > times[most][one.at] {
				most = name
			}
		}
		a, b := times[least][one.at], times[most][one.at]
		if float64(b) > one.ratio*float64(a) {
			t.Errorf("%q takes %s, %q %s", least, a, most, b)
		}
	}
}

// within expects an end of the connection in this span of time, counted from begin.
func within(t *testing.T, begin time.Time, from, to time.Duration) {
	t.Helper()
	if took := time.Since(begin); took < from || took > to {
		t.Errorf("it took %s, want %s to %s", took.Round(time.Millisecond), from, to)
	}
}

// Timeouts are exact to this on a busy machine.
const slack = 3 * time.Second

// The connect timeout of 10 s holds for silence, for a CONNECT that does not end, and for one that comes byte by byte.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": ""})})
	for name, drip := range map[string]struct {
		first int // bytes at once
		every time.Duration
	}{
		"silent":       {0, 0},
		"one byte":     {1, 0},
		"half":         {20, 0},
		"byte by byte": {0, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, v codec.Version) {
				b := bytesOf(t, connect("acme/dev", "slow"), v)
				c := weirtest.Dial(t, w.MQTT(), v)
				begin := time.Now()
				c.SendBytes(b[:drip.first])
				var dripping sync.WaitGroup
				ctx, cancel := context.WithCancel(t.Context())
				if drip.every > 0 {
					dripping.Go(func() { dripBytes(ctx, c, b, drip.every) })
				}
				c.ExpectClosed()
				within(t, begin, 10*time.Second-slack/10, 10*time.Second+slack)
				cancel()
				dripping.Wait()
			})
		})
	}
}

// dripBytes sends one byte at a time, until nobody takes them or the context ends.
func dripBytes(ctx context.Context, c *weirtest.Client, b []byte, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := range b {
		if c.WriteBytes(b[i:i+1]) != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Silence for one and a half times the keep alive ends the connection, not less, and any packet counts [MQTT-3.1.2-24]
// (5: [MQTT-3.1.2-22]).
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": "", "short": "keep_alive_max: 2s"})})
	alive := func(t *testing.T, v codec.Version, user, id string, keepAlive uint16) *weirtest.Client {
		c := weirtest.Dial(t, w.MQTT(), v)
		p := connect(user, id+v.String())
		p.KeepAlive = keepAlive
		c.Send(p)
		if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
			t.Fatalf("CONNACK 0x%02X", ack.Code)
		}
		return c
	}
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		each(t, func(t *testing.T, v codec.Version) {
			c := alive(t, v, "acme/dev", "silent", 4)
			begin := time.Now()
			ended(t, c, 0x8D, reason.KeepAliveTimeout)
			within(t, begin, 6*time.Second-slack/10, 6*time.Second+slack)
		})
	})
	t.Run("after a packet", func(t *testing.T) {
		t.Parallel()
		each(t, func(t *testing.T, v codec.Version) {
			c := alive(t, v, "acme/dev", "pinging", 4)
			for range 3 {
				c.ExpectSilence(3 * time.Second)
				ping(c)
			}
			begin := time.Now()
			ended(t, c, 0x8D, reason.KeepAliveTimeout)
			within(t, begin, 6*time.Second-slack/10, 6*time.Second+slack)
		})
	})
	t.Run("unfinished packet", func(t *testing.T) {
		t.Parallel()
		each(t, func(t *testing.T, v codec.Version) {
			c := alive(t, v, "acme/dev", "unfinished", 4)
			begin := time.Now()
			b := bytesOf(t, publish("slow", 0, 0, "1234567890"), v)
			var dripping sync.WaitGroup
			defer dripping.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			dripping.Go(func() { dripBytes(ctx, c, b, 800*time.Millisecond) })
			ended(t, c, 0x8D, reason.KeepAliveTimeout)
			within(t, begin, 6*time.Second-slack/10, 6*time.Second+slack)
		})
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		each(t, func(t *testing.T, v codec.Version) {
			c := alive(t, v, "acme/dev", "none", 0)
			c.ExpectSilence(12 * time.Second) // longer than the connect timeout
			ping(c)
		})
	})
	t.Run("server's", func(t *testing.T) {
		t.Parallel()
		// 3.x has no way to tell the client that its keep alive is too long.
		c := alive(t, codec.V5, "short/dev", "server", 600)
		begin := time.Now()
		ended(t, c, 0x8D, reason.KeepAliveTimeout)
		within(t, begin, 3*time.Second-slack/10, 3*time.Second+slack)
	})
}
