package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/reason"
)

// errStopping answers what comes while the store is being closed.
var errStopping = reason.New(reason.NATSUnavailable, "the bridge is stopping")

// Config says where JetStream is and how it is used. Fields without a meaning of zero are required.
type Config struct {
	// Bridge names this bridge among all that ever share the NATS system: random, [a-z0-9]+.
	Bridge string
	// Options say how to connect to the account of a tenant, "" to Weir's own: where it is, and how to log in.
	Options func(tenant string) (nats.Options, error)
	// Shared says that all tenants and Weir itself are in one account, so that one set of connections serves all.
	Shared bool
	// Shards is how many connections carry data, per account. 0: 2.
	Shards int
	// Replicas of every stream. 0: 1.
	Replicas int
	// TopicIdle is when an unused dedicated topic is removed. 0: 1 h.
	TopicIdle time.Duration
	Log       *zap.Logger
	Metrics   *Metrics
	Publisher *publisher.Metrics
	Reader    *reader.Metrics

	leaseTime      time.Duration // 0: the constant of that name
	publishTimeout time.Duration // 0: the publisher's default
	linger         time.Duration // 0: the constant of that name
}

const (
	defaultShards    = 2
	defaultTopicIdle = time.Hour
	openTimeout      = 10 * time.Second
)

// Store is one bridge's view of JetStream.
type Store struct {
	// immutable
	config  Config
	metrics *Metrics
	started time.Time
	own     *link // Weir's own account
	lease   *lease
	tenants *tenants
	keys    *keys
	ctx     context.Context // ends when Close begins
	cancel  context.CancelFunc

	deliveries atomic.Uint64 // deliver subjects given out
	wg         sync.WaitGroup

	mu     sync.Mutex
	closed bool
	logs   map[string]*opening
	terms  map[string]terms // by tenant
}

// opening is a tenant's log, or its making, for which everybody waits who needs it.
type opening struct {
	done chan struct{} // closed by the goroutine that opens
	log  *Log          // set before done is closed, as err
	err  error
}

// Open starts a bridge's use of JetStream. It does not wait for the NATS system: Ready tells whether that is there, and
// what needs it fails with nats_unavailable meanwhile. An error means that the configuration is unusable.
func Open(_ context.Context, config Config) (*Store, error) {
	if config.Shards == 0 {
		config.Shards = defaultShards
	}
	if config.Replicas == 0 {
		config.Replicas = 1
	}
	if config.TopicIdle == 0 {
		config.TopicIdle = defaultTopicIdle
	}
	if config.leaseTime == 0 {
		config.leaseTime = leaseTime
	}
	if config.linger == 0 {
		config.linger = linger
	}
	s := &Store{
		config:  config,
		metrics: config.Metrics,
		started: time.Now(),
		logs:    make(map[string]*opening),
		terms:   make(map[string]terms),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	shards := 0
	if config.Shared {
		shards = config.Shards
	}
	own, err := s.dial("", shards)
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	s.own = own
	s.lease = startLease(s)
	s.tenants = startTenants(s)
	s.keys = startKeys(s)
	return s, nil
}

// spawn runs f on a goroutine that Close waits for. It reports false where Close has begun.
func (s *Store) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// Ready returns nil when JetStream can be used, else what is missing.
func (s *Store) Ready() error {
	if !s.own.nc.IsConnected() {
		return errors.New("not connected to NATS")
	}
	for _, l := range s.open() {
		if err := l.link.ready(); err != nil {
			return err
		}
	}
	return s.lease.ready()
}

// open returns the logs that are open.
func (s *Store) open() []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	var logs []*Log
	for _, o := range s.logs {
		select {
		case <-o.done:
			if o.err == nil {
				logs = append(logs, o.log)
			}
		default:
		}
	}
	return logs
}

// Tenant returns the message log of a tenant, and makes its internal streams on first use. Errors are *reason.Error:
// nats_unavailable, storage_full.
func (s *Store) Tenant(ctx context.Context, name string) (*Log, error) {
	s.mu.Lock()
	o := s.logs[name]
	if o == nil {
		if s.closed {
			s.mu.Unlock()
			return nil, errStopping
		}
		o = &opening{done: make(chan struct{})}
		s.logs[name] = o
		s.wg.Go(func() { s.openLog(o, name) })
	}
	s.mu.Unlock()
	select {
	case <-o.done:
		return o.log, o.err
	case <-ctx.Done():
		return nil, refusal(ctx.Err(), 0)
	}
}

func (s *Store) openLog(o *opening, name string) {
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	log, err := s.newLog(ctx, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.config.Log.Warn("tenant not opened", zap.String("tenant", name), zap.Error(err))
		o.err = refusal(err, 0)
		delete(s.logs, name)
	}
	o.log = log
	close(o.done)
	if terms, ok := s.terms[name]; ok && err == nil {
		log.setTerms(terms) // they may have changed while it was opened
	}
}

// Close ends the bridge's use of JetStream: its consumers and claims are deleted and its lease ends, as long as ctx
// allows. Everything published before has its answer when it returns.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	var errs []error
	s.tenants.copy.Close()
	s.keys.copy.Close()
	s.wg.Wait()
	for _, l := range s.open() {
		errs = append(errs, l.close(ctx))
	}
	errs = append(errs, s.lease.close(ctx), s.own.close(ctx))
	return errors.Join(errs...)
}
