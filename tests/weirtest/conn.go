package weirtest

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/weirmq/weir/codec"
)

// maxPacket is the largest packet that a Conn takes.
const maxPacket = 16 << 20

// Conn is an MQTT connection without a test: errors are returned. One goroutine reads, any write.
type Conn struct {
	Version codec.Version
	Net     net.Conn
	reader  *codec.Reader
	writing sync.Mutex
}

// Open connects, without CONNECT.
func Open(ctx context.Context, address string, v codec.Version) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Conn{Version: v, Net: conn, reader: codec.NewReader(conn, maxPacket)}, nil
}

// Write sends packets together. It gives up after Patience.
func (c *Conn) Write(packets ...codec.Packet) error {
	var b []byte
	for _, p := range packets {
		var err error
		if b, err = p.Append(b, c.Version); err != nil {
			return err
		}
	}
	return c.WriteBytes(b)
}

// WriteBytes sends bytes as they are.
func (c *Conn) WriteBytes(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Net.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := c.Net.Write(b)
	return err
}

// Read returns the next packet, which is the caller's. It waits for it up to Patience.
func (c *Conn) Read() (codec.Packet, error) { return c.ReadWithin(Patience) }

// ReadWithin is Read with a patience of its own.
func (c *Conn) ReadWithin(patience time.Duration) (codec.Packet, error) {
	if err := c.Net.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	h, body, err := c.reader.Next()
	if err != nil {
		return nil, err
	}
	return codec.Decode(h, slices.Clone(body), c.Version)
}

// Close closes the network connection without DISCONNECT.
func (c *Conn) Close() error { return c.Net.Close() }
