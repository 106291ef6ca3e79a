package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// tenant is whose streams the load goes through.
const tenant = "bench"

// subject is where Weir stores a topic of the run, which has nothing in its levels that would have to be escaped.
func subject(topic string) string {
	return "mqtt." + tenant + "." + strings.ReplaceAll(topic, "/", ".")
}

// nativeConn is a connection to NATS that is not opened again when it ends.
type nativeConn struct {
	*nats.Conn
	ended chan error // holds one error when the connection has ended, or is about to
}

func dialNATS(addr, user string) (*nativeConn, error) {
	c := &nativeConn{ended: make(chan error, 1)}
	var err error
	c.Conn, err = nats.Connect("nats://"+addr, nats.UserInfo(user, password), nats.NoReconnect(), nats.Timeout(handshakeTimeout),
		nats.ClosedHandler(func(*nats.Conn) { c.fail(errors.New("the NATS connection has ended")) }))
	return c, err
}

func (c *nativeConn) fail(err error) {
	select {
	case c.ended <- err:
	default: // it has failed before
	}
}

func (c *nativeConn) close() { c.Close() }

// streamConfig is what Weir makes of a topic by default, with the room that the bench's tenant has.
func streamConfig(topic string) natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name:         "BENCH",
		Subjects:     []string{subject(topic)},
		Retention:    natsjs.InterestPolicy,
		Discard:      natsjs.DiscardNew,
		MaxBytes:     256 << 20,
		MaxAge:       36 * time.Hour,
		MaxConsumers: 100_000,
		Storage:      natsjs.FileStorage,
		Duplicates:   100 * time.Millisecond,
		AllowMsgTTL:  true,
	}
}

// ensureStream makes Weir make the stream of a topic, or makes one where there is no Weir, and returns its name.
func ensureStream(ctx context.Context, addr, topic string) (string, error) {
	c, err := dialNATS(addr, service)
	if err != nil {
		return "", err
	}
	defer c.Close()
	answer, err := c.RequestWithContext(ctx, "weir.topic.ensure."+tenant, []byte(topic))
	if errors.Is(err, nats.ErrNoResponders) {
		return createStream(ctx, addr, topic)
	}
	if err != nil {
		return "", err
	}
	js, err := natsjs.New(c.Conn)
	if err != nil {
		return "", err
	}
	name, err := js.StreamNameBySubject(ctx, subject(topic))
	if err != nil {
		return "", fmt.Errorf("%w; Weir said %q", err, answer.Data)
	}
	return name, nil
}

func createStream(ctx context.Context, addr, topic string) (string, error) {
	c, err := dialNATS(addr, user)
	if err != nil {
		return "", err
	}
	defer c.Close()
	js, err := natsjs.New(c.Conn)
	if err != nil {
		return "", err
	}
	config := streamConfig(topic)
	_, err = js.CreateStream(ctx, config)
	return config.Name, err
}

// nativeSubscriber is a service with a durable pull consumer, with whatever nats.go has for defaults.
type nativeSubscriber struct {
	*nativeConn
	consumer natsjs.Consumer
	in       *intake
}

func subscribeNATS(ctx context.Context, cfg Config, topic string, in *intake) (_ subscriber, err error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	stream, err := ensureStream(ctx, cfg.NATSAddr, topic)
	if err != nil {
		return nil, fmt.Errorf("stream of %s: %w", topic, err)
	}
	name := service
	if cfg.From == NATS || cfg.Trusted {
		name = user
	}
	c, err := dialNATS(cfg.NATSAddr, name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	js, err := natsjs.New(c.Conn)
	if err != nil {
		return nil, err
	}
	consumer, err := js.CreateConsumer(ctx, stream, natsjs.ConsumerConfig{Durable: "bench", AckPolicy: natsjs.AckExplicitPolicy})
	if err != nil {
		return nil, fmt.Errorf("consumer of %s: %w", topic, err)
	}
	return &nativeSubscriber{c, consumer, in}, nil
}

func (s *nativeSubscriber) receive() error {
	consuming, err := s.consumer.Consume(func(m natsjs.Msg) {
		err := s.in.take(m.Data(), Now())
		if err == nil {
			err = m.Ack()
		}
		if err != nil {
			s.fail(err)
			return
		}
		s.in.settle()
	})
	if err != nil {
		return err
	}
	err = <-s.ended
	consuming.Stop()
	<-consuming.Closed()
	return err
}

// nativeLink publishes to JetStream, with many publishes on their way, as a link to MQTT does.
type nativeLink struct {
	*nativeConn
	inbox   string // and a number: where an answer comes
	answers chan *nats.Msg
	message nats.Msg // patched before each publish
	batch   int
}

// weirHeader is what Weir says of a device's message.
func weirHeader(clientID string) nats.Header {
	_, name, _ := strings.Cut(user, "/")
	return nats.Header{"Mqtt-Client-Id": {clientID}, "Mqtt-User": {name}, "Mqtt-Role": {"device"}, "Mqtt-Packet-Id": {"10000"}}
}

func linkNATS(addr, user, topic string, batch int, header nats.Header) (link, error) {
	c, err := dialNATS(addr, user)
	if err != nil {
		return nil, err
	}
	l := &nativeLink{
		nativeConn: c, inbox: c.NewInbox() + ".", batch: batch,
		message: nats.Msg{Subject: subject(topic), Header: header, Data: make([]byte, PayloadSize)},
		answers: make(chan *nats.Msg, pacedWindow), // the library drops what has no room
	}
	if _, err := c.ChanSubscribe(l.inbox+"*", l.answers); err != nil {
		c.Close()
		return nil, err
	}
	return l, nil
}

func (l *nativeLink) send(stamp time.Duration, sequence uint64, index int) error {
	reply := []byte(l.inbox)
	for range l.batch {
		payload(l.message.Data).set(stamp, sequence, index)
		sequence++
		reply = strconv.AppendUint(reply[:len(l.inbox)], sequence, 10)
		l.message.Reply = string(reply)
		if err := l.PublishMsg(&l.message); err != nil {
			return err
		}
	}
	return nil
}

// receive takes the answers of JetStream, each a PubAck or an error.
func (l *nativeLink) receive(acknowledged func(n int64)) error {
	acked := int64(0)
	for {
		select {
		case m := <-l.answers:
			if !bytes.HasPrefix(m.Data, []byte(`{"stream":`)) {
				return fmt.Errorf("publisher got %q %v, want a PubAck", m.Data, m.Header)
			}
			acked++
			if len(l.answers) == 0 {
				acknowledged(acked)
				acked = 0
			}
		case err := <-l.ended:
			return err
		}
	}
}
