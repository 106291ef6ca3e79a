package jetstream

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weirmq/weir/jetstream/follow"
)

// claimTombstone is how long the stream remembers that a client identifier was released.
const claimTombstone = time.Minute

// claimRecord says who owns a client identifier. Its generation is its sequence in the stream.
type claimRecord struct {
	Version  int    `json:"v"`
	ClientID string `json:"clientId"`
	Bridge   string `json:"bridge"`
	User     string `json:"user"`
	Released bool   `json:"released,omitempty"`
}

type claimEntry = follow.Entry[claimRecord]

// sessions is the local copy of a tenant's claims, and the claims of this bridge.
type sessions struct {
	// immutable
	records[claimRecord]
	log   *Log
	dirty chan struct{}  // wakes reconcile; never closed
	wg    sync.WaitGroup // of the Revoked calls

	mu       sync.Mutex
	live     int64             // claims of the tenant
	places   map[string]place  // by subject, of this bridge's new claims
	claims   map[string]*Claim // by client identifier
	claiming map[string]int    // how many Claim calls are under way, by client identifier
	leaving  map[leavingKey]*Claim
}

// leavingKey names a claim whose Revoked is being called.
type leavingKey struct {
	clientID string
	sequence uint64
}

// place is how many claims there were when one was written, itself included.
type place struct {
	sequence uint64
	count    int64
}

func startSessions(l *Log) *sessions {
	s := &sessions{
		log:      l,
		dirty:    make(chan struct{}, 1),
		places:   make(map[string]place),
		claims:   make(map[string]*Claim),
		claiming: make(map[string]int),
		leaving:  make(map[leavingKey]*Claim),
	}
	s.control, s.position = l.link.control, l.names.positionSubject("sessions", l.store.config.Bridge)
	s.copy = follow.Start(l.link.nc, l.link.js, follow.Config[claimRecord]{
		Stream: l.names.sessions,
		Ensure: l.ensureStreams,
		Decode: s.decode,
		Change: s.change,
		Synced: s.check,
		Log:    l.log,
	})
	return s
}

func (s *sessions) decode(subject string, _ nats.Header, data []byte) (rec claimRecord, live bool) {
	if isPosition(subject) {
		return claimRecord{}, false
	}
	if err := json.Unmarshal(data, &rec); err != nil || s.log.names.clientSubject(rec.ClientID) != subject {
		s.log.log.Warn("claim is not readable", zap.String("subject", subject), zap.Error(err))
		return claimRecord{}, false
	}
	return rec, !rec.Released
}

// change counts, and tells a connection of this bridge that it has lost its client identifier. It runs on the copy's
// goroutine.
func (s *sessions) change(subject string, before, after claimEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before.Live && before.Value.isConnection() {
		s.live--
	}
	if after.Live && after.Value.isConnection() {
		s.live++
	}
	mine := after.Live && after.Value.Bridge == s.log.store.config.Bridge
	switch {
	case mine && !before.Live && s.claiming[after.Value.ClientID] > 0:
		s.places[subject] = place{sequence: after.Sequence, count: s.live}
	case !mine:
		delete(s.places, subject)
	}
	id := after.Value.ClientID
	if id == "" {
		id = before.Value.ClientID
	}
	c := s.claims[id]
	if c != nil && (c.sequence < after.Sequence || c.sequence == before.Sequence) {
		delete(s.claims, id)
		c.revoke(after.Live)
	}
}

// check makes reconcile look.
func (s *sessions) check() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// reconcile releases claims of this bridge that no connection has: the answer to a Claim was lost, or a Release could
// not be written. It runs until the store is closed.
func (s *sessions) reconcile() {
	for {
		select {
		case <-s.dirty:
		case <-s.log.store.ctx.Done():
			return
		}
		if err := s.releaseOf(s.log.store.ctx, s.log.store.config.Bridge); err != nil {
			select {
			case <-time.After(cleanUpRetry):
				s.check()
			case <-s.log.store.ctx.Done():
				return
			}
		}
	}
}

// releaseOf releases the claims of a bridge, except for those that a connection of this one holds or is about to hold.
func (s *sessions) releaseOf(ctx context.Context, bridge string) error {
	for subject, e := range s.copy.Live() {
		if e.Value.Bridge != bridge || s.holds(e) {
			continue
		}
		if err := s.tombstone(ctx, subject, e); err != nil && !conflict(err) {
			return err
		}
	}
	return nil
}

func (s *sessions) holds(e claimEntry) bool {
	if e.Value.Bridge != s.log.store.config.Bridge {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[e.Value.ClientID]
	return s.claiming[e.Value.ClientID] > 0 || c != nil && c.sequence == e.Sequence
}

func (s *sessions) tombstone(ctx context.Context, subject string, e claimEntry) error {
	rec := e.Value
	rec.Version, rec.Released = recordVersion, true
	_, err := s.set(ctx, subject, rec, e, claimTombstone)
	return err
}

// releaseAll gives every claim of this bridge back.
func (s *sessions) releaseAll(ctx context.Context) {
	s.mu.Lock()
	clear(s.claims)
	s.mu.Unlock()
	if err := s.releaseOf(ctx, s.log.store.config.Bridge); err != nil {
		s.log.log.Warn("claims not released", zap.Error(err))
	}
}
