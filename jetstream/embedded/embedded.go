// Package embedded is the nats-server inside the program: one NATS account for each tenant and one of Weir's own, a
// door for native clients that checks the tenants' users, and in-process connections for the bridge.
//
// The data directory belongs to one process at a time. It holds the store (jetstream), the bridge's own
// credential (bridge.secret) and the lock (weir.lock).
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

const (
	// MaxPayload is the server's limit of one message with its headers, in bytes.
	MaxPayload = 8 << 20

	// ownAccount holds what belongs to no tenant. Names of tenants have no upper case.
	ownAccount = "WEIR"

	readyTimeout = 10 * time.Second
	pingInterval = 10 * time.Second

	// maxPending is how many bytes may wait for one connection before it is cut off. A connection of the bridge carries the
	// deliveries of all topics of a tenant, and is cut off from all of them.
	maxPending = 256 << 20
)

// Sync is when the store calls fsync.
type Sync string

// SyncInterval is every two minutes, so that messages of the last two minutes can be lost when the machine crashes
// (not when the process does). SyncAlways is before every acknowledgement.
const (
	SyncInterval Sync = "interval"
	SyncAlways   Sync = "always"
)

// Config of the server.
type Config struct {
	DataDir string // made where missing
	Addr    string // host:port for native clients; "off": in-process connections only
	Sync    Sync   // empty: SyncInterval
	Log     *zap.Logger

	// Authenticate tells whose native client this is: user is what it logged in as, <tenant>/<user>. It reports
	// false for everybody who is not an application of a tenant. It is called on a goroutine of the client's own
	// connection, and ctx ends after 10 s. Nil: no native clients.
	Authenticate func(ctx context.Context, user, password string) (tenant string, ok bool)
}

// Server is a running nats-server. It is safe for concurrent use.
type Server struct {
	// immutable
	config Config
	nats   *server.Server
	secret string
	lock   *os.File
	log    *zap.Logger
	door   *door

	adding sync.Mutex // one account at a time is made

	stopping sync.Once
	stopped  chan struct{} // closed when the directory is free again
	closeErr error         // of the lock; set before stopped is closed
}

// Start takes the data directory and starts the server. Its errors are one line that names what is in the way.
func Start(config Config) (*Server, error) {
	if config.Sync == "" {
		config.Sync = SyncInterval
	}
	dir, err := filepath.Abs(config.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data directory %q: %w", config.DataDir, err)
	}
	config.DataDir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	s, err := start(config)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

func start(config Config) (*Server, error) {
	secret, err := ownSecret(config.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, secret: secret, log: config.Log.Named("nats-server"), stopped: make(chan struct{})}
	s.door = newDoor(s)
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	s.nats, err = server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("embedded nats-server: %w", err)
	}
	log := &logger{zap: s.log}
	s.nats.SetLoggerV2(log, false, false, false)
	s.nats.Start()
	if fatal := log.fatal(); fatal != "" {
		s.stop()
		return nil, fmt.Errorf("embedded nats-server: %s", fatal)
	}
	if !s.nats.ReadyForConnections(readyTimeout) {
		s.stop()
		return nil, fmt.Errorf("embedded nats-server: not ready after %v", readyTimeout)
	}
	if err := s.enable(ownAccount); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) options() (*server.Options, error) {
	limit, err := storeLimit(filepath.Join(s.config.DataDir, server.JetStreamStoreDir))
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	o := &server.Options{
		ServerName:        "weir",
		DontListen:        true,
		NoSigs:            true,
		NoLog:             true, // the logger is set by hand
		JetStream:         true,
		StoreDir:          s.config.DataDir,
		JetStreamMaxStore: limit,
		SyncAlways:        s.config.Sync == SyncAlways,
		MaxPayload:        MaxPayload,
		MaxControlLine:    4096,
		PingInterval:      pingInterval,
		MaxPending:        maxPending,
		// Every acknowledgement of a consumer has a subject of its own, so keeping what was found for a subject costs more
		// than looking again. What is published often is still kept by each connection of the server.
		NoSublistCache: true,
		// A server with an account besides the default one gives the default one no JetStream.
		Accounts:                   []*server.Account{server.NewAccount(ownAccount)},
		CustomClientAuthentication: s.door,
		JetStreamLimits: server.JSLimitOpts{
			DefaultMaxConsumers: -1,
		},
	}
	if s.config.Addr == "off" {
		return o, nil
	}
	host, port, err := net.SplitHostPort(s.config.Addr)
	if err != nil {
		return nil, fmt.Errorf("address for native NATS clients: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address for native NATS clients %q: the port is not a number up to 65535", s.config.Addr)
	}
	o.DontListen, o.Host, o.Port = false, host, int(n)
	if n == 0 {
		o.Port = server.RANDOM_PORT
	}
	if host == "" {
		o.Host = server.DEFAULT_HOST
	}
	return o, nil
}

// AddTenant makes the tenant's account and recovers its streams. It does nothing where the tenant is there already.
func (s *Server) AddTenant(tenant string) error {
	if tenant == "" || tenant == ownAccount || tenant == s.nats.GlobalAccount().Name {
		return fmt.Errorf("embedded nats-server: %q is not a tenant", tenant)
	}
	return s.enable(tenant)
}

// enable gives an account JetStream without limits of its own, and then lets its clients in.
func (s *Server) enable(name string) error {
	s.adding.Lock()
	defer s.adding.Unlock()
	if s.door.account(name) != nil {
		return nil
	}
	account, _ := s.nats.LookupOrRegisterAccount(name)
	tasks, done := workers()
	err := account.EnableJetStream(nil, tasks)
	done()
	if err != nil {
		return fmt.Errorf("embedded nats-server: JetStream for account %s: %w", name, err)
	}
	s.door.open(name, account)
	return nil
}

// Options connect to the tenant's account as the bridge, in-process; the empty tenant is Weir's own account.
func (s *Server) Options(tenant string) (nats.Options, error) {
	options := nats.GetDefaultOptions()
	if tenant != "" && s.door.account(tenant) == nil {
		return options, fmt.Errorf("embedded nats-server: no tenant %q", tenant)
	}
	options.InProcessServer = s.nats
	return options, login(tenant, s.secret)(&options)
}

// Disconnect ends the native connections of a user that was removed or changed. A client that is logging in with the old
// password at this moment is refused.
func (s *Server) Disconnect(tenant, user string) error {
	s.door.turn()
	name := tenant + "/" + user
	for {
		list, err := s.nats.Connz(&server.ConnzOptions{Username: true, User: name, Limit: 1024})
		if err != nil {
			return fmt.Errorf("embedded nats-server: connections of %s: %w", name, err)
		}
		gone := 0
		for _, c := range list.Conns {
			if s.nats.DisconnectClientByID(c.Cid) == nil {
				gone++
			}
		}
		if gone == 0 {
			return nil
		}
	}
}

// Addr is where native clients connect, nil where they cannot.
func (s *Server) Addr() net.Addr {
	if s.config.Addr == "off" {
		return nil
	}
	return s.nats.Addr()
}

// MaxFile is how many bytes all streams together may reserve and hold (max_file): three quarters of what was free on
// the disk at the start plus what the store held then.
func (s *Server) MaxFile() int64 {
	if c := s.nats.JetStreamConfig(); c != nil {
		return c.MaxStore
	}
	return 0
}

// Shutdown stops the server and gives the data directory back. When ctx ends first, the server goes on stopping in the
// background and keeps the directory until it has; Shutdown can be called again to wait for that.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping.Do(func() {
		go func() {
			defer close(s.stopped)
			s.stop()
			s.closeErr = s.lock.Close()
		}()
	})
	select {
	case <-s.stopped:
		return s.closeErr
	case <-ctx.Done():
		return fmt.Errorf("embedded nats-server: still stopping: %w", ctx.Err())
	}
}

func (s *Server) stop() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}
