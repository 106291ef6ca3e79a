package tls

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// secure starts a Weir with a TLS listener.
func secure(t *testing.T, f files) (w *weirtest.Weir, address string) {
	t.Helper()
	address = weirtest.FreeAddress(t)
	w = weirtest.Start(t, weirtest.Options{Env: []string{
		"WEIR_MQTTS_ADDR=" + address, "WEIR_TLS_CERT=" + f.cert, "WEIR_TLS_KEY=" + f.key,
	}})
	return w, address
}

// Devices over TLS and over TCP meet, in every version.
func TestMQTTS(t *testing.T) {
	t.Parallel()
	one := newIdentity(t, 1)
	w, address := secure(t, newFiles(t, one))
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			subscriber := dial(t, address, v, one.client())
			subscriber.Send(demo("subscriber"))
			if ack := weirtest.Expect[*codec.Connack](subscriber); ack.Code != 0 {
				t.Fatalf("CONNACK 0x%02X", ack.Code)
			}
			subscriber.Subscribe("over tls", 1)
			publisher := weirtest.Login(t, w.MQTT(), v, "publisher", "demo/service", "demo")
			large := strings.Repeat("x", 100_000)
			for _, payload := range []string{"small", large} {
				publisher.Publish("over tls", payload)
				if p := subscriber.Message(); string(p.Payload) != payload {
					t.Errorf("received %d bytes, want %d", len(p.Payload), len(payload))
				}
			}
			// and the way back
			publisher.Subscribe("over tcp", 1)
			subscriber.Publish("over tcp", large)
			if p := publisher.Message(); string(p.Payload) != large {
				t.Errorf("received %d bytes", len(p.Payload))
			}
			subscriber.SendBytes([]byte{0, 0})
			if v == codec.V5 {
				if d := weirtest.Expect[*codec.Disconnect](subscriber); d.Code != codec.MalformedPacket {
					t.Errorf("DISCONNECT 0x%02X", d.Code)
				}
			}
			subscriber.ExpectClosed()
		})
	}
}

// A new certificate is shown to who connects next. Connections stay, and files that are of no use change nothing.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	a, b, c := newIdentity(t, 1), newIdentity(t, 2), newIdentity(t, 3)
	f := newFiles(t, a)
	w, address := secure(t, f)
	if got := serial(t, address, a, b, c); got != 1 {
		t.Fatalf("certificate %d", got)
	}
	early := dial(t, address, codec.V5, a.client())
	early.Send(demo("early"))
	weirtest.Expect[*codec.Connack](early)

	f.write(t, b.cert, b.key)
	weirtest.Until(t, "the second certificate is shown", func() bool { return serial(t, address, a, b, c) == 2 })
	ping(early)

	for what, bad := range map[string][2][]byte{
		"a certificate that does not fit its key": {c.cert, b.key},
		"no certificate": {[]byte("no certificate\n"), c.key},
		"empty files":    {nil, nil},
	} {
		refusals := strings.Count(w.Said(), "TLS certificate refused")
		f.write(t, bad[0], bad[1])
		weirtest.Until(t, "the log says that it is refused: "+what, func() bool {
			return strings.Count(w.Said(), "TLS certificate refused") > refusals
		})
		if got := serial(t, address, a, b, c); got != 2 {
			t.Errorf("%s: certificate %d", what, got)
		}
		ping(early)
	}
	// In place, without a rename.
	overwrite(t, f.key, c.key)
	overwrite(t, f.cert, c.cert)
	weirtest.Until(t, "the third certificate is shown", func() bool { return serial(t, address, a, b, c) == 3 })
	ping(early)
}

// What is not TLS, or too old, gets nowhere, and a handshake has to end within the connect timeout.
func TestBadHandshakes(t *testing.T) {
	t.Parallel()
	one := newIdentity(t, 1)
	w, address := secure(t, newFiles(t, one))
	t.Run("plain MQTT", func(t *testing.T) {
		t.Parallel()
		for _, v := range versions {
			c := weirtest.Dial(t, address, v)
			c.Send(demo("plain"))
			drained(t, c.Net, 5*time.Second)
		}
	})
	t.Run("TLS on the plain listener", func(t *testing.T) {
		t.Parallel()
		d := tls.Dialer{Config: one.client()}
		if conn, err := d.DialContext(weirtest.Context(t), "tcp", w.MQTT()); err == nil {
			conn.Close()
			t.Error("there was a handshake")
		}
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		t.Parallel()
		config := one.client()
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		d := tls.Dialer{Config: config}
		if conn, err := d.DialContext(weirtest.Context(t), "tcp", address); err == nil {
			conn.Close()
			t.Error("there was a handshake")
		}
	})
	t.Run("handshakes and then nothing", func(t *testing.T) {
		t.Parallel()
		c := dial(t, address, codec.V5, one.client())
		begin := time.Now()
		c.ExpectClosed()
		if took := time.Since(begin); took < 9*time.Second || took > 14*time.Second {
			t.Errorf("closed after %s", took)
		}
	})
	for what, bytes := range map[string]string{"silent": "", "half a hello": "\x16\x03\x01\x02\x00\x01"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := weirtest.Dial(t, address, codec.V5)
			c.SendBytes([]byte(bytes))
			begin := time.Now()
			drained(t, c.Net, 14*time.Second)
			if took := time.Since(begin); took < 9*time.Second {
				t.Errorf("closed after %s", took)
			}
		})
	}
	t.Run("others are served", func(t *testing.T) {
		t.Parallel()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if conn, err := weirtest.Open(t.Context(), address, codec.V5); err == nil {
					_ = conn.WriteBytes([]byte("\x16\x03\x01\xFF\xFF" + strings.Repeat("x", 1000)))
					conn.Close()
				}
			})
		}
		begin := time.Now()
		for range 10 {
			c := dial(t, address, codec.V5, one.client())
			c.Send(demo("served"))
			weirtest.Expect[*codec.Connack](c)
			ping(c)
			c.Close()
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("ten connections took %s", took)
		}
		all.Wait()
	})
}

// drained reads until the other side closes, whatever it says (a TLS alert).
func drained(t *testing.T, conn net.Conn, patience time.Duration) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !weirtest.Closed(err) {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			t.Errorf("it has not been closed after %s", patience)
		}
	}
}
