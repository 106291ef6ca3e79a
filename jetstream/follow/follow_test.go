package follow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a server with a stream, and a copy of it.
type bed struct {
	expire bool
	t      *testing.T
	server *server.Server
	dir    string
	nc     *nats.Conn
	js     natsjs.JetStream
	copy   *Copy[string]
	synced chan struct{}

	mu      sync.Mutex
	changed map[string]string // what the changes add up to
}

func ctxOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), synced: make(chan struct{}, 100), changed: make(map[string]string)}
	b.start(-1)
	t.Cleanup(func() { b.stop() })
	var err error
	b.nc, err = nats.Connect(b.server.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.nc.Close)
	if b.js, err = natsjs.New(b.nc); err != nil {
		t.Fatal(err)
	}
	if err := b.ensure(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) start(port int) {
	b.t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: b.dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		b.t.Fatal("the server does not start")
	}
	b.server = s
}

func (b *bed) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *bed) ensure(ctx context.Context) error {
	_, err := b.js.CreateStream(ctx, natsjs.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, MaxMsgsPerSubject: 1, AllowMsgTTL: true,
	})
	return err
}

// follow starts the copy. The value "gone" is a tombstone.
func (b *bed) follow() {
	b.copy = Start(b.nc, b.js, Config[string]{
		Stream: "S",
		Ensure: b.ensure,
		Decode: func(_ string, _ nats.Header, data []byte) (string, bool) { return string(data), string(data) != "gone" },
		Change: func(subject string, before, after Entry[string]) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if before.Live && b.changed[subject] != before.Value {
				b.t.Errorf("change of %s from %q, which was %q", subject, before.Value, b.changed[subject])
			}
			delete(b.changed, subject)
			if after.Live {
				b.changed[subject] = after.Value
			}
		},
		Synced:    func() { b.synced <- struct{}{} },
		Heartbeat: 200 * time.Millisecond,
		Expire:    b.expire,
		Log:       zaptest.NewLogger(b.t, zaptest.Level(zap.InfoLevel)),
	})
	b.t.Cleanup(b.copy.Close)
	b.awaitSync()
}

func (b *bed) awaitSync() {
	b.t.Helper()
	select {
	case <-b.synced:
	case <-time.After(patience):
		b.t.Fatal("the copy does not catch up")
	}
}

func (b *bed) put(subject, value string, opts ...natsjs.PublishOpt) uint64 {
	b.t.Helper()
	ack, err := b.js.Publish(ctxOf(b.t), subject, []byte(value), opts...)
	if err != nil {
		b.t.Fatal(err)
	}
	return ack.Sequence
}

func (b *bed) wait(sequence uint64) {
	b.t.Helper()
	if err := b.copy.Wait(ctxOf(b.t), sequence); err != nil {
		b.t.Fatalf("wait for %d: %v, at %d", sequence, err, b.copy.Position())
	}
}

// want compares the copy, and what its changes add up to.
func (b *bed) want(want map[string]string) {
	b.t.Helper()
	got := make(map[string]string)
	for subject, e := range b.copy.Live() {
		got[subject] = e.Value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("copy: %s", diff)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(want, b.changed); diff != "" {
		b.t.Errorf("changes: %s", diff)
	}
}

func TestCopyFollows(t *testing.T) {
	b := newBed(t)
	b.put("s.a", "1")
	b.put("s.b", "1")
	b.put("s.c", "gone")
	b.follow()
	b.want(map[string]string{"s.a": "1", "s.b": "1"})
	b.wait(3)
	b.put("s.a", "2")
	b.put("s.b", "gone")
	last := b.put("s.d", "1")
	b.wait(last)
	b.want(map[string]string{"s.a": "2", "s.d": "1"})
	if e := b.copy.Get("s.b"); e.Live || e.Sequence != 5 {
		t.Errorf("tombstone %+v", e)
	}
	if e := b.copy.Get("s.never"); e != (Entry[string]{}) {
		t.Errorf("entry %+v", e)
	}
}

// Writers that wait for their own position see everything that was written before.
func TestOwnPosition(t *testing.T) {
	b := newBed(t)
	b.follow()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				subject, value := fmt.Sprint("s.", w), fmt.Sprint(i)
				b.wait(b.put(subject, value))
				if e := b.copy.Get(subject); e.Value != value {
					t.Errorf("%s is %q after %q was written", subject, e.Value, value)
				}
			}
		})
	}
	wg.Wait()
}

func TestConsumerDeleted(t *testing.T) {
	b := newBed(t)
	b.follow()
	b.put("s.keep", "1")
	for round := range 5 {
		b.wait(b.put("s.a", fmt.Sprint(round)))
		names := b.consumers()
		if len(names) != 1 {
			t.Fatalf("consumers %v", names)
		}
		if err := b.js.DeleteConsumer(ctxOf(t), "S", names[0]); err != nil {
			t.Fatal(err)
		}
		last := b.put("s.b", fmt.Sprint(round))
		b.awaitSync()
		b.wait(last)
		b.want(map[string]string{"s.keep": "1", "s.a": fmt.Sprint(round), "s.b": fmt.Sprint(round)})
	}
}

func (b *bed) consumers() (names []string) {
	b.t.Helper()
	s, err := b.js.Stream(ctxOf(b.t), "S")
	if err != nil {
		b.t.Fatal(err)
	}
	for name := range s.ConsumerNames(ctxOf(b.t)).Name() {
		names = append(names, name)
	}
	return names
}

// What was written, overwritten and removed while the connection was away is as it should be afterwards; the position does not
// go back.
func TestReconnect(t *testing.T) {
	b := newBed(t)
	b.follow()
	b.put("s.same", "1")
	b.put("s.over", "1")
	b.put("s.purged", "1")
	b.wait(b.put("s.gone", "1"))
	other, err := nats.Connect(b.server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	js, err := natsjs.New(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	for subject, value := range map[string]string{"s.over": "2", "s.gone": "gone", "s.new": "1"} {
		if _, err := js.Publish(ctxOf(t), subject, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := js.Stream(ctxOf(t), "S")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctxOf(t), natsjs.WithPurgeSubject("s.purged")); err != nil {
		t.Fatal(err)
	}
	b.awaitSync()
	b.wait(7)
	if b.copy.Get("s.purged").Live { // the purge came after the copy had caught up
		if err := b.nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		b.awaitSync()
	}
	b.want(map[string]string{"s.same": "1", "s.over": "2", "s.new": "1"})
}

func TestServerRestart(t *testing.T) {
	b := newBed(t)
	b.follow()
	b.wait(b.put("s.a", "1"))
	port := b.server.Addr().(*net.TCPAddr).Port
	b.stop()
	b.start(port)
	b.awaitSync()
	b.want(map[string]string{"s.a": "1"})
	b.wait(b.put("s.a", "2"))
	b.want(map[string]string{"s.a": "2"})
}

// A stream that takes the place of another starts over: nothing of the old one is left, and its lower sequences count.
func TestStreamReplaced(t *testing.T) {
	b := newBed(t)
	b.follow()
	for i := range 10 {
		b.put("s.a", fmt.Sprint(i))
	}
	b.wait(b.put("s.b", "1"))
	if err := b.js.DeleteStream(ctxOf(t), "S"); err != nil {
		t.Fatal(err)
	}
	b.awaitSync()
	b.want(map[string]string{})
	last := b.put("s.a", "new")
	if last != 1 {
		t.Fatalf("sequence %d", last)
	}
	b.wait(last)
	b.want(map[string]string{"s.a": "new"})
}

// The last messages of the stream are gone: the copy is complete nevertheless, and its position is beyond them.
func TestEndOfStreamMissing(t *testing.T) {
	b := newBed(t)
	b.put("s.a", "1")
	last := b.put("s.b", "1")
	s, err := b.js.Stream(ctxOf(t), "S")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(ctxOf(t), last); err != nil {
		t.Fatal(err)
	}
	b.follow()
	b.wait(last)
	b.want(map[string]string{"s.a": "1"})
}

// A tombstone leaves the memory when it has expired.
func TestTombstoneExpires(t *testing.T) {
	b := newBed(t)
	b.follow()
	b.wait(b.put("s.a", "gone", natsjs.WithMsgTTL(time.Second)))
	b.copy.Close()
	if e := b.copy.Get("s.a"); e.Sequence != 1 || e.Live {
		t.Fatalf("entry %+v", e)
	}
	b.copy.expire(time.Now())
	if e := b.copy.Get("s.a"); e.Sequence != 1 {
		t.Error("dropped before its time")
	}
	b.copy.expire(time.Now().Add(expireInterval + time.Second))
	if e := b.copy.Get("s.a"); e.Sequence != 0 {
		t.Errorf("entry %+v after its time", e)
	}
}

// Where entries expire, those with a TTL do, counted from when the stream stored them.
func TestEntryExpires(t *testing.T) {
	b := newBed(t)
	b.expire = true
	b.put("s.a", "for an hour", natsjs.WithMsgTTL(time.Hour))
	b.put("s.b", "for ever")
	before := time.Now()
	b.follow()
	b.wait(b.put("s.c", "for an hour", natsjs.WithMsgTTL(time.Hour)))
	b.copy.Close()
	if a, c := b.copy.Get("s.a"), b.copy.Get("s.c"); !a.Stored.Before(before) || c.Stored.Before(before) {
		t.Errorf("stored %v and %v, and the copy began %v", a.Stored, c.Stored, before)
	}
	for _, x := range []struct {
		after time.Duration
		want  int
	}{{time.Hour - patience, 3}, {time.Hour + patience, 1}} {
		b.copy.expire(before.Add(x.after))
		if n := len(b.copy.Live()); n != x.want {
			t.Errorf("%d entries after %v", n, x.after)
		}
	}
}

func TestWaitEnds(t *testing.T) {
	b := newBed(t)
	b.follow()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.copy.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	result := make(chan error, 1)
	go func() { result <- b.copy.Wait(context.Background(), 1) }()
	b.copy.Close()
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if n := len(b.copy.waiters); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
	if names := b.consumers(); len(names) != 0 {
		t.Errorf("consumers %v are left", names)
	}
}

// Through reconnects the changes add up to what the stream has.
func TestChangesAddUp(t *testing.T) {
	b := newBed(t)
	b.follow()
	want := make(map[string]string)
	var last uint64
	for i := range 500 {
		subject, value := fmt.Sprint("s.", i%17), fmt.Sprint(i)
		if i%5 == 0 {
			value = "gone"
			delete(want, subject)
		} else {
			want[subject] = value
		}
		if i%100 == 50 {
			if err := b.nc.ForceReconnect(); err != nil {
				t.Fatal(err)
			}
			b.awaitSync()
		}
		last = b.put(subject, value)
	}
	b.wait(last)
	b.want(want)
}
