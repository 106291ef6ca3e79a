package bridge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

// TestConnack5 announces what is served.
func TestConnack5(t *testing.T) {
	r := newRig(t, tenant.Quotas{MessageBytes: 5000, KeepAliveMax: 20 * time.Second}, nil)
	c := r.dial(codec.V5)
	p := hello("me")
	p.CleanStart, p.Properties.SessionExpiry = false, 3600
	c.send(p)
	no := new(bool)
	want := &codec.Connack{Properties: codec.ConnackProperties{
		SessionExpiry: new(uint32(0)), ReceiveMaximum: 1024, MaximumQoS: new(codec.QoS(1)), RetainAvailable: no,
		MaximumPacketSize: 5000, SharedAvailable: no, ServerKeepAlive: new(uint16(20)),
	}}
	if d := cmp.Diff(want, expect[*codec.Connack](c)); d != "" {
		t.Errorf("CONNACK differs (-want +got):\n%s", d)
	}
}

func TestKeepAliveTimeout(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	each(t, func(t *testing.T, v codec.Version) {
		t.Parallel()
		c := r.connect(v, "me"+v.String(), func(p *codec.Connect) { p.KeepAlive = 1 })
		c.t = t
		start := time.Now()
		c.expectEnd(codec.KeepAliveTimeout)
		if d := time.Since(start); d < time.Second {
			t.Errorf("ended after %s", d)
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, func(s *Server) { s.ConnectTimeout = 2 * time.Second })
	silent, half := r.dial(codec.V5), r.dial(codec.V5)
	half.write([]byte("\x10\x7f\x00\x04MQTT\x05"))
	silent.expectClosed()
	half.expectClosed()
	r.connect(codec.V5, "me").ping()
}

// TestTooManyPending: the oldest connection that has sent no CONNECT goes.
func TestTooManyPending(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, func(s *Server) { s.MaxPending = 3 })
	served := r.connect(codec.V311, "served")
	var silent []*client
	for range 5 {
		silent = append(silent, r.dial(codec.V311))
		served.ping()
	}
	silent[0].expectClosed()
	silent[1].expectClosed()
	served.ping()
	silent[4].send(hello("late"))
	expect[*codec.Connack](silent[4])
}

func TestTooManyConnections(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, func(s *Server) { s.MaxConnections = 2 })
	one, two := r.connect(codec.V311, "one"), r.connect(codec.V311, "two")
	r.dial(codec.V311).expectClosed()
	one.ping()
	two.ping()
}

// TestBadInput: whatever comes, the connection ends or stays, and the others are served.
func TestBadInput(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, func(s *Server) { s.ConnectTimeout = time.Second })
	good := r.connect(codec.V5, "good")
	good.mustSubscribe("a", 1)
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range 60 {
		b := make([]byte, 1+random.IntN(200))
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		var c *client
		if i%2 == 0 {
			c = r.dial(codec.V5)
		} else {
			c = r.connect([]codec.Version{codec.V31, codec.V311, codec.V5}[i%3], fmt.Sprint("bad", i))
		}
		_, _ = c.conn.Write(b) // may be closed already
		_ = c.conn.(*net.TCPConn).CloseWrite()
		for {
			if _, err := c.next(); err != nil {
				break
			}
		}
		good.send(publish("a", 0, 0, "x"))
		good.receive()
	}
}

// TestFaultOfOneConnection: a panic ends one connection and is seen.
func TestFaultOfOneConnection(t *testing.T) {
	faulty := false
	r := newRig(t, tenant.Quotas{}, func(s *Server) {
		log := s.Log
		s.Log = func(ctx context.Context, name string) (*jetstream.Log, error) {
			if faulty {
				panic("a fault")
			}
			return log(ctx, name)
		}
	})
	good := r.connect(codec.V5, "good")
	faulty = true
	bad := r.dial(codec.V311)
	bad.send(hello("bad"))
	bad.expectClosed()
	good.ping()
}

// TestManyConnections leaves nothing behind.
func TestManyConnections(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	for i := range 100 {
		c := r.connect(codec.V311, fmt.Sprint("c", i%10), withWill("will"))
		c.mustSubscribe("a", 1)
		if i%2 == 0 {
			c.send(&codec.Disconnect{})
			c.expectClosed()
		} else {
			_ = c.conn.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns)+len(s.tenants)+s.pending.Len()+len(s.errorLogs.byKey) > 0 {
		t.Errorf("left: %d connections, %d tenants, %d pending, %d error logs",
			len(s.conns), len(s.tenants), s.pending.Len(), len(s.errorLogs.byKey))
	}
}

func TestClose(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c, silent := r.connect(codec.V311, "me", withWill("will")), r.dial(codec.V311)
	if err := r.server.Close(); err != nil {
		t.Fatal(err)
	}
	c.expectClosed()
	silent.expectClosed()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.server.Serve(l); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestTLS(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(l) }()
	dial := func(v codec.Version) *client {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return &client{t: t, conn: conn, r: codec.NewReader(conn, 1<<20), v: v}
	}
	c := dial(codec.V5)
	c.send(hello("me"))
	expect[*codec.Connack](c)
	c.mustPublish("a", 1, "x")
	c.send(publish("a", 2, 1, ""))
	c.expectEnd(codec.QoSNotSupported)
	bad := dial(codec.V311)
	p := hello("me")
	p.Username = "acme/nobody"
	bad.send(p)
	if ack := expect[*codec.Connack](bad); ack.Code != 5 {
		t.Errorf("got %s", show(ack))
	}
	bad.expectClosed()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, ErrServerClosed) {
		t.Error(err)
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestPublishWhileNATSIsDown: a publish waits for NATS to come back; after 10 s the connection ends without a PUBACK, so
// that the client sends the message again.
func TestPublishWhileNATSIsDown(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c5, c3 := r.connect(codec.V5, "five"), r.connect(codec.V311, "three")
	c5.mustPublish("a", 1, "")
	r.stopNATS()
	c5.send(publish("a", 1, 2, ""))
	c3.send(publish("a", 1, 2, ""))
	c5.expectEnd(codec.ServerBusy)
	c3.expectEnd(codec.Success)
}

// TestClientThatTakesNoConnack: a Maximum Packet Size below that of the CONNACK leaves nothing to do
// [MQTT-3.1.2-24].
func TestClientThatTakesNoConnack(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c := r.dial(codec.V5)
	p := hello("me")
	p.Properties.MaximumPacketSize = 10
	c.send(p)
	c.expectClosed()
}

// TestNATSRestart: connections stay, a publish waits, and subscribers miss nothing. A publish that was on its way when NATS
// went has an unknown outcome: its client is disconnected, and sends it again.
func TestNATSRestart(t *testing.T) {
	dir := t.TempDir()
	ns := startNATS(t, dir, -1)
	r := newBridge(t, ns, tenant.Quotas{}, nil)
	pub, sub := r.connect(codec.V5, "pub"), r.connect(codec.V311, "sub")
	sub.mustSubscribe("a", 1)
	pub.mustPublish("a", 1, "before")
	addr, ok := ns.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no address")
	}
	ns.Shutdown()
	ns.WaitForShutdown()
	expectRefused(t, r, codec.V5, hello("late"), codec.ServerUnavailable)
	pub.send(publish("a", 1, 2, "meanwhile"))
	startNATS(t, dir, addr.Port)
	p, err := pub.next()
	switch p := p.(type) {
	case *codec.Ack:
		if p.PacketID != 2 || p.Code != codec.Success {
			t.Errorf("got %s", show(p))
		}
	case *codec.Disconnect:
		if p.Code != codec.ServerBusy {
			t.Errorf("got %s", show(p))
		}
		pub = r.connect(codec.V5, "pub")
		pub.mustPublish("a", 2, "meanwhile")
	default:
		t.Fatalf("got %v, %v", p, err)
	}
	pub.mustPublish("a", 3, "after")
	var got []string
	for len(got) == 0 || got[len(got)-1] != "after" {
		got = append(got, string(sub.receive().Payload))
	}
	if d := cmp.Diff([]string{"before", "meanwhile", "after"}, slices.Compact(got)); d != "" {
		t.Error(d)
	}
}
