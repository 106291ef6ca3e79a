package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

// tenantsFile applies a tenants file to the store. It changes the tenants that came from a file, and no others.
type tenantsFile struct {
	// immutable
	path  string
	store *jetstream.Store
	auth  *authn.Authenticator
	log   *zap.Logger

	// owned by whoever calls apply: first the start, then the watcher
	seen    []byte // what was last looked at, good or bad
	applied bool   // and is in the store, if it was good
	refused string // what was last logged as wrong with it; empty where it was good
}

// readTenantsFile reads and parses a tenants file.
func readTenantsFile(path string) (data []byte, file *tenant.File, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	// One byte more than allowed tells a file that is too long from one that just fits.
	data, err = io.ReadAll(io.LimitReader(f, tenant.MaxFileBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > tenant.MaxFileBytes {
		return data, nil, fmt.Errorf("%s is longer than %d bytes", path, tenant.MaxFileBytes)
	}
	file, err = tenant.ParseFile(data)
	if err != nil {
		return data, nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, file, nil
}

// Pauses between attempts to write to the store.
const (
	minRetry = 50 * time.Millisecond
	maxRetry = time.Second
)

// reload applies the file if it has changed, and tries until it is in the store or ctx ends. A bad file is logged, and what is in
// the store stays.
func (f *tenantsFile) reload(ctx context.Context) {
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		data, file, err := readTenantsFile(f.path)
		if bytes.Equal(data, f.seen) && f.applied && data != nil {
			return
		}
		f.seen, f.applied = data, true
		if err != nil {
			if f.refused != err.Error() {
				f.refused = err.Error()
				f.log.Error("tenants file refused, the tenants in force stay", zap.Error(err))
			}
			return
		}
		f.refused = ""
		err = f.apply(ctx, file)
		if err == nil {
			f.log.Info("tenants file applied", zap.String("file", f.path), zap.Int("tenants", len(file.Tenants)))
			return
		}
		f.applied = false
		if !errors.Is(err, jetstream.ErrRevision) {
			f.log.Warn("tenants file not applied yet", zap.Error(err))
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// apply makes the store say what the file says, in one pass. Where another bridge changes the same tenants the error is
// jetstream.ErrRevision, and another pass is needed.
func (f *tenantsFile) apply(ctx context.Context, file *tenant.File) error {
	stored, err := f.store.Tenants(ctx)
	if err != nil {
		return err
	}
	// First those that go: nothing has to be computed for them, and they are to be out at once.
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		if _, ok := file.Tenants[name]; ok {
			continue
		}
		if err := f.retire(ctx, name, stored[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(file.Tenants)) {
		if err := f.put(ctx, file.Tenants[name], stored[name]); err != nil {
			return err
		}
	}
	return nil
}

// retire disables a tenant that came from a file and is in it no more, and removes the demo tenant.
func (f *tenantsFile) retire(ctx context.Context, name string, stored jetstream.StoredTenant) error {
	t, err := tenant.Decode(stored.Value)
	if err != nil {
		return nil // of a later release: not this one's to judge
	}
	switch {
	case t.Origin == tenant.OriginDemo:
		f.log.Info("demo tenant removed")
		return f.store.DeleteTenant(ctx, name, stored.Revision)
	case t.Origin == tenant.OriginFile && !t.Disabled:
		t.Disabled = true
		f.log.Info("tenant disabled: it is not in the tenants file any more", zap.String("tenant", name))
		return putTenant(ctx, f.store, t, stored.Revision)
	}
	return nil
}

// put writes a tenant of the file, where the store does not say the same already.
func (f *tenantsFile) put(ctx context.Context, entry tenant.FileTenant, stored jetstream.StoredTenant) error {
	var before tenant.Tenant
	if stored.Revision != 0 {
		var err error
		if before, err = tenant.Decode(stored.Value); err != nil {
			return fmt.Errorf("the store's record cannot be read: %w", err)
		}
		if before.Origin == tenant.OriginStore {
			f.log.Error("tenant of the tenants file left out: the store has one of this name that did not come from a file",
				zap.String("tenant", before.Name))
			return nil
		}
	}
	t, err := f.auth.Resolve(ctx, before, entry)
	if err != nil {
		return err
	}
	if stored.Revision != 0 && before.Equal(t) {
		return nil
	}
	return putTenant(ctx, f.store, t, stored.Revision)
}

// putTenant writes a tenant over the one with the given revision; 0: there is none.
func putTenant(ctx context.Context, store *jetstream.Store, t tenant.Tenant, revision uint64) error {
	record, err := t.Encode()
	if err != nil {
		return err
	}
	_, err = store.PutTenant(ctx, t.Name, record, revision)
	return err
}

// sleep waits, and returns false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
