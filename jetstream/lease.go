package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/follow"
)

const (
	// leaseTime is how long a bridge may be silent, by the clock of whoever watches it. It is renewed in 3/10 of that.
	leaseTime = 10 * time.Second
	// leaseTombstone is longer than anybody takes to follow.
	leaseTombstone = time.Minute
	// cleanUpRetry is when what failed after a dead bridge is tried again.
	cleanUpRetry = 3 * time.Second
)

// leaseState of a bridge.
type leaseState string

const (
	leaseAlive  leaseState = "alive"
	leaseEnded  leaseState = "ended"  // somebody cleans up after the bridge
	leaseClosed leaseState = "closed" // nothing is left of it
)

type leaseRecord struct {
	Version int        `json:"v"`
	State   leaseState `json:"state"`
	// By is who wrote the record: the bridge itself, or who cleans up after it.
	By string `json:"by"`
}

type leaseEntry = follow.Entry[leaseRecord]

// lease keeps this bridge's own lease and watches those of the others.
type lease struct {
	// immutable
	records[leaseRecord]
	store *Store
	time  time.Duration
	wake  chan struct{} // holds one token when the own record was changed by somebody; never closed

	// owned by run
	sequence   uint64 // of the own record; 0: none
	renewed    time.Time
	reconnects uint64 // of the connection, at that time

	mu       sync.Mutex
	held     bool
	answered time.Time     // when the lease was last renewed
	first    chan struct{} // closed by run when the lease is held for the first time
	others   map[string]*neighbour
}

// neighbour is another bridge as this one sees it.
type neighbour struct {
	entry leaseEntry
	seen  time.Time
	ended chan struct{} // closed when it is not alive any more
}

func startLease(s *Store) *lease {
	l := &lease{
		store: s, time: s.config.leaseTime, wake: make(chan struct{}, 1),
		first: make(chan struct{}), others: make(map[string]*neighbour),
	}
	l.control = s.own.control
	l.copy = follow.Start(s.own.nc, s.own.js, follow.Config[leaseRecord]{
		Stream: leaseStream,
		Ensure: func(ctx context.Context) error {
			return ensureStream(ctx, s.own.js, s.lastPerSubject(leaseStream, leasePrefix+"*", nil))
		},
		Decode: func(_ string, _ nats.Header, data []byte) (rec leaseRecord, live bool) {
			err := json.Unmarshal(data, &rec)
			return rec, err == nil && rec.State != leaseClosed
		},
		Change: l.change,
		Synced: l.restart,
		Log:    s.config.Log,
	})
	s.spawn(l.run)
	return l
}

// change runs on the copy's goroutine.
func (l *lease) change(subject string, _, after leaseEntry) {
	bridge := subject[len(leasePrefix):]
	if bridge == l.store.config.Bridge {
		if after.Value.By != bridge {
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.others[bridge]
	alive := after.Live && after.Value.State == leaseAlive
	if n != nil && !alive {
		n.end()
	}
	if !after.Live {
		delete(l.others, bridge)
		return
	}
	if n == nil || alive && n.isOver() {
		n = &neighbour{ended: make(chan struct{})}
		l.others[bridge] = n
		if !alive {
			n.end()
		}
	}
	n.entry, n.seen = after, time.Now()
}

// restart restarts all clocks: while this bridge saw nobody, or could not have been seen itself, nobody else could either.
func (l *lease) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.others {
		n.seen = time.Now()
	}
}

func (n *neighbour) isOver() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

func (n *neighbour) end() {
	if !n.isOver() {
		close(n.ended)
	}
}

// alive reports whether a bridge holds its lease, as far as this one knows.
func (l *lease) alive(bridge string) bool {
	if bridge == l.store.config.Bridge {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.others[bridge]
	return n != nil && !n.isOver()
}

// isKnown reports whether a bridge has a lease, or had one after which somebody has yet to clean up.
func (l *lease) isKnown(bridge string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bridge == l.store.config.Bridge || l.others[bridge] != nil
}

// lives is alive for a bridge of which this one has learned elsewhere, and which it need not have seen here yet: then it asks the
// leader how far the leases have come.
func (l *lease) lives(ctx context.Context, bridge string) (bool, error) {
	if !l.isKnown(bridge) {
		stream, err := l.control.js.Stream(ctx, leaseStream)
		if err != nil {
			return false, err
		}
		if err := l.copy.Wait(ctx, stream.CachedInfo().State.LastSeq); err != nil {
			return false, err
		}
	}
	return l.alive(bridge), nil
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// ended is closed when a bridge's lease has ended.
func (l *lease) ended(bridge string) <-chan struct{} {
	if bridge == l.store.config.Bridge {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.others[bridge]; n != nil {
		return n.ended
	}
	return closedChannel
}

// wait waits until the lease is held for the first time.
func (l *lease) wait(ctx context.Context) error {
	select {
	case <-l.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lease) ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held {
		return errors.New("the bridge does not hold its lease in NATS")
	}
	if silence := time.Since(l.answered); silence > l.time*6/10 {
		return fmt.Errorf("JetStream has not answered for %v", silence.Round(time.Second))
	}
	return nil
}

func (l *lease) hold(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = held
	if held {
		l.answered = time.Now()
		select {
		case <-l.first:
		default:
			close(l.first)
		}
		l.store.metrics.leaseHeld.Set(1)
		return
	}
	l.store.metrics.leaseHeld.Set(0)
}

// run renews the own lease and looks after the others until the store is closed.
func (l *lease) run() {
	tick := time.NewTicker(l.time / 10)
	defer tick.Stop()
	if l.copy.WaitSynced(l.store.ctx) != nil {
		return
	}
	l.renew()
	for {
		select {
		case <-tick.C:
			if l.sequence == 0 || time.Since(l.renewed) >= l.time*3/10 {
				l.renew()
			}
		case <-l.wake:
			l.renew()
		case <-l.store.ctx.Done():
			return
		}
		if l.sequence != 0 && len(l.silent()) > 0 {
			// Others are judged only after an own sign of life, which proves that this bridge has seen what they wrote.
			if l.renew() {
				l.watch()
			}
		}
	}
}

// renewedNow notes an own sign of life. Where it is late, or the connection is another one, the store may have been out of
// reach for everybody: all get the full time to come back.
func (l *lease) renewedNow(sequence uint64) {
	now, reconnects := time.Now(), l.control.nc.Stats().Reconnects
	if now.Sub(l.renewed) > l.time/2 || reconnects != l.reconnects {
		l.restart()
	}
	l.sequence, l.renewed, l.reconnects = sequence, now, reconnects
}

func (l *lease) ownSubject() string { return leasePrefix + l.store.config.Bridge }

// renew writes the own record, unless somebody has ended the lease: then it is taken anew when he has cleaned up. It reports
// whether the record was written.
func (l *lease) renew() bool {
	own := l.copy.Get(l.ownSubject())
	if own.Live && own.Value.State == leaseEnded {
		if l.sequence != 0 {
			l.sequence = 0
			l.hold(false)
			l.store.metrics.leaseLost.Inc()
			l.store.config.Log.Warn("lease lost", zap.String("to", own.Value.By))
		}
		if l.alive(own.Value.By) && time.Since(l.renewed) < 2*l.time {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(l.store.ctx, requestTimeout)
	defer cancel()
	sequence, err := l.set(ctx, l.ownSubject(), leaseRecord{Version: recordVersion, State: leaseAlive, By: l.store.config.Bridge}, own, 0)
	if err == nil {
		if l.sequence == 0 {
			l.store.config.Log.Info("lease taken")
			// Where it was lost before, nobody has attached this bridge to what was created meanwhile.
			for _, log := range l.store.open() {
				log.filters.restoreAll()
			}
		}
		l.renewedNow(sequence)
		l.hold(true)
		return true
	}
	// A conflict is with what the copy shows by the next tick: a write of the own whose answer was lost, or the end.
	if time.Since(l.renewed) > l.time {
		l.hold(false)
	}
	l.store.config.Log.Debug("lease not renewed", zap.Error(err))
	return false
}

// watch ends the leases of bridges that are silent, and cleans up after them, as well as after those of which somebody
// died while he did.
func (l *lease) watch() {
	for bridge, e := range l.silent() {
		ctx, cancel := context.WithTimeout(l.store.ctx, requestTimeout)
		sequence, err := l.set(ctx, leasePrefix+bridge, leaseRecord{Version: recordVersion, State: leaseEnded, By: l.store.config.Bridge}, e, 0)
		cancel()
		if err != nil {
			continue // it is alive, or another was faster
		}
		l.store.config.Log.Warn("bridge is dead", zap.String("bridge", bridge))
		l.store.spawn(func() { l.cleanUp(bridge, leaseEntry{Sequence: sequence, Live: true}) })
	}
}

// silent returns the bridges after which somebody must clean up.
func (l *lease) silent() map[string]leaseEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make(map[string]leaseEntry)
	for bridge, n := range l.others {
		over := time.Since(n.seen) >= l.time
		if n.entry.Value.State == leaseEnded {
			by := l.others[n.entry.Value.By]
			over = n.entry.Value.By != l.store.config.Bridge && over && (by == nil || by.isOver())
		}
		if over {
			found[bridge] = n.entry
		}
	}
	return found
}

// cleanUp deletes what a dead bridge has left, then its lease.
func (l *lease) cleanUp(bridge string, e leaseEntry) {
	for {
		err := l.store.cleanUpAfter(l.store.ctx, bridge)
		if err == nil {
			_, err = l.set(l.store.ctx, leasePrefix+bridge,
				leaseRecord{Version: recordVersion, State: leaseClosed, By: l.store.config.Bridge}, e, leaseTombstone)
		}
		if err == nil || conflict(err) {
			l.store.metrics.bridgesEnded.Inc()
			return
		}
		l.store.config.Log.Warn("not cleaned up after a dead bridge", zap.String("bridge", bridge), zap.Error(err))
		select {
		case <-time.After(cleanUpRetry):
		case <-l.store.ctx.Done():
			return
		}
	}
}

// close gives the lease up. Consumers and claims are gone already.
func (l *lease) close(ctx context.Context) error {
	defer l.copy.Close()
	if l.sequence == 0 || !l.control.nc.IsConnected() {
		return nil
	}
	_, err := publish(ctx, l.control, l.ownSubject(), leaseRecord{Version: recordVersion, State: leaseClosed, By: l.store.config.Bridge},
		leaseTombstone, natsjs.WithExpectLastSequencePerSubject(l.sequence))
	if conflict(err) {
		return nil
	}
	return err
}
