package weirtest

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
)

// Client is a Conn whose errors fail the test. It is for the test's own goroutine. It answers nothing by itself: whoever
// receives a PUBLISH with QoS 1 sends the PUBACK.
type Client struct {
	*Conn
	t testing.TB
}

// Dial connects, without CONNECT, until the end of the test.
func Dial(t testing.TB, address string, v codec.Version) *Client {
	t.Helper()
	conn, err := Open(t.Context(), address, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Client{Conn: conn, t: t}
}

// Login connects, sends a CONNECT for a clean session without keep alive and expects it to be accepted.
func Login(t testing.TB, address string, v codec.Version, clientID, user, password string) *Client {
	t.Helper()
	c := Dial(t, address, v)
	c.Send(Credentials(clientID, user, password))
	if ack := Expect[*codec.Connack](c); ack.Code != codec.Success {
		t.Fatalf("CONNACK 0x%02X %s", ack.Code, ack.Properties.ReasonString)
	}
	return c
}

// Credentials is a CONNECT for a clean session without keep alive.
func Credentials(clientID, user, password string) *codec.Connect {
	return &codec.Connect{
		CleanStart: true, ClientID: clientID,
		HasUsername: true, Username: user, HasPassword: true, Password: []byte(password),
	}
}

// Send sends packets in one write.
func (c *Client) Send(packets ...codec.Packet) {
	c.t.Helper()
	if err := c.Write(packets...); err != nil {
		c.t.Fatal(err)
	}
}

// SendBytes sends bytes as they are.
func (c *Client) SendBytes(b []byte) {
	c.t.Helper()
	if err := c.WriteBytes(b); err != nil {
		c.t.Fatal(err)
	}
}

// Next returns the next packet.
func (c *Client) Next() codec.Packet {
	c.t.Helper()
	p, err := c.Read()
	if err != nil {
		c.t.Fatalf("no packet: %v", err)
	}
	return p
}

// Expect returns the next packet, which must be of this type.
func Expect[P codec.Packet](c *Client) P {
	c.t.Helper()
	p := c.Next()
	want, ok := p.(P)
	if !ok {
		c.t.Fatalf("received %s %+v instead of %T", p.Type(), p, want)
	}
	return want
}

// ExpectClosed waits until the other side closes the connection, and fails when a packet comes before.
func (c *Client) ExpectClosed() {
	c.t.Helper()
	p, err := c.Read()
	switch {
	case err == nil:
		c.t.Fatalf("received %s %+v instead of the end of the connection", p.Type(), p)
	case !Closed(err):
		c.t.Fatalf("the connection has not been closed: %v", err)
	}
}

// ExpectSilence fails when anything comes within the time, the end of the connection included.
func (c *Client) ExpectSilence(d time.Duration) {
	c.t.Helper()
	p, err := c.ReadWithin(d)
	switch timeout, ok := errors.AsType[net.Error](err); {
	case err == nil:
		c.t.Fatalf("received %s %+v", p.Type(), p)
	case !ok || !timeout.Timeout():
		c.t.Fatalf("the connection has ended: %v", err)
	}
}

// Closed reports whether an error of reading says that the other side has closed the connection.
func Closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Subscribe sends a SUBSCRIBE for one filter and expects that this QoS is granted. Nothing else may come before.
func (c *Client) Subscribe(filter string, q codec.QoS) {
	c.t.Helper()
	c.Send(&codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: filter, QoS: q}}})
	if ack := Expect[*codec.Suback](c); ack.PacketID != 1 || len(ack.Codes) != 1 || ack.Codes[0] != codec.ReasonCode(q) {
		c.t.Fatalf("SUBACK %+v", ack)
	}
}

// Publish sends a PUBLISH with QoS 1 and returns the PUBACK. Nothing else may come before.
func (c *Client) Publish(topic, payload string) *codec.Ack {
	c.t.Helper()
	const id = 7
	c.Send(&codec.Publish{QoS: 1, PacketID: id, Topic: []byte(topic), Payload: []byte(payload)})
	ack := Expect[*codec.Ack](c)
	if ack.Kind != codec.PUBACK || ack.PacketID != id {
		c.t.Fatalf("received %+v instead of PUBACK %d", ack, id)
	}
	return ack
}

// Message returns the next packet, which must be a PUBLISH, and acknowledges it where its QoS is 1.
func (c *Client) Message() *codec.Publish {
	c.t.Helper()
	p := Expect[*codec.Publish](c)
	if p.QoS == 1 {
		c.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
	}
	return p
}
