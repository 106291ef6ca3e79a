package jetstream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// maxCreations is how many topics of a tenant this bridge makes at a time. JetStream orders all creations of a system, and
// drops every request that waits when too many do.
const maxCreations = 4

// Log is the message log of one tenant.
type Log struct {
	// immutable
	store    *Store
	tenant   string
	names    names
	link     *link
	log      *zap.Logger
	register *register
	sessions *sessions
	filters  *filters
	// subscribers are those whose messages are kept while they are away.
	subscribers *subscribers
	rules       *rules
	adoption    *adoption
	creations   chan struct{} // slots
	relimit     chan struct{} // wakes the goroutine that brings streams to the limits; never closed
	listWork    chan struct{} // held, as a slot, by whoever brings lists of topics to the rules
	events      chan event    // to be written; never closed
	reports     atomic.Int64  // error reports whose answer is to come

	transients []*transient // by shard
	routing    atomic.Pointer[routing]

	mu          sync.Mutex
	terms       terms
	shared      map[string]*shared // by the name of the rule: those that there are, and former ones while something is on its way
	formerLists []*topicList       // of rules that have no limit of topics any more, to be closed and deleted
	listDeleted time.Time          // when this bridge last deleted a list's stream
	attachments map[attachmentKey]*attachment
	// transientReaders are those that are open.
	transientReaders map[*transientReader]struct{}
	subscriptions    []*nats.Subscription
}

// newLog opens the log of a tenant: its streams exist and its copies are complete when it returns.
func (s *Store) newLog(ctx context.Context, name string) (_ *Log, err error) {
	if !s.own.nc.IsConnected() {
		return nil, nats.ErrDisconnected
	}
	if err := s.lease.wait(ctx); err != nil {
		return nil, err
	}
	l := &Log{
		store:            s,
		tenant:           name,
		names:            namesOf(name),
		link:             s.own,
		log:              s.config.Log.With(zap.String("tenant", name)),
		creations:        make(chan struct{}, maxCreations),
		relimit:          make(chan struct{}, 1),
		listWork:         make(chan struct{}, 1),
		events:           make(chan event, maxEvents),
		shared:           make(map[string]*shared),
		attachments:      make(map[attachmentKey]*attachment),
		transientReaders: make(map[*transientReader]struct{}),
		adoption:         newAdoption(),
	}
	l.filters, l.subscribers, l.rules = newFilters(l), newSubscribers(l), newRules(l)
	if !s.config.Shared {
		if l.link, err = s.dial(name, s.config.Shards); err != nil {
			return nil, err
		}
	}
	l.transients = newTransients(l)
	l.takeTerms(s.termsOf(name))
	if err := l.ensureStreams(ctx); err != nil {
		return nil, errors.Join(err, l.disconnect(ctx))
	}
	l.register = startRegister(l)
	l.sessions = startSessions(l)
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.stop(ctx))
	}
	return l, nil
}

// ensureStreams makes the tenant's internal streams where they do not exist.
func (l *Log) ensureStreams(ctx context.Context) error {
	for _, config := range []natsjs.StreamConfig{
		l.registerStream(), l.presenceStream(l.Limits()), l.sessionStream(), l.errorStream(),
	} {
		if err := ensureStream(ctx, l.link.js, config); err != nil {
			return err
		}
	}
	return nil
}

// start waits for the copies and begins to answer others.
func (l *Log) start(ctx context.Context) error {
	if err := l.register.copy.WaitSynced(ctx); err != nil {
		return err
	}
	if err := l.sessions.copy.WaitSynced(ctx); err != nil {
		return err
	}
	if err := l.rules.start(ctx); err != nil {
		return err
	}
	if err := l.listen(); err != nil {
		return err
	}
	for _, f := range []func(){
		l.clean, l.keepLimits, l.sessions.reconcile, l.tell, l.keepFilters, l.tellCreated, l.discardConsumers, l.keepSubscribers,
		l.rules.keepUp, l.rules.keepMoving, l.rules.keepDraining,
	} {
		if !l.store.spawn(f) {
			return errStopping
		}
	}
	l.limitsChanged()
	return nil
}

// stop ends what start and newLog have begun, except for goroutines of the store.
func (l *Log) stop(ctx context.Context) error {
	l.mu.Lock()
	subscriptions := l.subscriptions
	l.subscriptions = nil
	l.mu.Unlock()
	for _, sub := range subscriptions {
		_ = sub.Unsubscribe() // fails only where the connection is closed
	}
	l.closeLists()
	l.register.copy.Close()
	l.sessions.copy.Close()
	l.sessions.wg.Wait()
	return l.disconnect(ctx)
}

func (l *Log) disconnect(ctx context.Context) error {
	if l.link == l.store.own {
		return nil
	}
	return l.link.close(ctx)
}

// close deletes this bridge's consumers and claims and ends the log.
func (l *Log) close(ctx context.Context) error {
	var errs []error
	for _, a := range l.open() {
		errs = append(errs, a.Close(ctx))
	}
	for _, r := range l.openTransient() {
		errs = append(errs, r.Close(ctx))
	}
	l.sessions.releaseAll(ctx)
	errs = append(errs, l.leaveAll(ctx), l.rules.endOf(ctx, l.store.config.Bridge), l.stop(ctx))
	return errors.Join(errs...)
}

// open returns the attachments that are open.
func (l *Log) open() []*attachment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*attachment
	for _, a := range l.attachments {
		if a.Reader != nil {
			all = append(all, a)
		}
	}
	return all
}
