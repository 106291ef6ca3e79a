package load

import (
	"context"
	"fmt"
	"net"
	"time"
)

// What clients log in with. Weir and nats-server know the users, the other systems let anyone in.
const (
	user     = "bench/client"
	service  = "bench/service" // a microservice
	password = "bench"
)

// keepAlive is in seconds: longer than any silence in a run.
const keepAlive = 300

// handshakeTimeout bounds the wait for CONNACK and SUBACK.
const handshakeTimeout = 10 * time.Second

// client is an MQTT connection.
type client struct {
	conn    net.Conn
	packets *packetReader
}

// Probe connects to a server and leaves again. A nil error means that the server serves.
func Probe(ctx context.Context, addr string) error {
	c, err := connect(ctx, addr, "bench-probe")
	if err != nil {
		return err
	}
	return c.conn.Close()
}

func connect(ctx context.Context, addr, clientID string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, packets: newPacketReader(conn, parse)}
	body, err := c.request(appendConnect(nil, clientID, user, password, keepAlive), headerConnack)
	if err == nil && (len(body) != 2 || body[1] != 0) {
		err = fmt.Errorf("refused: CONNACK % x", body)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect %s: %w", clientID, err)
	}
	return c, nil
}

// subscribe subscribes at QoS 1 and accepts nothing less.
func (c *client) subscribe(topics []string) error {
	body, err := c.request(appendSubscribe(nil, 1, topics), headerSuback)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if len(body) != 2+len(topics) {
		return fmt.Errorf("subscribe: %w", errMalformed)
	}
	for i, granted := range body[2:] {
		if granted != 1 {
			return fmt.Errorf("subscribe %s: granted %#x, not QoS 1", topics[i], granted)
		}
	}
	return nil
}

// request sends a packet and waits for its answer, the next packet to come.
func (c *client) request(packet []byte, want byte) (body []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(packet); err != nil {
		return nil, err
	}
	header, body, err := c.packets.next()
	if err != nil {
		return nil, err
	}
	if header != want {
		return nil, fmt.Errorf("got packet %#x, want %#x", header, want)
	}
	return body, c.conn.SetDeadline(time.Time{})
}

func (c *client) close() { c.conn.Close() }
