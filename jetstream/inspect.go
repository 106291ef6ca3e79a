package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// Errors of an Inspector. Others are of JetStream.
var (
	ErrUnreachable = errors.New("no NATS server answers")
	ErrLogin       = errors.New("the NATS server refuses the login")
	ErrNoTopic     = errors.New("there is no such topic")
	ErrNoTenant    = errors.New("there is no such tenant")
)

const (
	// inspectTimeout bounds one request. A server of a cluster waits for 4 s for the others before it answers.
	inspectTimeout = 10 * time.Second
	// inspectAccounts and inspectStreams are how many accounts, and streams of each, are asked at a time.
	inspectAccounts = 4
	inspectStreams  = 16
)

// InspectorConfig says where JetStream is; the fields are as in Config.
type InspectorConfig struct {
	Options func(tenant string) (nats.Options, error)
	Shared  bool
}

// Inspector shows what is stored of the tenants' topics, from outside of any bridge: it has no lease, follows nothing and decides
// nothing. It is safe for concurrent use.
type Inspector struct {
	// immutable
	config  InspectorConfig
	tenants map[string]tenant.Policies // nil for a record that cannot be read

	mu       sync.Mutex
	accounts map[string]*account // by tenant; all are that of "" where they are shared
}

// OpenInspector connects and reads the tenants as they are now. A NATS system that no Weir has used has none.
func OpenInspector(ctx context.Context, config InspectorConfig) (*Inspector, error) {
	i := &Inspector{config: config, accounts: make(map[string]*account)}
	own, err := i.account("")
	if err != nil {
		return nil, err
	}
	if i.tenants, err = own.tenants(ctx); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

// Close closes the connections.
func (i *Inspector) Close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, a := range i.accounts {
		a.nc.Close()
	}
	clear(i.accounts)
}

// account connects to the account of a tenant, unless that was done before.
func (i *Inspector) account(name string) (*account, error) {
	if i.config.Shared {
		name = ""
	}
	i.mu.Lock()
	a := i.accounts[name]
	i.mu.Unlock()
	if a != nil {
		return a, nil
	}
	a, err := dialAccount(i.config, name)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if other := i.accounts[name]; other != nil {
		a.nc.Close()
		return other, nil
	}
	i.accounts[name] = a
	return a, nil
}

// Policy returns the rule of the tenants store that the topic falls under; false where the tenant, or its record, is not known.
func (i *Inspector) Policy(name, topic string) (tenant.Policy, bool) {
	if _, p := i.tenants[name].Match(topic); p != nil {
		return *p, true
	}
	return tenant.Policy{}, false
}

// Topics returns what is stored of the topics that are asked for, ordered by tenant and topic, and how many were left out for the limit. Of a
// shared rule it is the topics that have messages. With an error it returns what could be seen nevertheless.
func (i *Inspector) Topics(ctx context.Context, q Query) (found []StoredTopic, omitted int, err error) {
	name := q.Tenant
	accounts := slices.Sorted(maps.Keys(i.tenants))
	switch {
	case i.config.Shared:
		accounts = []string{""}
	case name != "":
		if _, ok := i.tenants[name]; !ok {
			return nil, 0, ErrNoTenant
		}
		accounts = []string{name}
	}
	var (
		g    errgroup.Group
		mu   sync.Mutex
		errs []error
	)
	g.SetLimit(inspectAccounts)
	for _, account := range accounts {
		g.Go(func() error {
			topics, left, err := i.topicsOf(ctx, account, q)
			mu.Lock()
			defer mu.Unlock()
			found, omitted = append(found, topics...), omitted+left
			if err != nil {
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	if _, ok := i.tenants[name]; name != "" && !ok && len(found) == 0 && len(errs) == 0 {
		return nil, 0, ErrNoTenant
	}
	slices.SortFunc(found, func(a, b StoredTopic) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Topic, b.Topic), a.Created.Compare(b.Created))
	})
	return found, omitted, inspectErrors(errs)
}

// topicsOf is Topics for one account.
func (i *Inspector) topicsOf(ctx context.Context, account string, q Query) (found []StoredTopic, omitted int, err error) {
	a, err := i.account(account)
	if err != nil {
		return nil, 0, ofTenant(account, err)
	}
	streams, err := a.streams(ctx, "")
	errs := []error{ofTenant(account, err)}
	streams = slices.DeleteFunc(streams, func(s *natsjs.StreamInfo) bool {
		meta := s.Config.Metadata
		return q.Tenant != "" && meta[metaTenant] != q.Tenant || !isShared(s) && (meta[metaTopic] == "" || !q.wants(meta[metaTopic]))
	})
	topics := make([][]StoredTopic, len(streams))
	left := make([]int, len(streams))
	failures := make([]error, len(streams))
	var g errgroup.Group
	g.SetLimit(inspectStreams)
	for n, s := range streams {
		g.Go(func() error {
			if isShared(s) {
				topics[n], left[n], failures[n] = a.sharedTopics(ctx, s, q)
				return nil
			}
			t, err := a.topic(ctx, s)
			if failures[n] = err; t.Stream != "" { // else it was deleted since it was listed
				topics[n] = []StoredTopic{t}
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in failures
	for _, n := range left {
		omitted += n
	}
	return slices.Concat(topics...), omitted, inspectErrors(append(errs, failures...))
}

// Topic returns what is stored of one topic. The error is ErrNoTenant or ErrNoTopic where there is nothing.
func (i *Inspector) Topic(ctx context.Context, name, topic string) (StoredTopic, error) {
	if _, ok := i.tenants[name]; !ok && !i.config.Shared {
		return StoredTopic{}, ErrNoTenant
	}
	a, err := i.account(name)
	if err != nil {
		return StoredTopic{}, ofTenant(name, err)
	}
	streams, err := a.streams(ctx, message.Subject(name, topic))
	for _, s := range streams {
		meta := s.Config.Metadata
		look := func() (StoredTopic, error) { return a.topic(ctx, s) }
		switch {
		case meta[metaTenant] == name && isShared(s):
			look = func() (StoredTopic, error) { return a.sharedTopic(ctx, s, topic) }
		case meta[metaTenant] != name || meta[metaTopic] != topic:
			continue
		}
		stored, err := look()
		if err == nil && stored.Stream == "" {
			err = ErrNoTopic
		}
		return stored, err
	}
	if err == nil {
		err = ErrNoTopic
		if _, ok := i.tenants[name]; !ok {
			err = ErrNoTenant
		}
	}
	return StoredTopic{}, err
}

// Purge deletes the messages that are stored of a topic at this moment, whoever still waits for them, and returns how many they were.
// The error is ErrNoTopic where the stream has gone since t was made.
func (i *Inspector) Purge(ctx context.Context, t StoredTopic) (uint64, error) {
	a, err := i.account(t.Tenant)
	if err != nil {
		return 0, ofTenant(t.Tenant, err)
	}
	var subject string
	if t.Shared != nil {
		subject = message.Subject(t.Tenant, t.Topic)
	}
	n, err := a.purge(ctx, t.Stream, subject)
	if hasCode(err, natsjs.JSErrCodeStreamNotFound) {
		err = ErrNoTopic
	}
	return n, err
}

// ofTenant says whose account has failed, where it is a tenant's own.
func ofTenant(name string, err error) error {
	if err == nil || name == "" {
		return err
	}
	return fmt.Errorf("tenant %s: %w", name, err)
}

// inspectErrors are several errors as one line; nil where all are.
func inspectErrors(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return fmt.Errorf("%w; and %d more failures", errs[0], len(errs)-1)
}
