package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/wire"
)

// requestTimeout bounds one request to JetStream.
const requestTimeout = 5 * time.Second

// flushTimeout is how long a connection that is closed may take to send what is left.
const flushTimeout = time.Second

// control is one connection for requests, followed streams and control records.
type control struct {
	nc *nats.Conn
	js natsjs.JetStream
}

// shard is one connection for data. A topic is published and read over the same one.
type shard struct {
	conn      *wire.Conn
	publisher *publisher.Publisher
	pace      *reader.Pace
}

// link is the set of connections to one account.
type link struct {
	control
	shards []*shard
}

// options are those of a connection to the account of a tenant. It is made again for ever, and nothing is buffered while it is
// gone, because a buffered publish would be sent at a time when nobody waits for its answer any more.
func (s *Store) options(tenant, what string) (nats.Options, error) {
	o, err := s.config.Options(tenant)
	if err != nil {
		return o, err
	}
	o.Name = fmt.Sprintf("weir %s %s", s.config.Bridge, what)
	o.MaxReconnect = -1
	o.ReconnectBufSize = -1
	o.ReconnectWait = 250 * time.Millisecond
	o.ReconnectJitter, o.ReconnectJitterTLS = 100*time.Millisecond, 500*time.Millisecond
	o.RetryOnFailedConnect = true
	o.IgnoreAuthErrorAbort = true
	o.PingInterval = 10 * time.Second
	o.MaxPingsOut = 2
	return o, nil
}

// dial connects to the account of a tenant, with so many shards for data.
func (s *Store) dial(tenant string, shards int) (*link, error) {
	l := &link{}
	var err error
	if l.control, err = s.connect(tenant); err != nil {
		return nil, err
	}
	for i := range shards {
		o, err := s.options(tenant, fmt.Sprintf("data %d", i))
		var conn *wire.Conn
		if err == nil {
			conn, err = wire.Connect(o, s.config.Log)
		}
		if err != nil {
			return nil, errors.Join(err, l.close(context.Background()))
		}
		p := publisher.New(conn, publisher.Config{Timeout: s.config.publishTimeout, Metrics: s.config.Publisher})
		l.shards = append(l.shards, &shard{conn: conn, publisher: p, pace: reader.NewPace()})
	}
	return l, nil
}

func (s *Store) connect(tenant string) (control, error) {
	o, err := s.options(tenant, "control")
	if err != nil {
		return control{}, err
	}
	nc, err := o.Connect()
	if err != nil {
		return control{}, err
	}
	js, err := natsjs.New(nc, natsjs.WithDefaultTimeout(requestTimeout))
	if err != nil {
		nc.Close()
		return control{}, err
	}
	return control{nc: nc, js: js}, nil
}

// shardOf returns the shard of a topic, by its hash, so that the order of one topic holds.
func (l *link) shardOf(tenant, topic string) *shard { return l.shards[l.shardIndex(tenant, topic)] }

func (l *link) shardIndex(tenant, topic string) int {
	const offset, prime = 2166136261, 16777619 // of FNV-1a, as hash/fnv has it, which would allocate
	h := uint32(offset)
	for i := range len(tenant) {
		h = (h ^ uint32(tenant[i])) * prime
	}
	h *= prime // a null byte between
	for i := range len(topic) {
		h = (h ^ uint32(topic[i])) * prime
	}
	return int(h % uint32(len(l.shards)))
}

// ready reports which connection is missing.
func (l *link) ready() error {
	if !l.nc.IsConnected() {
		return fmt.Errorf("not connected to NATS: %s", l.nc.Opts.Name)
	}
	for i, d := range l.shards {
		if _, up := d.conn.State(); !up {
			return fmt.Errorf("not connected to NATS: data %d", i)
		}
	}
	return nil
}

// close waits until every publish has its answer, as long as ctx allows, and closes the connections. It is called once.
func (l *link) close(ctx context.Context) error {
	var errs []error
	for _, d := range l.shards {
		errs = append(errs, d.publisher.Close(ctx))
	}
	for _, d := range l.shards {
		flush(d.conn)
		d.conn.Close()
	}
	if l.nc.IsConnected() {
		_ = l.nc.FlushTimeout(flushTimeout) // of what has no answer anyway
	}
	l.nc.Close()
	return errors.Join(errs...)
}

// flush lets the server have what was published last, where it is there.
func flush(conn *wire.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	epoch, _ := conn.State()
	_ = conn.Flush(ctx, epoch) // of what has no answer anyway
}
