package publisher_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/jetstream/embedded"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/wire"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
)

func on(topic, payload string) *message.Message {
	return &message.Message{Topic: topic, QoS: 1, Payload: []byte(payload)}
}

func listen(t *testing.T, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

func nextOf(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What is confirmed has reached NATS as it was, in order, and asks nobody for an answer.
func TestPublishCore(t *testing.T) {
	s := startServer(t)
	nc, _ := dial(t, s)
	sub := listen(t, nc, "mqtt.acme.>")
	p := newPublisher(t, connect(t, nc), publisher.Config{})
	const count = 3000
	done := make(answers, count)
	for i := range uint64(count) {
		m := on(fmt.Sprint("live/room ", i%7), fmt.Sprint(i))
		m.ClientID, m.PacketID = "c 1", uint16(i+1)
		p.PublishCore("acme", m, done, i)
	}
	closePublisher(t, p)
	for i := range uint64(count) {
		if a := done.next(t); a.token != i || a.Outcome != publisher.Stored || a.Err != nil {
			t.Fatalf("answer %+v to %d", a, i)
		}
		m := nextOf(t, sub)
		if m.Subject != fmt.Sprint("mqtt.acme.live.room%20", i%7) || m.Reply != "" || m.Header.Get(message.HeaderClientID) != "c%201" ||
			m.Header.Get(message.HeaderPacketID) != fmt.Sprint(i+1) || string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("message %d: %s %q %v %q", i, m.Subject, m.Reply, m.Header, m.Data)
		}
	}
	if len(done) != 0 {
		t.Errorf("%d answers too many", len(done))
	}
}

// Whether anybody listens is no matter; what the server would not take is refused.
func TestCoreTooLarge(t *testing.T) {
	s := startServer(t)
	nc, _ := dial(t, s)
	p := newPublisher(t, connect(t, nc), publisher.Config{})
	defer closePublisher(t, p)
	done := make(answers, 1)
	p.PublishCore("acme", on("a", string(make([]byte, embedded.MaxPayload+1))), done, 1)
	done.expect(t, 1, publisher.Refused, reason.MessageTooLarge)
	p.PublishCore("acme", on("a", ""), done, 2)
	done.expect(t, 2, publisher.Stored, "")
}

// A message to a transient topic comes after those to stored ones that were published before, and before those that were
// published after it, also where they had to wait for the connection.
func TestBothKindsKeepTheirOrder(t *testing.T) {
	r := startRemote(t)
	makeStream(t, r.js, natsjs.StreamConfig{Name: "T", Subjects: []string{"mqtt.acme.kept"}})
	r.stop(t)
	await(t, r.conn, down)
	p := newPublisher(t, r.conn, publisher.Config{})
	defer closePublisher(t, p)
	const count = 100
	done := make(answers, 2*count)
	for i := range uint64(count) {
		p.Publish("mqtt.acme.kept", on("kept", fmt.Sprint(2*i)), done, 2*i)
		p.PublishCore("acme", on("kept", fmt.Sprint(2*i+1)), done, 2*i+1) // the stream takes these as well
	}
	r.start(t)
	for range 2 * count {
		if a := done.next(t); a.Outcome != publisher.Stored {
			t.Fatalf("answer %+v", a)
		}
	}
	stream, err := r.js.Stream(t.Context(), "T")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(2*count - 1) { // JetStream has answered to the last but one, and takes a moment longer for the last
		m, err := stream.GetMsg(t.Context(), i+1)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("%q is stored as message %d", m.Data, i+1)
		}
	}
}

// mute is a server that answers to no PING but those of the login before it is told to.
type mute struct {
	net.Listener
	conn net.Conn
}

func newMute(t *testing.T) (*mute, *wire.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	options := nats.GetDefaultOptions()
	options.Servers = []string{l.Addr().String()}
	options.ReconnectWait, options.ReconnectJitter = 10*time.Millisecond, 0
	c, err := wire.Connect(options, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := &mute{Listener: l}
	s.accept(t, c)
	return s, c
}

// accept takes the next connection and lets it log in.
func (s *mute) accept(t *testing.T, c *wire.Conn) {
	t.Helper()
	before, _ := c.State()
	var err error
	if s.conn, err = s.Accept(); err != nil {
		t.Fatal(err)
	}
	conn := s.conn
	t.Cleanup(func() { _ = conn.Close() })
	s.say(t, `INFO {"server_name":"mute","headers":true,"max_payload":1000}`+"\r\n")
	s.expect(t, "PING\r\nPING\r\n")
	s.say(t, "PONG\r\nPONG\r\n")
	await(t, c, func(epoch uint64, up bool) bool { return up && epoch > before })
}

func (s *mute) say(t *testing.T, text string) {
	t.Helper()
	if _, err := s.conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// expect reads until what was read ends with text, and returns it.
func (s *mute) expect(t *testing.T, text string) string {
	t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(patience)) // fails on a closed connection only, as the read then does
	var got []byte
	for one := make([]byte, 1); !bytes.HasSuffix(got, []byte(text)); {
		if _, err := s.conn.Read(one); err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, one[0])
	}
	return string(got)
}

// One PING confirms all that was published before it, and what comes meanwhile shares the next one.
func TestManyPublishesShareABarrier(t *testing.T) {
	s, c := newMute(t)
	p := newPublisher(t, c, publisher.Config{})
	defer closePublisher(t, p)
	const count = 100
	done := make(answers, count+1)
	for i := range uint64(count + 1) {
		p.PublishCore("acme", on("a", fmt.Sprint(i)), done, i)
	}
	s.expect(t, "PING\r\n")
	s.say(t, "PONG\r\n")
	done.expect(t, 0, publisher.Stored, "")
	got := s.expect(t, "PING\r\n")
	if n := strings.Count(got, "PUB mqtt.acme.a "); n != count {
		t.Errorf("%d publishes before the second barrier", n)
	}
	if len(done) != 0 {
		t.Error("confirmed before the second barrier")
	}
	s.say(t, "PONG\r\n")
	for i := range uint64(count) {
		done.expect(t, i+1, publisher.Stored, "")
	}
}

// What the barrier was not reached for when the connection ended is unknown at once, although the next connection is there soon. What
// is published on that one is confirmed by its own barrier.
func TestLostBeforeTheBarrier(t *testing.T) {
	s, c := newMute(t)
	p := newPublisher(t, c, publisher.Config{})
	defer closePublisher(t, p)
	done := make(answers, 10)
	for i := range uint64(3) {
		p.PublishCore("acme", on("a", fmt.Sprint(i)), done, i)
	}
	s.expect(t, "PING\r\n")
	s.say(t, "PONG\r\n")
	done.expect(t, 0, publisher.Stored, "")
	if err := s.conn.Close(); err != nil {
		t.Fatal(err)
	}
	unknown := map[uint64]bool{}
	for range 2 {
		a := done.next(t)
		if a.Outcome != publisher.Unknown {
			t.Errorf("answer %+v", a)
		}
		unknown[a.token] = true
	}
	if !unknown[1] || !unknown[2] {
		t.Errorf("unknown are %v", unknown)
	}
	s.accept(t, c)
	p.PublishCore("acme", on("a", "3"), done, 3)
	s.expect(t, "PING\r\n")
	s.say(t, "PONG\r\n")
	done.expect(t, 3, publisher.Stored, "")
	if len(done) != 0 {
		t.Errorf("%d answers too many", len(done))
	}
}

// A server that says nothing for too long leaves the outcome unknown. When it speaks at last, that is about what it was
// asked for, and about nothing that was published since.
func TestNoBarrierInTime(t *testing.T) {
	s, c := newMute(t)
	p := newPublisher(t, c, publisher.Config{Timeout: 200 * time.Millisecond, MaxPending: 2})
	defer closePublisher(t, p)
	done := make(answers, 10)
	p.PublishCore("acme", on("a", "0"), done, 0)
	p.PublishCore("acme", on("a", "1"), done, 1)
	if err := p.Wait(t.Context()); err != nil { // there is room when they are given up
		t.Fatal(err)
	}
	done.expect(t, 0, publisher.Unknown, reason.PublishUnknown)
	done.expect(t, 1, publisher.Unknown, reason.PublishUnknown)
	p.PublishCore("acme", on("a", "2"), done, 2)
	s.expect(t, "PING\r\n")
	s.say(t, "PONG\r\n")
	if got := s.expect(t, "PING\r\n"); strings.Contains(got, "PING\r\nP") {
		t.Errorf("barriers side by side: %q", got)
	}
	if len(done) != 0 {
		t.Error("confirmed by the barrier before")
	}
	s.say(t, "PONG\r\n")
	done.expect(t, 2, publisher.Stored, "")
}

// Connections break under load. Whoever stops at an Unknown and sends everything unconfirmed again has told all of it to those who
// listened, and nothing before something earlier.
func TestCoreOrderThroughOutages(t *testing.T) {
	r := startRemote(t)
	sub := listen(t, r.nc, "mqtt.acme.*")
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t, r.conn, publisher.Config{})
	throughOutages(t, r, func(m *message.Message, done publisher.Done, token uint64) {
		p.PublishCore("acme", m, done, token)
	})
	closePublisher(t, p)
	last, count := inOrder{}, 0
	for ; !last.complete(); count++ {
		m := nextOf(t, sub)
		last.add(t, m.Subject, m.Data)
	}
	t.Logf("%d messages for %d numbers", count, clients*numbers)
}
