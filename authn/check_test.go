package authn

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// occupy takes every slot, so that whoever needs argon2id waits, and returns what frees them.
func occupy(a *Authenticator) (free func()) {
	for range cap(a.slots) {
		a.slots <- struct{}{}
	}
	return func() {
		for range cap(a.slots) {
			a.release()
		}
	}
}

// outcome is what a login gave.
type outcome struct {
	p   Principal
	err error
}

// logins starts n logins with the same credentials. The channel has room for all outcomes.
func logins(ctx context.Context, a *Authenticator, n int, username, password string) <-chan outcome {
	out := make(chan outcome, n)
	for range n {
		go func() {
			p, err := a.Authenticate(ctx, username, []byte(password))
			out <- outcome{p, err}
		}()
	}
	return out
}

func TestSameCredentialsAreCheckedOnce(t *testing.T) {
	for _, test := range []struct {
		name, username, password string
		want                     reason.Reason
	}{
		{"right", "acme/bob", "s3cret", ""},
		{"wrong", "acme/bob", "wrong", reason.BadCredentials},
		{"unknown", "acme/alice", "s3cret", reason.BadCredentials},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := started(acme(map[string]tenant.User{"bob": device("s3cret")}))
				free := occupy(a)
				const n = 50
				out := logins(t.Context(), a, n, test.username, test.password)
				synctest.Wait()
				if w := a.waiting.Load(); w != n {
					t.Errorf("%d logins wait, want %d", w, n)
				}
				free()
				for range n {
					if o := <-out; reasonOf(o.err) != test.want || (o.err == nil) != (test.want == "") {
						t.Errorf("got %v, want %q", o.err, test.want)
					}
				}
				if r := a.runs.Load(); r != 1 {
					t.Errorf("%d runs, want 1", r)
				}
				if w := a.waiting.Load(); w != 0 || len(a.flights.m) != 0 || len(a.slots) != 0 {
					t.Errorf("left over: %d waiting, %d flights, %d slots", w, len(a.flights.m), len(a.slots))
				}
			})
		})
	}
}

// The one who does the work for all may give up; the others do not suffer.
func TestLeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := started(acme(map[string]tenant.User{"bob": device("s3cret")}))
		free := occupy(a)
		gone := reason.New(reason.ConnectionLost, "")
		leaderCtx, cancel := context.WithCancelCause(t.Context())
		leader := logins(leaderCtx, a, 1, "acme/bob", "s3cret")
		synctest.Wait()
		others := logins(t.Context(), a, 10, "acme/bob", "s3cret")
		synctest.Wait()
		cancel(gone)
		if o := <-leader; !errors.Is(o.err, gone) {
			t.Errorf("the leader got %v, want the cause of its context's end", o.err)
		}
		synctest.Wait()
		free()
		for range 10 {
			if o := <-others; o.err != nil {
				t.Errorf("another one got %v", o.err)
			}
		}
		if r := a.runs.Load(); r != 1 {
			t.Errorf("%d runs, want 1", r)
		}
	})
}

func TestFollowerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := started(acme(map[string]tenant.User{"bob": device("s3cret")}))
		free := occupy(a)
		leader := logins(t.Context(), a, 1, "acme/bob", "s3cret")
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		follower := logins(ctx, a, 1, "acme/bob", "s3cret")
		synctest.Wait()
		cancel()
		if o := <-follower; !errors.Is(o.err, context.Canceled) {
			t.Errorf("the follower got %v", o.err)
		}
		free()
		if o := <-leader; o.err != nil {
			t.Errorf("the leader got %v", o.err)
		}
	})
}

func TestWaitingLoginsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := started(acme(map[string]tenant.User{"bob": device("s3cret"), "alice": device("x")}))
		mustLogin(t, a, "acme/alice", "x")
		a.maxWaiting = 3
		free := occupy(a)
		out := make(chan outcome, 3)
		for i := range 3 {
			go func() {
				p, err := a.Authenticate(t.Context(), "acme/bob", fmt.Append(nil, "wrong", i))
				out <- outcome{p, err}
			}()
		}
		synctest.Wait()
		for _, username := range []string{"acme/bob", "acme/nobody", "?"} {
			if _, err := a.Authenticate(t.Context(), username, []byte("s3cret")); reasonOf(err) != reason.ConnectionLimit {
				t.Errorf("%s: got %v, want %s", username, err, reason.ConnectionLimit)
			}
		}
		// Whoever was here before does not wait.
		mustLogin(t, a, "acme/alice", "x")
		free()
		for range 3 {
			if o := <-out; reasonOf(o.err) != reason.BadCredentials {
				t.Errorf("got %v", o.err)
			}
		}
		mustLogin(t, a, "acme/bob", "s3cret")
	})
}

// A login that waits while its user is changed does not slip through.
func TestChangedWhileWaiting(t *testing.T) {
	for name, next := range map[string]map[string]tenant.User{
		"removed":  {},
		"password": {"bob": device("new")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := started(acme(map[string]tenant.User{"bob": device("s3cret")}))
				free := occupy(a)
				out := logins(t.Context(), a, 1, "acme/bob", "s3cret")
				synctest.Wait()
				a.SetTenant(acme(next))
				free()
				if o := <-out; reasonOf(o.err) != reason.BadCredentials || o.p != (Principal{}) {
					t.Errorf("got %+v, %v", o.p, o.err)
				}
			})
		})
	}
}

// A connection that authenticates about when its user is changed is found by the change, or finds out by
// itself: it registers, then checks; the change swaps, then looks through what is registered.
func TestNoConnectionSlipsThroughAChange(t *testing.T) {
	hash := hashWith(cheap, "s3cret")
	before := acme(map[string]tenant.User{"bob": {PasswordHash: hash, Role: tenant.RoleApplication}})
	after := acme(map[string]tenant.User{"bob": {PasswordHash: hash, Role: tenant.RoleDevice}})
	a := started(before)
	mustLogin(t, a, "acme/bob", "s3cret")
	for range 1000 {
		a.SetTenant(before)
		var mu sync.Mutex
		open := map[int]Principal{} // guarded by mu
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				p, err := a.Authenticate(context.Background(), "acme/bob", []byte("s3cret"))
				if err != nil {
					return // changed in the middle of the login
				}
				mu.Lock()
				open[i] = p
				mu.Unlock()
				if a.Check(p) != nil {
					mu.Lock()
					delete(open, i)
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			if !a.SetTenant(after) {
				t.Error("the change is not reported")
			}
			mu.Lock()
			defer mu.Unlock()
			for i, p := range open {
				if a.Check(p) != nil {
					delete(open, i)
				}
			}
		})
		wg.Wait()
		for _, p := range open {
			if p.Role != tenant.RoleDevice {
				t.Fatalf("a connection with the old role is still open")
			}
		}
	}
	if r := a.runs.Load(); r != 1 {
		t.Errorf("%d runs, want 1", r)
	}
}

func TestArgon2idRunsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New()
		a.SetTenants(nil)
		if n := cap(a.slots); n != runtime.GOMAXPROCS(0) {
			t.Fatalf("%d slots, GOMAXPROCS is %d", n, runtime.GOMAXPROCS(0))
		}
		free := occupy(a)
		n := 4 * cap(a.slots)
		out := make(chan error, n+1)
		for i := range n {
			go func() {
				_, err := a.Authenticate(t.Context(), fmt.Sprint("acme/", i), []byte("x"))
				out <- err
			}()
		}
		go func() {
			_, err := a.Resolve(t.Context(), tenant.Tenant{}, tenant.Demo())
			out <- err
		}()
		synctest.Wait()
		if r := a.runs.Load(); r != 0 {
			t.Errorf("%d runs without a slot", r)
		}
		free()
		for range n + 1 {
			if err := <-out; err != nil && reasonOf(err) != reason.BadCredentials {
				t.Errorf("got %v", err)
			}
		}
		if r := a.runs.Load(); r != int64(n+2) {
			t.Errorf("%d runs, want %d", r, n+2)
		}
	})
}
