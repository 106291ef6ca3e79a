package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

var header = []byte("NATS/1.0\r\nMqtt-User: u\r\nA:b\r\n\r\n")

// ways are the kinds of connection.
func ways(t *testing.T, run func(t *testing.T, o nats.Options)) {
	t.Run("TCP", func(t *testing.T) {
		s := serve(t, nil)
		run(t, optionsFor(s))
	})
	t.Run("in process", func(t *testing.T) {
		s := serve(t, nil)
		o := optionsFor(s)
		o.InProcessServer = s
		run(t, o)
	})
	t.Run("TLS", func(t *testing.T) {
		ca := newCA(t)
		s := serve(t, func(o *natsserver.Options) { o.TLS, o.TLSConfig, o.TLSTimeout = true, ca.server(t), 10 })
		o := optionsFor(s)
		o.TLSConfig = ca.client()
		run(t, o)
	})
}

// What is published arrives as it was, in order, however it lies in the buffers.
func TestRoundTrip(t *testing.T) {
	ways(t, func(t *testing.T, o nats.Options) {
		c := dial(t, o)
		epoch := up(t, c, 0)
		in := subscribe(t, c, epoch, "a.*")
		all := bytes.Repeat([]byte("0123456789\r\n"), 1<<17)
		limit := natsserver.MAX_PAYLOAD_SIZE
		var want []Msg
		for _, size := range []int{0, 1, 10, 1000, inputSize - 1, inputSize, 3*inputSize + 7, limit - len(header)} {
			for _, h := range [][]byte{nil, header} {
				for _, reply := range []string{"", "re.ply"} {
					want = append(want, Msg{Subject: []byte("a.b"), Reply: []byte(reply), Header: h, Data: all[size%10:][:size]})
				}
			}
		}
		for i := range 5000 {
			want = append(want, Msg{Subject: fmt.Appendf(nil, "a.%d", i), Header: header, Data: all[:i%300]})
		}
		for i := range want {
			m := &want[i]
			if err := c.Publish(epoch, string(m.Subject), string(m.Reply), m.Header, m.Data); err != nil {
				t.Fatal(err)
			}
		}
		for i := range want {
			got, w := in.next(t), &want[i]
			if !bytes.Equal(got.Subject, w.Subject) || !bytes.Equal(got.Reply, w.Reply) || !bytes.Equal(got.Header, w.Header) || !bytes.Equal(got.Data, w.Data) {
				t.Fatalf("message %d: %.200q instead of %.200q", i, got, *w)
			}
		}
		if n, _ := c.State(); n != epoch {
			t.Errorf("epoch %d in the end", n)
		}
	})
}

// nats.go reads what is published, and the other way round.
func TestWithNATS(t *testing.T) {
	s := serve(t, nil)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := dial(t, optionsFor(s))
	epoch := up(t, c, 0)
	sub, err := nc.SubscribeSync("to.nats")
	if err != nil {
		t.Fatal(err)
	}
	in := subscribe(t, c, epoch, "to.wire")
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(epoch, "to.nats", "back", header, []byte("x")); err != nil {
		t.Fatal(err)
	}
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if m.Reply != "back" || m.Header.Get("Mqtt-User") != "u" || string(m.Data) != "x" {
		t.Errorf("nats.go reads %+v", m)
	}
	m.Subject = "to.wire"
	if err := nc.PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	if got := in.next(t); string(got.Get("Mqtt-User")) != "u" || string(got.Get("A")) != "b" || got.Get("B") != nil || string(got.Data) != "x" {
		t.Errorf("%q", got)
	}
}

// Where nobody listens the server says so.
func TestNoResponders(t *testing.T) {
	c := dial(t, optionsFor(serve(t, nil)))
	epoch := up(t, c, 0)
	subject := c.NewInbox()
	in := subscribe(t, c, epoch, subject)
	if err := c.Publish(epoch, "nobody", subject, nil, nil); err != nil {
		t.Fatal(err)
	}
	m := in.next(t)
	if string(m.Status()) != "503" || len(m.Data) != 0 || m.Size() != len(subject)+len(m.Header) {
		t.Errorf("%q", m)
	}
	publish(t, c, epoch, subject, "x")
	m = in.next(t)
	if status := m.Status(); status != nil {
		t.Errorf("status %q of a message", status)
	}
}

func TestMaxPayload(t *testing.T) {
	c := dial(t, optionsFor(serve(t, func(o *natsserver.Options) { o.MaxPayload = 1000 })))
	epoch := up(t, c, 0)
	in := subscribe(t, c, epoch, "a")
	payload := make([]byte, 1001)
	if err := c.Publish(epoch, "a", "", nil, payload); !errors.Is(err, ErrMaxPayload) {
		t.Errorf("one byte more: %v", err)
	}
	if err := c.Publish(epoch, "a", "", header, payload[:1001-len(header)]); !errors.Is(err, ErrMaxPayload) {
		t.Errorf("one byte more with headers: %v", err)
	}
	for _, err := range []error{
		c.Publish(epoch, "a", "", nil, payload[:1000]), c.Publish(epoch, "a", "", header, payload[:1000-len(header)]), c.Flush(ctxOf(t), epoch),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if n, m := len(in.next(t).Data), len(in.next(t).Data); n != 1000 || m != 1000-len(header) {
		t.Errorf("%d and %d bytes", n, m)
	}
}

// Once Unsubscribe has returned the handler is not called any more, whatever the server still sends.
func TestUnsubscribeIsABarrier(t *testing.T) {
	s := serve(t, nil)
	c, other := dial(t, optionsFor(s)), dial(t, optionsFor(s))
	epoch, otherEpoch := up(t, c, 0), up(t, other, 0)
	for range 20 {
		var ended, late atomic.Bool
		begun := make(chan bool, 1)
		sub, err := c.Subscribe(epoch, "a", func(*Msg) {
			if ended.Load() {
				late.Store(true)
			}
			select {
			case begun <- true:
			default:
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		flush(t, c, epoch)
		for range 2000 {
			publish(t, other, otherEpoch, "a", "x")
		}
		next(t, begun)
		sub.Unsubscribe()
		ended.Store(true)
		sub.Unsubscribe()
		flush(t, other, otherEpoch)
		flush(t, c, epoch)
		if late.Load() {
			t.Fatal("called after Unsubscribe")
		}
	}
}

// Once Flush has returned the server has processed what was published before.
func TestFlush(t *testing.T) {
	s := serve(t, nil)
	c := dial(t, optionsFor(s))
	epoch := up(t, c, 0)
	before := s.NumSubscriptions()
	for i := range 100 {
		if _, err := c.Subscribe(epoch, fmt.Sprintf("a.%d", i), func(*Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, c, epoch)
	if n := s.NumSubscriptions() - before; n != 100 {
		t.Errorf("the server has %d subscriptions", n)
	}
	ctx, cancel := context.WithCancel(ctxOf(t))
	cancel()
	if err := c.Flush(ctx, epoch); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	flush(t, c, epoch) // its PONG is not taken for the other
}

func TestInbox(t *testing.T) {
	o := optionsFor(serve(t, nil))
	if a, b := dial(t, o).NewInbox(), dial(t, o).NewInbox(); a == b || a[:7] != "_INBOX." {
		t.Errorf("%s, %s", a, b)
	}
	o.InboxPrefix = "_MINE"
	if a := dial(t, o).NewInbox(); a[:6] != "_MINE." {
		t.Error(a)
	}
}
