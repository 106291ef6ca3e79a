package bridge

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

// lateListener accepts connections whose reading can be held up.
type lateListener struct {
	net.Listener
	accepted chan *lateConn
}

func (l *lateListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &lateConn{Conn: nc, asleep: make(chan struct{})}
	c.changed.L = &c.mu
	l.accepted <- c
	return c, nil
}

// lateConn is read as by a goroutine that others keep from running: the first Read after delay sleeps through what
// arrives, until somebody changes the deadline.
type lateConn struct {
	net.Conn
	asleep chan struct{} // closed when a Read sleeps

	mu      sync.Mutex
	changed sync.Cond // on mu: reading
	reading bool
	late    bool
	broken  bool
	awake   chan struct{} // closed to wake the Read that sleeps; nil where none does
}

// breakWrites makes every Write fail, as when the client has closed its socket.
func (c *lateConn) breakWrites() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
}

func (c *lateConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	broken := c.broken
	c.mu.Unlock()
	if broken {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// delay lets the Read after the one that waits for bytes sleep.
func (c *lateConn) delay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.reading {
		c.changed.Wait()
	}
	c.late = true
}

func (c *lateConn) setReading(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = on
	c.changed.Broadcast()
}

func (c *lateConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	var awake chan struct{}
	if c.late {
		awake = make(chan struct{})
		c.late, c.awake = false, awake
		close(c.asleep)
	}
	c.mu.Unlock()
	if awake != nil {
		<-awake
	}
	c.setReading(true)
	defer c.setReading(false)
	return c.Conn.Read(p)
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.Conn.SetReadDeadline(t)
	if c.awake != nil {
		close(c.awake)
		c.awake = nil
	}
	return err
}

// serveLate makes a bridge listen on one more port, where the reading of connections can be held up.
func (r *rig) serveLate(t *testing.T, secure bool) (dial func() net.Conn, accepted chan *lateConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	late := &lateListener{Listener: l, accepted: make(chan *lateConn, 1)}
	var serve net.Listener = late
	if secure {
		serve = tls.NewListener(late, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	}
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(serve) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return func() net.Conn {
		var nc net.Conn
		var err error
		if secure {
			nc, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		} else {
			nc, err = net.Dial("tcp", l.Addr().String())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		return nc
	}, late.accepted
}

// TestTakeoverOfAClientThatHasLeft: a client sends its last packets and a DISCONNECT and connects again at once, before
// any of it is read. It has left: what it published is stored, and there is no will [MQTT-3.14.4-3].
func TestTakeoverOfAClientThatHasLeft(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	other := newBridge(t, r.nats, tenant.Quotas{}, nil)
	for _, where := range []struct {
		name   string
		second *rig
		secure bool
	}{{"same bridge", r, false}, {"another bridge", other, false}, {"TLS", r, true}} {
		t.Run(where.name, func(t *testing.T) {
			dial, accepted := r.serveLate(t, where.secure)
			each(t, func(t *testing.T, v codec.Version) {
				topic := where.name + v.String()
				watcher := r.connect(codec.V311, "watcher")
				watcher.t = t
				watcher.mustSubscribe(topic, 1)

				nc := dial()
				c := &client{t: t, conn: nc, r: codec.NewReader(nc, 1<<20), v: v, id: "me"}
				p := hello("me")
				withWill(topic)(p)
				c.send(p)
				expect[*codec.Connack](c)
				late := <-accepted
				late.delay()
				c.send(&codec.Pingreq{}) // read now or with the rest
				<-late.asleep
				c.send(publish(topic, 1, 1, "last words"), publish(topic, 1, 2, "more"), &codec.Disconnect{})

				again := where.second.connect(v, "me")
				again.t = t
				for _, want := range []string{"last words", "more", "after CONNACK"} {
					if want == "after CONNACK" {
						again.mustPublish(topic, 1, want)
					}
					if p := watcher.receive(); string(p.Payload) != want {
						t.Errorf("got %s, want %s", show(p), want)
					}
				}
				for { // the old connection gets answers, and no DISCONNECT
					p, err := c.next()
					if err != nil {
						break
					}
					if p.Type() == codec.DISCONNECT {
						t.Errorf("got %s", show(p))
					}
				}
				again.send(&codec.Disconnect{})
				again.expectClosed()
			})
		})
	}
}

// TestTakeoverOfAClientThatFloods: whoever sends on and on is taken over nevertheless, and before the CONNACK.
func TestTakeoverOfAClientThatFloods(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	watcher, publisher := r.connect(codec.V5, "watcher"), r.connect(codec.V5, "publisher")
	watcher.mustSubscribe("will", 1)
	publisher.mustPublish("flood", 1, "")
	for _, flood := range []*codec.Publish{publish("flood", 0, 0, "x"), publish("flood/new", 0, 0, "x")} {
		c := r.connect(codec.V5, "me", withWill("will"))
		b, err := flood.Append(nil, codec.V5)
		if err != nil {
			t.Fatal(err)
		}
		var flooding sync.WaitGroup
		flooding.Go(func() {
			for {
				if _, err := c.conn.Write(b); err != nil {
					return
				}
			}
		})
		again := r.connect(codec.V5, "me")
		publisher.mustPublish("will", 1, "after CONNACK")
		for _, want := range []string{"gone", "after CONNACK"} {
			if p := watcher.receive(); string(p.Payload) != want {
				t.Errorf("got %s, want %s", show(p), want)
			}
		}
		_ = c.conn.Close()
		flooding.Wait()
		again.send(&codec.Disconnect{})
		again.expectClosed()
	}
}

// TestDeliveryToAClientThatHasLeft: a client sends its last packets and a DISCONNECT and closes its socket, and a
// delivery to it fails before any of that is read. It has left nevertheless [MQTT-3.14.4-3].
func TestDeliveryToAClientThatHasLeft(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	dial, accepted := r.serveLate(t, false)
	each(t, func(t *testing.T, v codec.Version) {
		topic := "left/" + v.String()
		watcher, publisher := r.connect(codec.V311, "watcher"), r.connect(codec.V311, "publisher")
		watcher.t, publisher.t = t, t
		watcher.mustSubscribe(topic, 1)
		nc := dial()
		c := &client{t: t, conn: nc, r: codec.NewReader(nc, 1<<20), v: v, id: "me"}
		p := hello("me")
		withWill(topic)(p)
		c.send(p)
		expect[*codec.Connack](c)
		c.mustSubscribe("delivered", 0)
		late := <-accepted
		late.delay()
		c.send(&codec.Pingreq{}) // read now or with the rest
		<-late.asleep
		c.send(publish(topic, 0, 0, "last words"), &codec.Disconnect{})
		late.breakWrites()
		publisher.mustPublish("delivered", 1, "")
		for {
			if _, err := c.next(); err != nil {
				break
			}
		}
		r.connect(v, "me").ping() // what the other connection had to do is done
		publisher.mustPublish(topic, 2, "no will")
		for _, want := range []string{"last words", "no will"} {
			if p := watcher.receive(); string(p.Payload) != want {
				t.Errorf("got %s, want %s", show(p), want)
			}
		}
	})
}
