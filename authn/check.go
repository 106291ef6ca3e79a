package authn

import (
	"context"
	"sync"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

var errBusy = reason.New(reason.ConnectionLimit, "too many logins are waiting")

// check finds out by argon2id whether the password belongs to the hash, sharing the work with everyone who
// checks the same credentials now. To the zero Hash no password belongs.
func (a *Authenticator) check(ctx context.Context, id mac, d *directory, hash tenant.Hash, password []byte) (bool, error) {
	defer a.waiting.Add(-1)
	if a.waiting.Add(1) > a.maxWaiting {
		return false, errBusy
	}
	for {
		f, lead := a.flights.join(id)
		if lead {
			return a.lead(ctx, id, f, d, hash, password)
		}
		select {
		case <-f.done:
			if f.finished {
				return f.ok, nil
			}
			// Whoever did the work gave up before it began. Somebody who still waits does it.
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// lead does the work of a flight and ends the flight.
func (a *Authenticator) lead(ctx context.Context, id mac, f *flight, d *directory, hash tenant.Hash, password []byte) (bool, error) {
	defer a.flights.end(id, f)
	if a.remembered.has(id) {
		// Another flight ended between the caller's look and this one's begin.
		f.ok, f.finished = true, true
		return true, nil
	}
	if err := a.acquire(ctx); err != nil {
		return false, err
	}
	defer a.release()
	f.ok, f.finished = a.compare(d, hash, password), true
	if f.ok {
		a.remembered.add(id)
	}
	return f.ok, nil
}

// compare runs argon2id once for each set of parameters in force, until the password matches. The order is
// the same for everyone: beginning with the user's own parameters would show in the time, because a run is
// faster or slower after another one.
func (a *Authenticator) compare(d *directory, hash tenant.Hash, password []byte) bool {
	for _, p := range d.params {
		a.count(p)
		if p != hash.HashParams {
			run(p, password, dummySalt, keyBytes)
		} else if matches(hash, password) {
			return true
		}
	}
	return false
}

func (a *Authenticator) count(p tenant.HashParams) {
	a.runs.Add(1)
	a.work.Add(int64(p.Memory) * int64(p.Time))
}

// acquire takes a slot for argon2id runs.
func (a *Authenticator) acquire(ctx context.Context) error {
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *Authenticator) release() { <-a.slots }

// flight is one check in progress.
type flight struct {
	done chan struct{} // closed by flights.end
	// ok is the outcome; finished is false where the check was given up. Both are written by the leader
	// before done is closed and read by the others after.
	ok, finished bool
}

// flights are the checks in progress by credentials. There are never more than callers of check.
type flights struct {
	mu sync.Mutex
	m  map[mac]*flight // guarded by mu
}

// join returns the flight of these credentials. With lead the caller has to do the work and call end.
func (fs *flights) join(id mac) (f *flight, lead bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f, ok := fs.m[id]; ok {
		return f, false
	}
	if fs.m == nil {
		fs.m = map[mac]*flight{}
	}
	f = &flight{done: make(chan struct{})}
	fs.m[id] = f
	return f, true
}

func (fs *flights) end(id mac, f *flight) {
	fs.mu.Lock()
	delete(fs.m, id)
	fs.mu.Unlock()
	close(f.done)
}
