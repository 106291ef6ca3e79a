package refusal

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// mortal connects with a will.
func mortal(t *testing.T, w *weirtest.Weir, v codec.Version, id, topic string, change func(*codec.Connect)) *weirtest.Client {
	t.Helper()
	c := weirtest.Dial(t, w.MQTT(), v)
	p := connect("acme/dev", id)
	p.Will = &codec.Will{Topic: topic, QoS: 1, Payload: []byte("gone")}
	if change != nil {
		change(p)
	}
	c.Send(p)
	if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
		t.Fatalf("CONNACK 0x%02X %s", ack.Code, ack.Properties.ReasonString)
	}
	return c
}

// idOf is the client identifier of a subtest's client.
func idOf(t *testing.T) string { return strings.TrimPrefix(t.Name(), "TestWill/") }

// untilEnded waits until the log says that the subtest's client has gone. Before Weir has read its DISCONNECT, another one with the same
// client identifier would take over from it.
func untilEnded(t *testing.T, w *weirtest.Weir) {
	t.Helper()
	line := fmt.Sprintf(`"msg":"disconnected","tenant":"acme","user":"dev","client_id":%q`, idOf(t))
	weirtest.Until(t, "the connection has ended", func() bool { return strings.Contains(w.Said(), line) })
}

// Every end of a connection with a will. Whether it was published is seen by what comes after the client has connected again: its
// CONNACK waits for the end of the connection before.
func TestWill(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(map[string]string{"acme": "message_bytes: 4096"})})
	t.Run("properties", func(t *testing.T) { t.Parallel(); willProperties(t, w) })
	all := []codec.Version{codec.V31, codec.V311, codec.V5}
	five := all[2:]
	for _, one := range []struct {
		what      string
		versions  []codec.Version
		connect   func(*codec.Connect)
		end       func(t *testing.T, c *weirtest.Client)
		published bool
	}{
		{"DISCONNECT", all, nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(&codec.Disconnect{})
			c.ExpectClosed()
		}, false},
		{"DISCONNECT and the connection closed", all, nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(&codec.Disconnect{})
			c.Close()
			untilEnded(t, w)
		}, false},
		{"DISCONNECT behind publishes", all, nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(publish("other/1", 1, 1, "x"), publish("other/2", 0, 0, "x"), &codec.Disconnect{})
			c.Close()
			untilEnded(t, w)
		}, false},
		{
			"DISCONNECT with a session expiry", five, func(p *codec.Connect) { p.Properties.SessionExpiry = 100 },
			func(t *testing.T, c *weirtest.Client) {
				c.Send(&codec.Disconnect{HasSessionExpiry: true, SessionExpiry: 50})
				c.ExpectClosed()
			}, false,
		},
		{
			"DISCONNECT with a session expiry of 0", five, nil,
			func(t *testing.T, c *weirtest.Client) {
				c.Send(&codec.Disconnect{HasSessionExpiry: true})
				c.ExpectClosed()
			}, false,
		},
		{"DISCONNECT that raises the session expiry from 0", five, nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(&codec.Disconnect{HasSessionExpiry: true, SessionExpiry: 50})
			ended(t, c, 0x82, reason.ProtocolError)
		}, true},
		{"DISCONNECT 0x04", five, nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(&codec.Disconnect{Code: 0x04})
			c.ExpectClosed()
		}, true},
		{"DISCONNECT 0x80", five, nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(&codec.Disconnect{Code: 0x80})
			c.ExpectClosed()
		}, true},
		{"connection closed", all, nil, func(t *testing.T, c *weirtest.Client) { c.Close() }, true},
		{"connection reset", all, nil, func(t *testing.T, c *weirtest.Client) { reset(t, c) }, true},
		{"keep alive", all, func(p *codec.Connect) { p.KeepAlive = 1 }, func(t *testing.T, c *weirtest.Client) {
			ended(t, c, 0x8D, reason.KeepAliveTimeout)
		}, true},
		{"protocol error", all, nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(connect("acme/dev", "again"))
			ended(t, c, 0x82, reason.ProtocolError)
		}, true},
		{"malformed packet", all, nil, func(t *testing.T, c *weirtest.Client) {
			c.SendBytes(framed(0x00))
			ended(t, c, 0x81, reason.MalformedPacket)
		}, true},
		{"packet too large", all, nil, func(t *testing.T, c *weirtest.Client) {
			c.SendBytes([]byte{0x30, 0x80, 0x80, 0x01})
			ended(t, c, 0x95, reason.PacketTooLarge)
		}, true},
		{"refused publish", all[:2], nil, func(t *testing.T, c *weirtest.Client) {
			c.Send(publish("$x", 1, 1, "x"))
			c.ExpectClosed()
		}, true},
		{"RETAIN", all, nil, func(t *testing.T, c *weirtest.Client) {
			p := publish("r", 1, 1, "x")
			p.Retain = true
			c.Send(p)
			ended(t, c, 0x9A, reason.RetainUnsupported)
		}, true},
		{"takeover", all, nil, nil, true},
		{
			"takeover with a delay", five, func(p *codec.Connect) {
				p.Properties.SessionExpiry, p.Will.Properties.DelayInterval = 1000, 1000
			}, nil, true, // the session does not go on
		},
		{"connection closed, with a delay", five, func(p *codec.Connect) { p.Will.Properties.DelayInterval = 1000 }, func(t *testing.T, c *weirtest.Client) { c.Close() }, true},
		{"at QoS 0", all, func(p *codec.Connect) { p.Will.QoS = 0 }, func(t *testing.T, c *weirtest.Client) { c.Close() }, true},
	} {
		for _, v := range one.versions {
			t.Run(one.what+"/"+v.String(), func(t *testing.T) {
				t.Parallel()
				topic := "will/" + t.Name()
				id := idOf(t)
				watcher := login(t, w, v, "acme/app", "w"+id)
				watcher.Subscribe(topic, 1)
				c := mortal(t, w, v, id, topic, one.connect)
				if one.end != nil {
					one.end(t, c)
				}
				next := login(t, w, v, "acme/dev", id)
				if one.end == nil {
					ended(t, c, 0x8E, reason.TakenOver)
				}
				if ack := next.Publish(topic, "marker"); ack.Code >= 0x80 {
					t.Errorf("PUBACK 0x%02X", ack.Code)
				}
				p := watcher.Message()
				if one.published {
					if string(p.Payload) != "gone" || p.Retain || p.Dup {
						t.Errorf("received %+v instead of the will", p)
					}
					p = watcher.Message()
				}
				if string(p.Payload) != "marker" {
					t.Errorf("received %q, a will published %v", p.Payload, !one.published)
				}
				ping(watcher)
			})
		}
	}
}

// A will has the properties that it was given.
func willProperties(t *testing.T, w *weirtest.Weir) {
	watcher := login(t, w, codec.V5, "acme/app", "watcher")
	watcher.Subscribe("last words", 1)
	c := mortal(t, w, codec.V5, "id", "last words", func(p *codec.Connect) {
		p.Will.Payload = []byte{0, 1, 0xFF}
		p.Will.Properties.Message = codec.MessageProperties{
			HasPayloadFormat: true, ContentType: []byte("text/plain"), ResponseTopic: []byte("answer/here"),
			CorrelationData: []byte{0, '\r', '\n', 0xFF}, HasMessageExpiry: true, MessageExpiry: 1000,
			UserProperties: []codec.UserProperty{{Name: "a=b", Value: "c%d"}, {Name: "a=b", Value: ""}},
		}
	})
	c.Close()
	p := watcher.Message()
	m := p.Properties.Message
	if !bytes.Equal(p.Payload, []byte{0, 1, 0xFF}) || string(m.ContentType) != "text/plain" || string(m.ResponseTopic) != "answer/here" ||
		!bytes.Equal(m.CorrelationData, []byte{0, '\r', '\n', 0xFF}) || !m.HasMessageExpiry || m.MessageExpiry > 1000 || m.MessageExpiry < 900 ||
		fmt.Sprint(m.UserProperties) != "[{a=b c%d} {a=b }]" {
		t.Errorf("received %q with %+v", p.Payload, m)
	}
}
