package wire

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server on a port of its own; change may be nil.
func serve(t testing.TB, change func(*natsserver.Options)) *natsserver.Server {
	t.Helper()
	o := &natsserver.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true}
	if change != nil {
		change(o)
	}
	s, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { shut(s) })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	return s
}

func shut(s *natsserver.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// optionsFor are those of a connection to a server that reconnects fast.
func optionsFor(s *natsserver.Server) nats.Options {
	o := nats.GetDefaultOptions()
	o.ReconnectWait, o.ReconnectJitter = 20*time.Millisecond, 0
	o.Timeout = 10 * time.Second // the machine may be busy
	if s != nil {
		o.Servers = []string{s.ClientURL()}
	}
	return o
}

// dial starts a connection that is closed in the end.
func dial(t testing.TB, o nats.Options) *Conn {
	t.Helper()
	return dialLogged(t, o, zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)))
}

func dialLogged(t testing.TB, o nats.Options, log *zap.Logger) *Conn {
	t.Helper()
	c, err := Connect(o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// up waits for a connection later than that of the epoch after.
func up(t testing.TB, c *Conn, after uint64) uint64 {
	t.Helper()
	return await(t, c, func(epoch uint64, up bool) bool { return up && epoch > after })
}

func await(t testing.TB, c *Conn, enough func(epoch uint64, up bool) bool) uint64 {
	t.Helper()
	changed, stop := c.Watch()
	defer stop()
	deadline := time.After(patience)
	for {
		epoch, up := c.State()
		if enough(epoch, up) {
			return epoch
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the connection stays as it is: epoch %d, up %v", epoch, up)
		}
	}
}

func ctxOf(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func flush(t testing.TB, c *Conn, epoch uint64) {
	t.Helper()
	if err := c.Flush(ctxOf(t), epoch); err != nil {
		t.Fatal(err)
	}
}

// inbox collects what one subscription gets.
type inbox struct {
	*Subscription
	got chan Msg
}

func subscribe(t testing.TB, c *Conn, epoch uint64, subject string) inbox {
	t.Helper()
	in := inbox{got: make(chan Msg, 10_000)}
	var err error
	in.Subscription, err = c.Subscribe(epoch, subject, func(m *Msg) { in.got <- copied(m) })
	if err != nil {
		t.Fatal(err)
	}
	flush(t, c, epoch)
	return in
}

func copied(m *Msg) Msg {
	return Msg{Subject: bytes.Clone(m.Subject), Reply: bytes.Clone(m.Reply), Header: bytes.Clone(m.Header), Data: bytes.Clone(m.Data)}
}

func (in inbox) next(t testing.TB) Msg { t.Helper(); return next(t, in.got) }

// next waits for what comes next.
func next[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	return v
}

func publish(t testing.TB, c *Conn, epoch uint64, subject, payload string) {
	t.Helper()
	if err := c.Publish(epoch, subject, "", nil, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// observe returns a logger, and a channel of the errors in its lines. It keeps what fits.
func observe() (*zap.Logger, <-chan string) {
	core, _ := observer.New(zap.WarnLevel)
	lines := make(chan string, 1000)
	return zap.New(logTo{core, lines}), lines
}

// peer is the other end of a connection, for what no server does that is well.
type peer struct {
	net.Conn
	address string
}

// peers dials them.
type peers chan peer

func (p peers) Dial(_, address string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p <- peer{theirs, address}:
		return ours, nil
	default:
		return nil, net.ErrClosed
	}
}

func newPeers(t testing.TB) (peers, nats.Options) {
	t.Helper()
	p := make(peers, 16)
	o := optionsFor(nil)
	o.Servers = []string{"nats://first:4222"}
	o.CustomDialer = p
	return p, o
}

const peerInfo = `INFO {"server_name":"peer","headers":true,"max_payload":1048576}` + "\r\n"

// accept takes the next connection and lets it log in.
func (p peers) accept(t testing.TB) peer {
	t.Helper()
	c := next(t, p)
	t.Cleanup(func() { _ = c.Close() })
	c.say(t, peerInfo)
	c.expect(t, "PING\r\nPING\r\n")
	c.say(t, "PONG\r\nPONG\r\n")
	return c
}

func (p peer) say(t testing.TB, text string) {
	t.Helper()
	_ = p.SetDeadline(time.Now().Add(patience)) // a pipe takes it
	if _, err := p.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// expect reads until what was read ends with text, and returns it.
func (p peer) expect(t testing.TB, text string) string {
	t.Helper()
	_ = p.SetDeadline(time.Now().Add(patience)) // a pipe takes it
	var got []byte
	for one := make([]byte, 1); !bytes.HasSuffix(got, []byte(text)); {
		if _, err := p.Read(one); err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, one[0])
	}
	return string(got)
}
