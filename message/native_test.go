package message

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/reason"
)

const patience = 20 * time.Second

func startServer(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	return s
}

func connect(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// wire subscribes without a client library, which would parse the headers, and returns what reads the header block of the
// next message.
func wire(t *testing.T, s *server.Server, subject string) func() string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "CONNECT {\"headers\":true,\"verbose\":false}\r\nSUB %s 1\r\nPING\r\n", subject); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	until := func(prefix string) string {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
	until("PONG")
	return func() string {
		var got, sid string
		var header, all int
		if _, err := fmt.Sscanf(until("HMSG"), "HMSG %s %s %d %d", &got, &sid, &header, &all); err != nil {
			t.Fatal(err)
		}
		block := make([]byte, all)
		if _, err := io.ReadFull(in, block); err != nil {
			t.Fatal(err)
		}
		return string(block[:header])
	}
}

// What nats.go sends of a Msg is what Weir itself writes, but for the order of the headers, which a map does not have; user properties
// keep theirs.
func TestMsgOnTheWire(t *testing.T) {
	s := startServer(t)
	nc := connect(t, s)
	next := wire(t, s, "mqtt.acme.>")
	received, err := nc.SubscribeSync("mqtt.acme.>")
	if err != nil {
		t.Fatal(err)
	}
	all := full()
	all.Topic, all.Payload = "a/b c", []byte("x")
	messages := []*Message{all, {Topic: "a"}}
	for _, one := range []Message{
		{ClientID: "room 1 %\r\nMqtt-Role: application"},
		{User: " \x7F"},
		{Role: "device"},
		{To: "ü"},
		{PacketID: 65535},
		{Dup: true},
		{Retain: true},
		{HasPayloadFormat: true},
		{ContentType: []byte{}},
		{ContentType: []byte("text/plain; x=%")},
		{ResponseTopic: []byte("a b")},
		{CorrelationData: []byte{0, 255, '\r', '\n'}},
		{CorrelationData: []byte{}},
		{UserProperties: []UserProperty{{"a=b %", "c=d %\r\n"}}},
		{UserProperties: []UserProperty{{"", ""}}},
	} {
		one.Topic, one.QoS = "one", 1
		messages = append(messages, &one)
	}
	for _, m := range messages {
		if err := nc.PublishMsg(m.Msg("acme")); err != nil {
			t.Fatal(err)
		}
		want, got := string(AppendHeader(nil, m)), next()
		if strings.Count(want, "\r\n") == 3 && want != got {
			t.Errorf("%+v: %q instead of %q", m, got, want)
		}
		wantLines, gotLines := strings.Split(want, "\r\n"), strings.Split(got, "\r\n")
		if len(want) != len(got) || wantLines[0] != gotLines[0] || properties(want) != properties(got) {
			t.Errorf("%+v: %q instead of %q", m, got, want)
		}
		slices.Sort(wantLines)
		slices.Sort(gotLines)
		if diff := cmp.Diff(wantLines, gotLines); diff != "" {
			t.Errorf("%+v: %s", m, diff)
		}
		msg, err := received.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		back, err := FromMsg("acme", msg)
		if err != nil {
			t.Fatal(err)
		}
		if len(back.Payload) == 0 {
			back.Payload = nil
		}
		if diff := cmp.Diff(m, back); diff != "" {
			t.Errorf("comes back as %s", diff)
		}
	}
	if h := New("a", nil).Header(); h != nil {
		t.Errorf("a message without anything has %v", h)
	}
}

// properties are the lines of the user properties, in their order.
func properties(block string) string {
	var kept []string
	for line := range strings.SplitSeq(block, "\r\n") {
		if strings.HasPrefix(line, HeaderUserProperty) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// A message that was stored knows when; one of another subject is none.
func TestFromJetStream(t *testing.T) {
	nc := connect(t, startServer(t))
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), natsjs.StreamConfig{Name: "S", Subjects: []string{"mqtt.>", "weir.>"}}); err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(t.Context(), "S", natsjs.ConsumerConfig{Durable: "c"})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	for _, subject := range []string{"mqtt.acme.a%20b", "mqtt.other.a", "weir.drain.S"} {
		m := nats.NewMsg(subject)
		m.Header = nats.Header{HeaderTo: {"x"}, HeaderQoS: {"7"}, "Mqtt-Unknown": {"?"}, "mqtt-dup": {"1"}}
		m.Data = []byte("y")
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got, err := c.Next(natsjs.FetchMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := FromJetStream("acme", got)
		if subject != "mqtt.acme.a%20b" {
			if refused, ok := err.(*reason.Error); !ok || refused.Reason != reason.BadSubject {
				t.Errorf("%s: %v, %v", subject, decoded, err)
			}
			continue
		}
		if err != nil || decoded.Stored.Before(before.Add(-time.Second)) || decoded.Stored.After(time.Now().Add(time.Second)) {
			t.Fatalf("%+v, %v", decoded, err)
		}
		decoded.Stored = time.Time{}
		// What is faulty or unknown is left out.
		if diff := cmp.Diff(&Message{Topic: "a b", Payload: []byte("y"), QoS: 1, To: "x"}, decoded); diff != "" {
			t.Error(diff)
		}
	}
}
