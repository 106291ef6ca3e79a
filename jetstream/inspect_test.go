package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

func newInspector(t *testing.T, srv *server.Server) *Inspector {
	t.Helper()
	i, err := OpenInspector(ctxOf(t), InspectorConfig{Options: External(srv.ClientURL(), ""), Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// putTenant stores a tenant's record, users aside.
func putTenant(t *testing.T, s *Store, name string, quotas tenant.Quotas, rules ...tenant.Rule) {
	t.Helper()
	data, err := tenant.Tenant{Name: name, Origin: tenant.OriginStore, Quotas: quotas, Rules: rules}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutTenant(ctxOf(t), name, data, 0); err != nil {
		t.Fatal(err)
	}
}

// Who receives a topic, how far behind each is, and for whom the oldest message is kept.
func TestInspectConsumers(t *testing.T) {
	srv := newServer(t, nil)
	store := newStore(t, srv, nil)
	putTenant(t, store, "acme", tenant.Quotas{}, tenant.Rule{Filter: "sensors/#", Stream: tenant.StreamDedicated, BacklogMessages: 7})
	l := openLog(t, store)
	bridge := store.config.Bridge
	shared, sharedReader := attach(t, l, "sensors/one", "")
	defer closeReader(t, sharedReader)
	mustStore(t, l, "sensors/one", "first")
	sharedReader.Ack(shared.next(t))
	stream := l.register.find("sensors/one").stream()
	slow, slowReader := attach(t, l, "sensors/one", "12")
	defer closeReader(t, slowReader)
	js := l.link.js
	durable, err := js.CreateConsumer(ctxOf(t), stream, natsjs.ConsumerConfig{Durable: "averages", DeliverPolicy: natsjs.DeliverNewPolicy})
	if err != nil {
		t.Fatal(err)
	}
	ephemeral, err := js.CreateConsumer(ctxOf(t), stream, natsjs.ConsumerConfig{DeliverPolicy: natsjs.DeliverNewPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		mustStore(t, l, "sensors/one", numbered(n))
	}
	for range 3 {
		sharedReader.Ack(shared.next(t))
		slow.next(t)
	}
	batch, err := durable.FetchNoWait(2)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
	}

	i := newInspector(t, srv)
	have, err := i.Topic(ctxOf(t), "acme", "sensors/one")
	for err == nil && have.Consumers[len(have.Consumers)-1].Lag > 0 {
		have, err = i.Topic(ctxOf(t), "acme", "sensors/one") // acknowledgements are collected for a moment
	}
	if err != nil {
		t.Fatal(err)
	}
	byLag := []StoredConsumer{
		{Name: consumerName(bridge, "12"), Kind: BridgeOwn, Bridge: bridge, Unacknowledged: 3, Lag: 3, HoldsOldest: true},
		{Name: ephemeral.CachedInfo().Name, Kind: NativeEphemeral, Pending: 3, Lag: 3, HoldsOldest: true},
		{Name: "averages", Kind: NativeDurable, Pending: 1, Lag: 1},
		{Name: consumerName(bridge, ""), Kind: BridgeShared, Bridge: bridge},
	}
	if have.Consumers[0].Kind != BridgeOwn {
		byLag[0], byLag[1] = byLag[1], byLag[0] // as many: by name
	}
	want := StoredTopic{
		Tenant: "acme", Topic: "sensors/one", Stream: stream, Kind: tenant.StreamDedicated, Replicas: 1, Messages: 3,
		Limits: StoredLimits{
			WhenFull: tenant.WhenFullReject, Keep: tenant.KeepUntilConsumed,
			BacklogBytes: 25 << 20, BacklogMessages: tenant.Unlimited, TTL: 36 * time.Hour,
		},
		Consumers: byLag,
	}
	ignored := cmpopts.IgnoreFields(StoredTopic{}, "Created", "Bytes", "Oldest")
	if diff := cmp.Diff(want, have, ignored, cmpopts.IgnoreFields(StoredConsumer{}, "Active")); diff != "" {
		t.Error(diff)
	}
	if lag, exact := have.Lag(); lag != 3 || !exact || have.Bytes == 0 || time.Since(have.Oldest) > time.Minute || time.Since(have.Created) > time.Minute {
		t.Errorf("%+v with lag %d", have, lag)
	}
	for _, c := range have.Consumers {
		if quiet := c.Kind == NativeEphemeral; c.Active.IsZero() != quiet {
			t.Errorf("%s active %v", c.Name, c.Active)
		}
	}
	if p, ok := i.Policy("acme", "sensors/one"); !ok || p.Filter != "sensors/#" || p.BacklogMessages != 7 {
		t.Errorf("policy %+v %v", p, ok)
	}
}

// A consumer that replaced another of the same reader is the same to an operator.
func TestInspectConsumerKinds(t *testing.T) {
	for _, x := range []struct {
		name, deliver string
		kind          ConsumerKind
		bridge        string
	}{
		{"b_one", deliverPrefix + "one.1", BridgeShared, "one"},
		{"b_one_r2", deliverPrefix + "one.1", BridgeShared, "one"},
		{"b_one_7", deliverPrefix + "one.3", BridgeOwn, "one"},
		{"b_one_7_r1", deliverPrefix + "one.3", BridgeOwn, "one"},
		{"b_one", "elsewhere", NativeDurable, ""},
		{"averages", deliverPrefix + "one.3", NativeDurable, ""},
	} {
		info := &natsjs.ConsumerInfo{Name: x.name, Config: natsjs.ConsumerConfig{Durable: x.name, DeliverSubject: x.deliver}}
		if c := storedConsumer(info, &natsjs.StreamInfo{}); c.Kind != x.kind || c.Bridge != x.bridge {
			t.Errorf("%s at %s: %+v", x.name, x.deliver, c)
		}
	}
}

// More streams than one answer holds, of tenants that share an account, among streams that are no topic's.
func TestInspectTopics(t *testing.T) {
	const topics = 300
	srv := newServer(t, nil)
	store := newStore(t, srv, nil)
	putTenant(t, store, "acme", tenant.Quotas{})
	putTenant(t, store, "empty", tenant.Quotas{})
	l := openLog(t, store)
	for n := range topics {
		for _, name := range []string{"acme", "left"} {
			topic := fmt.Sprintf("t/%03d", n)
			config := l.dedicatedStream(topic, 1, l.policyOf(topic))
			config.Name = naming.Stream(name, config.Metadata[metaTopic], 1)
			config.Subjects = []string{message.Subject(name, config.Metadata[metaTopic])}
			config.Metadata[metaTenant] = name
			config.MaxBytes = -1
			if _, err := l.link.js.CreateStream(ctxOf(t), config); err != nil {
				t.Fatal(err)
			}
		}
	}
	i := newInspector(t, srv)
	for _, x := range []struct {
		tenant, filter string
		found          int
		err            error
	}{
		{tenant: "", found: 2 * topics},
		{tenant: "acme", found: topics},
		{tenant: "left", found: topics}, // the tenant has gone, its data has not
		{tenant: "acme", filter: "t/100", found: 1},
		{tenant: "acme", filter: "+/007", found: 1},
		{tenant: "empty"},
		{tenant: "nobody", err: ErrNoTenant},
	} {
		found, _, err := i.Topics(ctxOf(t), Query{Tenant: x.tenant, Filter: x.filter, Limit: 1})
		if len(found) != x.found || !errors.Is(err, x.err) {
			t.Errorf("%q: %d topics, %v", x.tenant, len(found), err)
		}
		if !slices.IsSortedFunc(found, func(a, b StoredTopic) int { return strings.Compare(a.Tenant+" "+a.Topic, b.Tenant+" "+b.Topic) }) {
			t.Errorf("%q: not in order", x.tenant)
		}
	}
	if _, ok := i.Policy("left", "t/000"); ok {
		t.Error("a tenant that has gone has rules")
	}
	for name, want := range map[string]error{"acme": ErrNoTopic, "nobody": ErrNoTenant} {
		if _, err := i.Topic(ctxOf(t), name, "x"); !errors.Is(err, want) {
			t.Errorf("a topic of %s: %v", name, err)
		}
	}
}

func TestInspectorPurges(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	received, reader := attach(t, l, "one", "")
	defer closeReader(t, reader)
	for n := range 5 {
		mustStore(t, l, "one", numbered(n))
		received.next(t) // and nobody acknowledges
	}
	i := newInspector(t, srv)
	stored, err := i.Topic(ctxOf(t), "acme", "one")
	if err != nil || stored.Messages != 5 {
		t.Fatalf("%+v, %v", stored, err)
	}
	if n, err := i.Purge(ctxOf(t), stored); n != 5 || err != nil {
		t.Errorf("%d purged, %v", n, err)
	}
	after, err := i.Topic(ctxOf(t), "acme", "one")
	if err != nil || after.Messages != 0 || after.Consumers[0].Lag != 0 || !after.Oldest.IsZero() || len(after.Consumers) != 1 {
		t.Errorf("%+v, %v", after, err)
	}
	// Who is subscribed goes on.
	mustStore(t, l, "one", "next")
	if d := received.next(t); string(d.Payload) != "next" {
		t.Errorf("%q delivered", d.Payload)
	}
	if err := l.link.js.DeleteStream(ctxOf(t), stored.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Purge(ctxOf(t), stored); !errors.Is(err, ErrNoTopic) {
		t.Errorf("purge of a stream that has gone: %v", err)
	}
}

// A stream that was taken away from its subject still has messages to deliver.
func TestInspectDraining(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	mustStore(t, l, "one", "x")
	name := l.register.find("one").stream()
	stream, err := l.link.js.Stream(ctxOf(t), name)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.Subjects = []string{drainPrefix + name}
	if _, err := l.link.js.UpdateStream(ctxOf(t), config); err != nil {
		t.Fatal(err)
	}
	i := newInspector(t, srv)
	if found, _, err := i.Topics(ctxOf(t), Query{Tenant: "acme"}); err != nil || len(found) != 1 || !found[0].Draining {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := i.Topic(ctxOf(t), "acme", "one"); err == nil {
		t.Error("it is where new messages go")
	}
}

// What is wrong with the NATS system itself has a name.
func TestInspectorCannotLook(t *testing.T) {
	open := func(url string, opts ...nats.Option) error {
		i, err := OpenInspector(ctxOf(t), InspectorConfig{Shared: true, Options: func(string) (nats.Options, error) {
			o, err := External(url, "")("")
			for _, opt := range opts {
				err = errors.Join(err, opt(&o))
			}
			return o, err
		}})
		if err == nil {
			i.Close()
		}
		return err
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	if err := open("nats://" + nobody.Addr().String()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
	guarded := newServer(t, func(o *server.Options) { o.Username, o.Password = "weir", "secret" })
	if err := open(guarded.ClientURL(), nats.UserInfo("weir", "wrong")); !errors.Is(err, ErrLogin) {
		t.Errorf("wrong password: %v", err)
	}
	if err := open(guarded.ClientURL(), nats.UserInfo("weir", "secret")); err != nil {
		t.Errorf("right password, and no tenants: %v", err)
	}
	plain := newServer(t, func(o *server.Options) { o.JetStream = false })
	if err := open(plain.ClientURL()); err == nil || !strings.Contains(err.Error(), "JetStream is not enabled") {
		t.Errorf("without JetStream: %v", err)
	}
	failing := func(string) (nats.Options, error) { return nats.Options{}, io.ErrUnexpectedEOF }
	if _, err := OpenInspector(context.Background(), InspectorConfig{Options: failing}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("without options: %v", err)
	}
}

// What only a server of the cluster has that is away is missing, and that is said.
func TestInspectMissing(t *testing.T) {
	servers := newCluster(t)
	nc, err := nats.Connect(servers[0].ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx := ctxOf(t)
	on := make(map[string]int) // streams, by server
	for n := 0; len(on) < len(servers); n++ {
		topic := fmt.Sprint("t/", n)
		request, cancel := context.WithTimeout(ctx, requestTimeout/5) // nobody answers before there is a leader
		stream, err := js.CreateStream(request, natsjs.StreamConfig{
			Name: naming.Stream("acme", topic, 1), Subjects: []string{message.Subject("acme", topic)},
			Metadata: map[string]string{metaTenant: "acme", metaTopic: topic},
		})
		cancel()
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		if err == nil {
			on[stream.CachedInfo().Cluster.Leader]++
		}
	}
	// Not the one that answers for all.
	leads := slices.IndexFunc(servers, (*server.Server).JetStreamIsLeader)
	away := servers[(leads+1)%len(servers)]
	lost, kept := on[away.Name()], 0
	for _, n := range on {
		kept += n
	}
	kept -= lost
	away.Shutdown()
	away.WaitForShutdown()
	i := newInspector(t, servers[leads])
	found, _, err := i.Topics(ctxOf(t), Query{Tenant: "acme"})
	if len(found) != kept || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d without an answer", lost)) {
		t.Errorf("%d of %d topics without the %d of the server that is away: %v", len(found), kept, lost, err)
	}
}
