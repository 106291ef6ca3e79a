package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/reason"
)

// holder is a connection that owns a client identifier.
type holder struct {
	owner   Owner
	revoked chan bool
	closed  chan struct{} // closed by the test: Revoked returns
}

func newHolder(id, user string) *holder {
	h := &holder{revoked: make(chan bool, 1), closed: make(chan struct{})}
	h.owner = Owner{ClientID: id, User: user, Connections: 10, Revoked: func(taken bool) {
		h.revoked <- taken
		<-h.closed
	}}
	return h
}

// prompt lets Revoked return at once.
func (h *holder) prompt() *holder {
	close(h.closed)
	return h
}

func (h *holder) awaitRevoked(t *testing.T, taken bool) {
	t.Helper()
	select {
	case got := <-h.revoked:
		if got != taken {
			t.Errorf("revoked with taken %v, want %v", got, taken)
		}
	case <-time.After(patience):
		t.Fatal("not revoked")
	}
}

func claim(t *testing.T, l *Log, h *holder) *Claim {
	t.Helper()
	c, err := l.Claim(ctxOf(t), h.owner)
	if err != nil {
		t.Fatalf("claim %s: %v", h.owner.ClientID, err)
	}
	return c
}

func wantReason(t *testing.T, err error, want reason.Reason) {
	t.Helper()
	var e *reason.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Fatalf("error %v, want %s", err, want)
	}
}

func twoBridges(t *testing.T) (a, b *Log) {
	t.Helper()
	srv := newServer(t, nil)
	return openLog(t, newStore(t, srv, nil)), openLog(t, newStore(t, srv, nil))
}

// The new owner waits until the old one has let go [MQTT-3.1.4-2 of 3.1.1, MQTT-3.1.4-3 of 5].
func TestTakeover(t *testing.T) {
	a, b := twoBridges(t)
	for _, where := range []struct {
		name     string
		old, new *Log
	}{{"one bridge", a, a}, {"another bridge", a, b}} {
		t.Run(where.name, func(t *testing.T) {
			first, second := newHolder(t.Name(), "u"), newHolder(t.Name(), "u").prompt()
			old := claim(t, where.old, first)
			claimed := make(chan *Claim, 1)
			go func() { claimed <- claim(t, where.new, second) }()
			first.awaitRevoked(t, true)
			select {
			case <-claimed:
				t.Fatal("claimed before the old owner had let go")
			default:
			}
			close(first.closed)
			c := <-claimed
			old.Release(ctxOf(t)) // is nothing now
			if e := where.new.sessions.copy.Get(c.subject); !e.Live || e.Sequence != c.sequence {
				t.Errorf("the claim is %+v", e)
			}
			c.Release(ctxOf(t))
			if e := where.new.sessions.copy.Get(c.subject); e.Live {
				t.Errorf("the claim is %+v after its release", e)
			}
		})
	}
}

func TestTakeoverWaitsTwoSecondsAtMost(t *testing.T) {
	a, b := twoBridges(t)
	first := newHolder("id", "u")
	claim(t, a, first)
	begin := time.Now()
	claim(t, b, newHolder("id", "u").prompt())
	if passed := time.Since(begin); passed < takeoverTime || passed > takeoverTime+3*time.Second {
		t.Errorf("claimed after %v", passed)
	}
	close(first.closed)
}

func TestClientIdentifierBelongsToItsUser(t *testing.T) {
	a, b := twoBridges(t)
	c := claim(t, a, newHolder("id", "one").prompt())
	settleSessions(t, b)
	_, err := b.Claim(ctxOf(t), newHolder("id", "two").owner)
	wantReason(t, err, reason.ClientIDInUse)
	c.Release(ctxOf(t))
	claim(t, b, newHolder("id", "two").prompt())
}

// Of many that come at once on two bridges exactly as many get in as the quota says, and a takeover does not count.
func TestConnectionQuotaIsExact(t *testing.T) {
	a, b := twoBridges(t)
	const quota, comers = 10, 60
	var wg sync.WaitGroup
	results := make(chan *Claim, comers)
	for i := range comers {
		wg.Go(func() {
			l := []*Log{a, b}[i%2]
			c, err := l.Claim(ctxOf(t), newHolder(fmt.Sprint(i), "u").prompt().owner)
			if err != nil {
				var e *reason.Error
				if !errors.As(err, &e) || e.Reason != reason.ConnectionQuota {
					t.Errorf("claim %d: %v", i, err)
				}
			}
			results <- c
		})
	}
	wg.Wait()
	close(results)
	var got []*Claim
	for c := range results {
		if c != nil {
			got = append(got, c)
		}
	}
	if len(got) == 0 || len(got) > quota {
		t.Fatalf("%d got in, the quota is %d", len(got), quota)
	}
	settleSessions(t, a)
	for i := len(got); i < quota; i++ {
		got = append(got, claim(t, a, newHolder(fmt.Sprintf("more %d", i), "u").prompt()))
	}
	settleSessions(t, b)
	_, err := b.Claim(ctxOf(t), newHolder("one more", "u").owner)
	wantReason(t, err, reason.ConnectionQuota)
	claim(t, b, newHolder(got[0].owner.ClientID, "u").prompt())
	for _, c := range got {
		c.Release(ctxOf(t)) // the first is nothing: it was taken over
	}
	settleSessions(t, a)
	settleSessions(t, b)
	if na, nb := a.sessions.count(), b.sessions.count(); na != 1 || nb != 1 {
		t.Errorf("%d and %d claims, want 1", na, nb)
	}
}

// A claim whose answer was lost with the connection to NATS is given back.
func TestClaimThatNobodyHasIsReleased(t *testing.T) {
	a, _ := twoBridges(t)
	subject := a.names.clientSubject("orphan")
	rec := claimRecord{Version: recordVersion, ClientID: "orphan", Bridge: a.store.config.Bridge, User: "u"}
	sequence, err := a.sessions.set(ctxOf(t), subject, rec, claimEntry{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a.sessions.check()
	if err := a.sessions.copy.Wait(ctxOf(t), sequence+1); err != nil {
		t.Fatal(err)
	}
	if e := a.sessions.copy.Get(subject); e.Live {
		t.Errorf("the claim is there: %+v", e)
	}
}

func TestCloseReleasesClaimsAndConsumers(t *testing.T) {
	srv := newServer(t, nil)
	first := newStore(t, srv, nil)
	a, b := openLog(t, first), openLog(t, newStore(t, srv, nil))
	claim(t, a, newHolder("id", "u").prompt())
	_, _ = attach(t, a, "x", "")
	if err := first.Close(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	settleSessions(t, b)
	if n := b.sessions.count(); n != 0 {
		t.Errorf("%d claims are left", n)
	}
	wantConsumers(t, b, "x", 0)
	if removed, err := b.RemoveIfUnused(ctxOf(t), "x"); err != nil || !removed {
		t.Errorf("removed %v: %v", removed, err)
	}
	select {
	case <-b.store.lease.ended(first.config.Bridge):
	case <-time.After(patience):
		t.Error("the closed bridge has a lease")
	}
}

func settleSessions(t *testing.T, l *Log) {
	t.Helper()
	if err := l.sessions.settle(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
}

func wantConsumers(t *testing.T, l *Log, topic string, want int) {
	t.Helper()
	top, err := dedicatedTopic(ctxOf(t), l, topic)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.link.js.Stream(context.Background(), top.stream())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Consumers; n != want {
		t.Errorf("%d consumers, want %d", n, want)
	}
}
