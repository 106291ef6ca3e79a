package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weirmq/weir/admin"
	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge"
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/embedded"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/tunnel"
	"github.com/weirmq/weir/microservice"
	"github.com/weirmq/weir/tenant"
)

// App is one Weir. Start, then Close; or Run, which is both.
type App struct {
	// immutable
	config   Config
	log      *zap.Logger
	stdout   io.Writer
	registry *prometheus.Registry
	auth     *authn.Authenticator
	tokens   *authn.Tokens
	ctx      context.Context // of the background work; ends with Close
	cancel   context.CancelFunc
	known    chan struct{} // closed when the tenants are in force and their logs open
	failed   chan error    // holds the first failure of the background work; never closed

	// set by Start, in this order
	certificate *certificate     // nil without TLS files
	embedded    *embedded.Server // nil with an external NATS system
	store       *jetstream.Store
	hub         *fanout.Hub // of MQTT clients
	kept        *fanout.Hub // of microservices whose messages are kept
	server      *bridge.Server
	services    *microservice.Server
	web         *http.Server     // of the HTTP listeners; nil until the parts are wired
	passedOn    *tunnel.Listener // of connections that other bridges pass on
	directory   *directory
	file        *tenantsFile // nil without a tenants file
	admin       *http.Server // nil where it does not listen
	addresses   Addresses
	demo        bool // the demo tenant was there at the start; set by loadTenants

	listeners listeners
	work      sync.WaitGroup // the background work, listeners aside
}

// Addresses are where an App listens, host:port; empty where it does not.
type Addresses struct {
	MQTT, MQTTS, HTTP, HTTPS, Admin string

	NATS string // for native clients of the embedded server
}

// New returns an App that has not begun to do anything. The configuration is valid. What a newcomer is told goes to stdout.
func New(c Config, log *zap.Logger, stdout io.Writer) *App {
	a := &App{
		config:   c,
		log:      log,
		stdout:   stdout,
		registry: admin.NewRegistry(),
		auth:     authn.New(),
		tokens:   new(authn.Tokens),
		failed:   make(chan error, 1),
		known:    make(chan struct{}),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Run starts the program, waits until ctx ends or something fails that it cannot go on without, and stops it. It returns nil
// after a clean stop.
func (a *App) Run(ctx context.Context) error {
	if err := a.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it was starting
		}
		return err
	}
	var failure error
	select {
	case <-ctx.Done():
		a.log.Info("stopping")
	case failure = <-a.failed:
	}
	err := errors.Join(failure, a.Close())
	a.log.Info("stopped", zap.Error(err))
	return err
}

// Start returns when the listeners are open, which with an external NATS system is before that is reached. With an error
// everything is closed again; the error is a *ConfigError where the configuration is to blame.
func (a *App) Start(ctx context.Context) error {
	if err := a.start(ctx); err != nil {
		// The first error says why; those of the stop say nothing more.
		if stopErr := a.Close(); stopErr != nil {
			a.log.Debug("stop after a failed start", zap.Error(stopErr))
		}
		return err
	}
	return nil
}

func (a *App) start(ctx context.Context) error {
	if err := a.readFiles(); err != nil {
		return err
	}
	if err := a.openStore(ctx); err != nil {
		return err
	}
	a.wire()
	if a.config.Embedded() {
		if err := a.loadTenants(ctx); err != nil {
			return err
		}
		if err := a.loadKeys(ctx); err != nil {
			return err
		}
	}
	if err := a.listen(); err != nil {
		return err
	}
	return a.startWork()
}

// readFiles looks at what the configuration names, so that what is bad stops the start before anything is touched.
func (a *App) readFiles() (err error) {
	if a.config.TLSCert != "" {
		if a.certificate, err = loadCertificate(a.config, a.log); err != nil {
			return err
		}
	}
	if a.config.TenantsFile != "" {
		if _, _, err := readTenantsFile(a.config.TenantsFile); err != nil {
			return &ConfigError{Variable: "WEIR_TENANTS_FILE", Err: err}
		}
	}
	if a.config.Embedded() {
		if err := os.MkdirAll(a.config.DataDir, 0o700); err != nil {
			return &ConfigError{Variable: "WEIR_DATA_DIR", Err: err}
		}
		return probe("WEIR_NATS_ADDR", a.config.NATSAddr)
	}
	return nil
}

// openStore starts the embedded server, or the connections to an external NATS system, and the store.
func (a *App) openStore(ctx context.Context) error {
	config := jetstream.Config{
		Bridge:    strings.ToLower(rand.Text()[:16]),
		Replicas:  a.config.Replicas,
		TopicIdle: a.config.TopicIdle,
		Log:       a.log,
		Metrics:   jetstream.NewMetrics(a.registry),
		Publisher: publisher.NewMetrics(a.registry),
		Reader:    reader.NewMetrics(a.registry),
	}
	if a.config.Embedded() {
		server, err := embedded.Start(embedded.Config{
			DataDir:      a.config.DataDir,
			Addr:         a.config.NATSAddr,
			Sync:         embedded.Sync(a.config.Sync),
			Log:          a.log,
			Authenticate: a.authenticateNative,
		})
		if err != nil {
			return err
		}
		a.embedded = server
		config.Options = server.Options
	} else {
		config.Options = jetstream.External(a.config.NATSURL, a.config.NATSCreds)
		config.Shared = true
	}
	store, err := jetstream.Open(ctx, config)
	if err != nil {
		return err
	}
	a.store = store
	return nil
}

// authenticateNative lets native clients of the embedded server in: applications only.
func (a *App) authenticateNative(ctx context.Context, user, password string) (name string, ok bool) {
	select {
	case <-a.known:
	case <-ctx.Done():
		return "", false
	}
	p, err := a.auth.Authenticate(ctx, user, []byte(password))
	if err != nil || p.Role != tenant.RoleApplication {
		return "", false
	}
	return p.Tenant, true
}

// wire makes the parts that stand on the store.
func (a *App) wire() {
	metrics := fanout.NewMetrics(a.registry)
	a.hub = fanout.New(fanout.Config{Log: a.log, Metrics: metrics})
	a.kept = fanout.New(fanout.Config{Keep: true, Log: a.log, Metrics: metrics})
	a.server = &bridge.Server{
		Auth:    a.auth,
		Log:     a.store.Tenant,
		Hub:     a.hub,
		Logger:  a.log,
		Metrics: bridge.NewMetrics(a.registry),
	}
	a.services = &microservice.Server{
		Auth:    a.auth,
		Tokens:  a.tokens,
		Log:     a.store.Tenant,
		Hub:     a.hub,
		Kept:    a.kept,
		Ready:   a.store.Ready,
		Logger:  a.log,
		Metrics: microservice.NewMetrics(a.registry),
	}
	a.web = newWeb(a.ctx, a.services.Handler(), a.log)
	a.directory = &directory{
		store: a.store, auth: a.auth, server: a.server, services: a.services, embedded: a.embedded, opening: newOpening(a.store),
		log: a.log, known: a.known,
	}
	if a.config.TenantsFile != "" {
		a.file = &tenantsFile{path: a.config.TenantsFile, store: a.store, auth: a.auth, log: a.log}
	}
}

// Addresses returns where the App listens. It may be called after Start.
func (a *App) Addresses() Addresses { return a.addresses }

// fail ends the program with err, unless something else has failed already.
func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// How long a stop may take: connections must hear of it, and what they published must be answered; then consumers and claims
// are deleted, so that other bridges need not wait for the end of this one's lease.
const (
	drainTimeout = 15 * time.Second
	storeTimeout = 10 * time.Second
)

// Close stops what Start has started. It may be called once, and takes 25 seconds at most where NATS does not answer.
func (a *App) Close() error {
	a.listeners.stopping.Store(true)
	var errs []error
	errs = append(errs, a.drain())
	a.cancel()
	a.work.Wait()
	errs = append(errs, a.closeStore())
	if a.admin != nil {
		errs = append(errs, a.admin.Close())
	}
	a.listeners.wait()
	return errors.Join(errs...)
}

// drain ends the connections of clients, all kinds at the same time, while the store can still take what they have sent.
func (a *App) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	type server interface {
		Shutdown(ctx context.Context) error
		Close() error
	}
	var servers []server
	if a.server != nil {
		servers = append(servers, a.server, a.services, a.web)
	}
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				a.log.Warn("connections cut off", zap.Error(err))
				errs[i] = s.Close()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (a *App) closeStore() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	var errs []error
	for _, hub := range []*fanout.Hub{a.hub, a.kept} {
		if hub == nil {
			continue
		}
		if err := hub.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing the fan-out: %w", err))
		}
	}
	if a.passedOn != nil {
		a.passedOn.Shutdown()
	}
	if a.store != nil {
		if err := a.store.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing the store: %w", err))
		}
	}
	if a.embedded != nil {
		errs = append(errs, a.embedded.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
