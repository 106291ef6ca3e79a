package app

import (
	"context"

	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
)

// loadKeys waits for the keys that sign tokens, the first of which is made where there is none.
func (a *App) loadKeys(ctx context.Context) error {
	keys, err := a.store.Keys(ctx)
	if err != nil {
		return err
	}
	return a.tokens.SetKeys(keys)
}

// followKeys keeps the keys in force that are in the store.
func (a *App) followKeys() {
	err := a.store.WatchKeys(a.ctx, func(keys []authn.Key) {
		if err := a.tokens.SetKeys(keys); err != nil {
			a.log.Error("signing keys refused, those before stay in force", zap.Error(err))
		}
	})
	if err != nil && a.ctx.Err() == nil {
		a.fail(err)
	}
}
