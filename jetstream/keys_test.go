package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/authn"
)

// ids are what the keys are called, the oldest first.
func ids(keys []authn.Key) (all []string) {
	for _, k := range keys {
		all = append(all, k.ID)
	}
	return all
}

// awaitStreams waits until the store has made its other streams: a server that is shut down meanwhile leaves something behind.
func awaitStreams(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.Tenants(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.lease.wait(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
}

func keysOf(t *testing.T, s *Store) []authn.Key {
	t.Helper()
	awaitStreams(t, s)
	keys, err := s.Keys(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// awaitKeys waits until the store has keys that are as wanted.
func awaitKeys(t *testing.T, s *Store, wanted func([]authn.Key) bool) []authn.Key {
	t.Helper()
	awaitStreams(t, s)
	ctx, cancel := context.WithCancel(ctxOf(t))
	defer cancel()
	var found []authn.Key
	err := s.WatchKeys(ctx, func(keys []authn.Key) {
		if wanted(keys) {
			found = keys
			cancel()
		}
	})
	if found == nil {
		t.Fatalf("keys %v: %v", ids(s.keys.snapshot()), err)
	}
	return found
}

func count(n int) func([]authn.Key) bool {
	return func(keys []authn.Key) bool { return len(keys) == n }
}

// writes is how often the record was written.
func writes(t *testing.T, s *Store) uint64 {
	t.Helper()
	stream, err := s.own.js.Stream(ctxOf(t), keyStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// putKeys makes the stream and its record before there is a bridge.
func putKeys(t *testing.T, url string, record any) {
	t.Helper()
	c := Config{Options: External(url, ""), Replicas: 1}
	own, err := (&Store{config: c}).connect("")
	if err != nil {
		t.Fatal(err)
	}
	defer own.nc.Close()
	if err := ensureStream(ctxOf(t), own.js, (&Store{config: c}).lastPerSubject(keyStream, keySubject, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := publish(ctxOf(t), own, keySubject, record, 0); err != nil {
		t.Fatal(err)
	}
}

func oldKey(id string, age time.Duration) keyRecord {
	return keyRecord{ID: id, Secret: bytes.Repeat([]byte{7}, authn.MinSecretBytes), Created: time.Now().Add(-age).UTC().Round(0)}
}

// Bridges that start at the same time make one key, and have it after the last of them has gone, too.
func TestFirstKey(t *testing.T) {
	srv := newServer(t, nil)
	var stores [3]*Store
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i] = newStore(t, srv, nil) })
	}
	wg.Wait()
	first := keysOf(t, stores[0])
	if len(first) != 1 || writes(t, stores[0]) != 1 || first[0].SignsFrom.Before(time.Now()) {
		t.Errorf("%d keys after %d writes: %+v", len(first), writes(t, stores[0]), first)
	}
	if err := new(authn.Tokens).SetKeys(first); err != nil {
		t.Error(err)
	}
	for _, s := range stores {
		if diff := cmp.Diff(first[0].Secret, keysOf(t, s)[0].Secret); diff != "" {
			t.Error("two bridges have different keys")
		}
		if err := s.Close(ctxOf(t)); err != nil {
			t.Error(err)
		}
	}
	if again := keysOf(t, newStore(t, srv, nil)); !slices.Equal(ids(again), ids(first)) || !bytes.Equal(again[0].Secret, first[0].Secret) {
		t.Errorf("after a restart there are other keys: %v, not %v", ids(again), ids(first))
	}
}

// A key that is too old gets one successor, however many bridges see that it is, and stays.
func TestOldKeyIsRotated(t *testing.T) {
	srv := newServer(t, nil)
	putKeys(t, srv.ClientURL(), keysRecord{Version: recordVersion, Keys: []keyRecord{oldKey("old", keyAge+time.Minute)}})
	var stores [3]*Store
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i] = newStore(t, srv, nil) })
	}
	wg.Wait()
	var first []string
	for _, s := range stores {
		keys := awaitKeys(t, s, count(2))
		if first == nil {
			first = ids(keys)
		}
		if !slices.Equal(ids(keys), first) || first[0] != "old" {
			t.Errorf("keys %v, another bridge has %v", ids(keys), first)
		}
		if soon := time.Now().Add(keyDelay / 2); keys[0].SignsFrom.After(soon) || keys[1].SignsFrom.Before(soon) {
			t.Errorf("the old key signs from %v on, the new one from %v on", keys[0].SignsFrom, keys[1].SignsFrom)
		}
	}
	if n := writes(t, stores[0]); n != 2 {
		t.Errorf("the record was written %d times, want 2", n)
	}
}

// A bridge looks at the age again when a key arrives, not only at its start.
func TestYoungKeyStays(t *testing.T) {
	srv := newServer(t, nil)
	putKeys(t, srv.ClientURL(), keysRecord{Version: recordVersion, Keys: []keyRecord{oldKey("young", keyAge-time.Hour)}})
	s := newStore(t, srv, nil)
	keys := keysOf(t, s)
	if wait := s.keys.keep(); wait < 50*time.Minute || writes(t, s) != 1 || len(keys) != 1 || keys[0].SignsFrom.After(time.Now()) {
		t.Errorf("looks again in %v, %d writes, %+v", wait, writes(t, s), keys)
	}
}

// Keys that are made by hand at the same time are all there, on every bridge, in one order.
func TestRotateKey(t *testing.T) {
	srv := newServer(t, nil)
	rotateKeys(t, newStore(t, srv, nil), newStore(t, srv, nil), newInspector(t, srv))
}

func TestRotateKeyOnThreeReplicas(t *testing.T) {
	servers := newCluster(t)
	replicated := func(c *Config) { c.Replicas = 3 }
	a, b := newStore(t, servers[0], replicated), newStore(t, servers[1], replicated)
	for _, s := range []*Store{a, b} {
		keysOf(t, s)
	}
	rotateKeys(t, a, b, newInspector(t, servers[2]))
	for _, name := range []string{leaseStream, tenantStream, keyStream} {
		awaitReplicas(t, a.own.js, name)
	}
}

// awaitReplicas waits until every server has its replica of a stream.
func awaitReplicas(t *testing.T, js natsjs.JetStream, name string) {
	t.Helper()
	ctx := ctxOf(t)
	behind := func(p *natsjs.PeerInfo) bool { return !p.Current }
	for {
		stream, err := js.Stream(ctx, name)
		if err != nil && ctx.Err() != nil {
			t.Fatal(err)
		}
		if err != nil {
			continue
		}
		if c := stream.CachedInfo().Cluster; c != nil && len(c.Replicas) == 2 && !slices.ContainsFunc(c.Replicas, behind) {
			return
		}
	}
}

func rotateKeys(t *testing.T, a, b *Store, i *Inspector) {
	t.Helper()
	const hands = 5
	first := keysOf(t, a)[0].ID
	var wg sync.WaitGroup
	made := make([]SigningKey, hands)
	for n := range made {
		wg.Go(func() {
			var err error
			if made[n], err = i.RotateKey(ctxOf(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(made, func(x, y SigningKey) int { return x.Older - y.Older })
	want := []string{first}
	for n, key := range made {
		if want = append(want, key.ID); key.Older != n+1 || key.SignsFrom.Sub(key.Created) != keyDelay {
			t.Errorf("made %+v", key)
		}
	}
	for _, s := range []*Store{a, b} {
		if diff := cmp.Diff(want, ids(awaitKeys(t, s, count(hands+1)))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRotateKeyWithoutKeys(t *testing.T) {
	srv := newServer(t, nil)
	if _, err := newInspector(t, srv).RotateKey(ctxOf(t)); !errors.Is(err, ErrNoKeys) {
		t.Errorf("got %v", err)
	}
}

// Whoever deletes the stream makes all tokens worthless: bridges go on with another key.
func TestKeysAreDeleted(t *testing.T) {
	srv := newServer(t, nil)
	s := newStore(t, srv, nil)
	before := keysOf(t, s)
	if err := s.own.js.DeleteStream(ctxOf(t), keyStream); err != nil {
		t.Fatal(err)
	}
	after := awaitKeys(t, s, func(keys []authn.Key) bool { return len(keys) == 1 && keys[0].ID != before[0].ID })
	if bytes.Equal(before[0].Secret, after[0].Secret) {
		t.Error("the secret is the same")
	}
}

// What a later release wrote is not replaced, and what is in force stays.
func TestKeysOfAnotherVersion(t *testing.T) {
	srv := newServer(t, nil)
	s := newStore(t, srv, nil)
	before := ids(keysOf(t, s))
	record := json.RawMessage(`{"v":2,"keys":"elsewhere"}`)
	sequence, err := publish(ctxOf(t), s.own.control, keySubject, record, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.keys.copy.Wait(ctxOf(t), sequence); err != nil {
		t.Fatal(err)
	}
	if wait := s.keys.keep(); wait != keyCheck || writes(t, s) != sequence {
		t.Errorf("looks again in %v, after %d writes", wait, writes(t, s))
	}
	if diff := cmp.Diff(before, ids(s.keys.snapshot())); diff != "" {
		t.Error(diff)
	}
	if _, err := newInspector(t, srv).RotateKey(ctxOf(t)); err == nil {
		t.Error("the tool has replaced it")
	}
	// Nor does one that is new make a key of its own.
	other := newStore(t, srv, nil)
	awaitStreams(t, other)
	if err := other.keys.copy.WaitSynced(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	if other.keys.keep(); len(other.keys.snapshot()) > 0 || writes(t, s) != sequence {
		t.Errorf("keys %v after %d writes", ids(other.keys.snapshot()), writes(t, s))
	}
}

// A key stays until no token can live that it has signed: a year and a day after its successor. There is room for a bounded number.
func TestKeysRetire(t *testing.T) {
	now := time.Now()
	record := keysRecord{Version: recordVersion}
	for age := 500 * 24 * time.Hour; age > 0; age -= keyAge {
		record.Keys = append(record.Keys, oldKey(fmt.Sprint(age.Hours()/24, " days"), age))
	}
	next, err := record.rotated(now)
	if err != nil {
		t.Fatal(err)
	}
	if oldest := next.Keys[0].ID; oldest != "380 days" { // the next one is 350 days old
		t.Errorf("the oldest of %d is %s", len(next.Keys), oldest)
	}
	if len(next.Keys) != len(record.Keys)-4+1 || next.left(now) != keyAge && next.left(now) < keyAge-time.Second {
		t.Errorf("%d keys of %d, the next one in %v", len(next.Keys), len(record.Keys), next.left(now))
	}
	for len(next.Keys) < maxKeys {
		if next, err = next.rotated(now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := next.rotated(now); err == nil {
		t.Errorf("there is room for more than %d", maxKeys)
	}
	var seen []string
	for _, k := range next.Keys {
		if slices.Contains(seen, k.ID) || len(k.Secret) != authn.MinSecretBytes {
			t.Errorf("key %+v", k)
		}
		seen = append(seen, k.ID)
	}
	if data, err := json.Marshal(next); err != nil || len(data) > 64<<10 {
		t.Errorf("the largest record has %d bytes: %v", len(data), err)
	}
}

// Before NATS is there nobody knows the keys, and a store that stops says so.
func TestKeysWithoutNATS(t *testing.T) {
	srv := newServer(t, nil)
	url := srv.ClientURL()
	srv.Shutdown()
	srv.WaitForShutdown()
	s := newStoreAt(t, url, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if keys, err := s.Keys(ctx); err == nil {
		t.Errorf("keys %v", ids(keys))
	}
	if err := s.WatchKeys(ctx, func([]authn.Key) { t.Error("told of keys") }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(ctxOf(t)); err != nil {
		t.Error(err)
	}
	if _, err := s.Keys(ctxOf(t)); err == nil {
		t.Error("keys of a closed store")
	}
}

// A bridge that is stopped right after its start waits for the stream that the server is making for it: a server that goes in the
// meantime would leave goroutines behind, which the end of all tests would tell.
func TestStopRightAfterTheStart(t *testing.T) {
	for n := range 20 {
		t.Run(numbered(n), func(t *testing.T) { awaitStreams(t, newStore(t, newServer(t, nil), nil)) })
	}
}
