package jetstream

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/follow"
)

// ErrRevision is the answer to a Put or Delete whose expected revision is not the present one: somebody else has
// changed the tenant.
var ErrRevision = errors.New("the tenant was changed in the meantime")

// StoredTenant is a tenant's record in the store.
type StoredTenant struct {
	// Value is as tenant.Encode makes it. It must not be changed.
	Value    []byte
	Revision uint64
}

// tenants is the local copy of the tenants store.
type tenants struct {
	// immutable
	store   *Store
	copy    *follow.Copy[[]byte]
	changed chan struct{} // holds one token while there is something to tell; never closed
}

const (
	tenantStream = "KV_" + tenantBucket
	tenantPrefix = "$KV." + tenantBucket + "."
)

func startTenants(s *Store) *tenants {
	t := &tenants{store: s, changed: make(chan struct{}, 1)}
	t.copy = follow.Start(s.own.nc, s.own.js, follow.Config[[]byte]{
		Stream: tenantStream,
		Ensure: func(ctx context.Context) error {
			_, err := t.bucket(ctx)
			return err
		},
		Decode: func(_ string, header nats.Header, data []byte) ([]byte, bool) {
			return data, header.Get("KV-Operation") == "" && header.Get("Nats-Marker-Reason") == ""
		},
		Change: func(string, follow.Entry[[]byte], follow.Entry[[]byte]) { t.tell() },
		Synced: t.tell,
		Log:    s.config.Log,
	})
	return t
}

func (t *tenants) tell() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func (t *tenants) bucket(ctx context.Context) (natsjs.KeyValue, error) {
	config := natsjs.KeyValueConfig{
		Bucket: tenantBucket, Description: "tenants of Weir", History: 1, Storage: natsjs.FileStorage, Replicas: t.store.config.Replicas,
	}
	kv, err := t.store.own.js.CreateKeyValue(ctx, config)
	if errors.Is(err, natsjs.ErrBucketExists) {
		kv, err = t.store.own.js.KeyValue(ctx, tenantBucket)
	}
	return kv, err
}

func (t *tenants) snapshot() map[string]StoredTenant {
	all := make(map[string]StoredTenant)
	for subject, e := range t.copy.Live() {
		all[strings.TrimPrefix(subject, tenantPrefix)] = StoredTenant{Value: e.Value, Revision: e.Sequence}
	}
	return all
}

func (t *tenants) names() map[string]bool {
	names := make(map[string]bool)
	for name := range t.snapshot() {
		names[name] = true
	}
	return names
}

// Tenants returns all tenants in the store, by name, as soon as this bridge has seen them.
func (s *Store) Tenants(ctx context.Context) (map[string]StoredTenant, error) {
	if err := s.tenants.copy.WaitSynced(ctx); err != nil {
		return nil, refusal(err, 0)
	}
	return s.tenants.snapshot(), nil
}

// WatchTenants calls f with all tenants, first when they are known and then after every change, one call at a time, until ctx
// ends or the store is closed. It may be called once.
func (s *Store) WatchTenants(ctx context.Context, f func(all map[string]StoredTenant)) error {
	if err := s.tenants.copy.WaitSynced(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-s.tenants.changed:
			f(s.tenants.snapshot())
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return nil
		}
	}
}

// PutTenant writes a tenant's record, as tenant.Encode makes it, over the one with the given revision; 0: there must be none. It
// returns the new revision once this bridge follows it. The error is ErrRevision or of JetStream.
func (s *Store) PutTenant(ctx context.Context, name string, value []byte, revision uint64) (uint64, error) {
	kv, err := s.tenants.bucket(ctx)
	if err != nil {
		return 0, err
	}
	var written uint64
	if revision == 0 {
		written, err = kv.Create(ctx, name, value)
	} else {
		written, err = kv.Update(ctx, name, value, revision)
	}
	if conflict(err) {
		return 0, ErrRevision
	}
	if err != nil {
		return 0, err
	}
	return written, s.tenants.copy.Wait(ctx, written)
}

// DeleteTenant removes a tenant's record of the given revision. What the tenant has in JetStream stays.
func (s *Store) DeleteTenant(ctx context.Context, name string, revision uint64) error {
	kv, err := s.tenants.bucket(ctx)
	if err != nil {
		return err
	}
	err = kv.Delete(ctx, name, natsjs.LastRevision(revision))
	if conflict(err) {
		return ErrRevision
	}
	return err
}
