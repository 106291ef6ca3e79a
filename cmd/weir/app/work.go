package app

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// patience is how often the log tells that NATS is still not there.
const patience = 10 * time.Second

// loadTenants brings the tenants into force for the first time: it waits for the store, and applies the tenants file to
// it or creates the demo tenant.
func (a *App) loadTenants(ctx context.Context) error {
	if err := a.awaitStore(ctx); err != nil {
		return err
	}
	all, err := a.store.Tenants(ctx)
	if err != nil {
		return err
	}
	switch {
	case a.file != nil:
		a.file.reload(ctx)
	case a.config.Embedded() && len(all) == 0:
		if err := a.createDemo(ctx); err != nil {
			return err
		}
	}
	if all, err = a.store.Tenants(ctx); err != nil {
		return err
	}
	if err := a.admitDemo(all); err != nil {
		return err
	}
	if err := a.directory.enforce(all); err != nil {
		return err
	}
	a.directory.opening.pass(ctx)
	close(a.known)
	return nil
}

// awaitStore waits until the tenants in the store are known here.
func (a *App) awaitStore(ctx context.Context) error {
	for {
		once, cancel := context.WithTimeout(ctx, patience)
		_, err := a.store.Tenants(once)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		a.log.Warn("waiting for NATS", zap.NamedError("missing", a.store.Ready()), zap.Error(err))
	}
}

// startWork starts what goes on in the background until Close.
func (a *App) startWork() error {
	if a.certificate != nil {
		w, err := newWatcher(a.log, a.config.TLSCert, a.config.TLSKey)
		if err != nil {
			return err
		}
		a.work.Go(func() { w.run(a.ctx, a.certificate.reload) })
	}
	if a.file != nil {
		w, err := newWatcher(a.log, a.config.TenantsFile)
		if err != nil {
			return err
		}
		a.work.Go(func() {
			select {
			case <-a.directory.known:
			case <-a.ctx.Done():
			}
			w.run(a.ctx, func() { a.file.reload(a.ctx) })
		})
	}
	a.work.Go(a.followTenants)
	a.work.Go(a.followKeys)
	return nil
}

// followTenants keeps the tenants in force that are in the store.
func (a *App) followTenants() {
	if a.directory.ready() != nil {
		if err := a.loadTenants(a.ctx); err != nil {
			if a.ctx.Err() == nil {
				a.fail(err)
			}
			return
		}
	}
	a.log.Info("ready", zap.String("mqtt", a.addresses.MQTT), zap.String("mqtts", a.addresses.MQTTS),
		zap.String("http", a.addresses.HTTP), zap.String("https", a.addresses.HTTPS), zap.String("admin", a.addresses.Admin), zap.String("nats", a.addresses.NATS))
	a.welcome()
	a.work.Go(func() { a.directory.opening.run(a.ctx) })
	if err := a.directory.follow(a.ctx); err != nil && a.ctx.Err() == nil {
		a.fail(err)
	}
}
