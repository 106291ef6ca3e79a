package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/jetstream/follow"
)

const (
	// keyDelay is how long after it has learned of a key a bridge signs with it: longer than it takes the others to learn of it.
	keyDelay = 10 * time.Second
	// keyCheck is how often the age of the newest key is looked at, at the least: clocks are set.
	keyCheck = time.Hour
	keyRetry = 3 * time.Second
)

type keysEntry = follow.Entry[keysRecord]

// keys are the keys that sign tokens. They are one record in Weir's own account, which every bridge follows and which is replaced as
// a whole: so all bridges have the same keys in the same order, and one that is too old gets one successor. Whoever can read
// Weir's account can read them. Without its stream all tokens are worthless, and there is a new key.
type keys struct {
	// immutable
	records[keysRecord]
	store *Store
	told  chan struct{} // holds one token while there is something to tell; never closed
	look  chan struct{} // holds one token when the record has changed; never closed

	mu     sync.Mutex
	synced bool
	now    []authn.Key
	some   chan struct{} // closed when there are keys for the first time
}

func startKeys(s *Store) *keys {
	k := &keys{store: s, told: make(chan struct{}, 1), look: make(chan struct{}, 1), some: make(chan struct{})}
	k.control = s.own.control
	k.copy = follow.Start(s.own.nc, s.own.js, follow.Config[keysRecord]{
		Stream: keyStream,
		Ensure: func(ctx context.Context) error {
			// What everything else waits for comes first, because a cluster makes its streams one after the other.
			if err := s.lease.wait(ctx); err != nil {
				return err
			}
			// A bridge that is stopped right after its start waits for the stream that the server is making.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
			defer cancel()
			return ensureStream(ctx, s.own.js, s.lastPerSubject(keyStream, keySubject, nil))
		},
		Decode: func(_ string, _ nats.Header, data []byte) (keysRecord, bool) { return decodeKeys(data), true },
		Change: k.change,
		Synced: k.sync,
		Log:    s.config.Log,
	})
	s.spawn(k.run)
	return k
}

// change runs on the copy's goroutine.
func (k *keys) change(_ string, _, after keysEntry) {
	if after.Value.unreadable {
		k.store.config.Log.Error("signing keys of another version of Weir: those in force stay")
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := make(map[string]time.Time, len(k.now))
	for _, key := range k.now {
		known[key.ID] = key.SignsFrom
	}
	now := time.Now()
	k.now = make([]authn.Key, 0, len(after.Value.Keys))
	for _, r := range after.Value.Keys {
		signs, ok := known[r.ID]
		if !ok {
			// What was there before this bridge is as old as it says.
			signs = now.Add(keyDelay)
			if !k.synced && r.Created.Before(now) {
				signs = r.Created.Add(keyDelay)
			}
		}
		k.now = append(k.now, authn.Key{ID: r.ID, Secret: r.Secret, Created: r.Created, SignsFrom: signs})
	}
	if len(k.now) > 0 {
		select {
		case <-k.some:
		default:
			close(k.some)
		}
	}
	signal(k.told)
	signal(k.look)
}

func (k *keys) sync() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.synced = true
}

func (k *keys) snapshot() []authn.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// run sees to it that there is a key that is not too old until the store is closed.
func (k *keys) run() {
	if k.copy.WaitSynced(k.store.ctx) != nil {
		return
	}
	for {
		timer := time.NewTimer(k.keep())
		select {
		case <-timer.C:
		case <-k.look:
			timer.Stop()
		case <-k.store.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// keep makes a key where there is none that is young enough, and returns when to look again.
func (k *keys) keep() time.Duration {
	e := k.copy.Get(keySubject)
	if e.Value.unreadable {
		return keyCheck
	}
	if left := e.Value.left(time.Now()); left > 0 {
		return min(left, keyCheck)
	}
	next, err := e.Value.rotated(time.Now())
	if err != nil {
		k.store.config.Log.Warn("no new signing key", zap.Error(err))
		return keyCheck
	}
	ctx, cancel := context.WithTimeout(k.store.ctx, requestTimeout)
	defer cancel()
	switch _, err = k.set(ctx, keySubject, next, e, 0); {
	case err == nil:
		k.store.config.Log.Info("signing key made", zap.String("id", next.newest().ID), zap.Int("keys", len(next.Keys)))
	case conflict(err):
		// Another bridge was faster; the copy will have its key in a moment.
	default:
		k.store.config.Log.Info("no signing key made", zap.Error(err))
	}
	return keyRetry
}

// Keys returns the keys that sign tokens, the oldest first, as soon as there are some. They must not be changed. Errors are
// *reason.Error: nats_unavailable.
func (s *Store) Keys(ctx context.Context) ([]authn.Key, error) {
	select {
	case <-s.keys.some:
		return s.keys.snapshot(), nil
	case <-s.ctx.Done():
		return nil, errStopping
	case <-ctx.Done():
		return nil, refusal(ctx.Err(), 0)
	}
}

// WatchKeys calls f with the keys that sign tokens, first when there are some and then after every change, one call at a time,
// until ctx ends or the store is closed. It may be called once.
func (s *Store) WatchKeys(ctx context.Context, f func(keys []authn.Key)) error {
	for {
		select {
		case <-s.keys.told:
			f(s.keys.snapshot())
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return nil
		}
	}
}
