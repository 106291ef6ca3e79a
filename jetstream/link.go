package jetstream

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
)

// requestTimeout bounds one request to JetStream.
const requestTimeout = 5 * time.Second

// control is one connection for requests, followed streams and control records.
type control struct {
	nc *nats.Conn
	js natsjs.JetStream
}

// shard is one connection for data. A topic is published and read over the same one.
type shard struct {
	control
	publisher *publisher.Publisher
	pace      *reader.Pace
}

// link is the set of connections to one account.
type link struct {
	control
	shards []*shard
}

// options of every connection: it is made again for ever, and nothing is buffered while it is gone, because a buffered
// publish would be sent at a time when nobody waits for its answer any more.
func (s *Store) options(what string) []nats.Option {
	return []nats.Option{
		nats.Name(fmt.Sprintf("weir %s %s", s.config.Bridge, what)),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
	}
}

// dial connects to the account of a tenant, with so many shards for data.
func (s *Store) dial(tenant string, shards int) (*link, error) {
	l := &link{}
	var err error
	if l.control, err = s.connect(tenant, "control"); err != nil {
		return nil, err
	}
	for i := range shards {
		c, err := s.connect(tenant, fmt.Sprintf("data %d", i), nats.SkipSubjectValidation()) // they come encoded
		if err != nil {
			return nil, errors.Join(err, l.close(context.Background()))
		}
		d := shard{control: c, pace: reader.NewPace()}
		l.shards = append(l.shards, &d)
		if d.publisher, err = publisher.New(c.nc, publisher.Config{Timeout: s.config.publishTimeout, Metrics: s.config.Publisher}); err != nil {
			return nil, errors.Join(err, l.close(context.Background()))
		}
	}
	return l, nil
}

func (s *Store) connect(tenant, what string, more ...nats.Option) (control, error) {
	nc, err := s.config.Dial(tenant, append(s.options(what), more...)...)
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
func (l *link) shardOf(tenant, topic string) *shard {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tenant))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(topic))
	return l.shards[h.Sum32()%uint32(len(l.shards))]
}

// ready reports which connection is missing.
func (l *link) ready() error {
	for _, nc := range l.connections() {
		if !nc.IsConnected() {
			return fmt.Errorf("not connected to NATS: %s", nc.Opts.Name)
		}
	}
	return nil
}

func (l *link) connections() []*nats.Conn {
	all := []*nats.Conn{l.nc}
	for _, d := range l.shards {
		all = append(all, d.nc)
	}
	return all
}

// close waits until every publish has its answer, as long as ctx allows, and closes the connections. It is called once.
func (l *link) close(ctx context.Context) error {
	var errs []error
	for _, d := range l.shards {
		if d.publisher != nil {
			errs = append(errs, d.publisher.Close(ctx))
		}
	}
	for _, nc := range l.connections() {
		if nc.IsConnected() {
			_ = nc.FlushTimeout(time.Second) // of what has no answer anyway
		}
		nc.Close()
	}
	return errors.Join(errs...)
}
