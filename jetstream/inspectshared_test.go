package jetstream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/naming"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// What is told of one topic among others: who waits for it, and what cannot be told.
func TestInspectSharedConsumers(t *testing.T) {
	srv := newServer(t, nil)
	store := newStore(t, srv, nil)
	rule := sharedRule(func(r *tenant.Rule) { r.BacklogMessages, r.Topics = 10, 7 })
	putTenant(t, store, "acme", tenant.Quotas{}, rule)
	l := openLog(t, store)
	enforce(t, []*Log{l}, rule)
	place := l.currentRouting().policies.Place("t/x")
	attachTo := func(name string, filters ...string) *sink {
		s := newSink()
		r, err := l.Attach(ctxOf(t), place, name, 0, filters, s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeReader(t, r) })
		return s
	}
	all := attachTo("")
	own := attachTo("7", "t/slow")
	several := attachTo("8", "t/+/both", "t/slow")
	js := l.link.js
	native, err := js.CreateConsumer(ctxOf(t), naming.SharedStream("acme", "t"), natsjs.ConsumerConfig{
		Durable: "averages", FilterSubject: message.Subject("acme", "t/other"), DeliverPolicy: natsjs.DeliverNewPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		mustStore(t, l, "t/slow", numbered(n))
		mustStore(t, l, "t/other", numbered(n))
		mustStore(t, l, fmt.Sprint("t/", n, "/both"), numbered(n))
	}
	for range 9 {
		all.next(t) // and acknowledges nothing
	}
	for range 3 {
		own.next(t)
	}
	for range 6 {
		several.next(t)
	}
	bridge := store.config.Bridge
	i := newInspector(t, srv)
	show := func(topic string) StoredTopic {
		t.Helper()
		have, err := i.Topic(ctxOf(t), "acme", topic)
		if err != nil {
			t.Fatal(err)
		}
		return have
	}
	want := StoredTopic{
		Tenant: "acme", Topic: "t/slow", Stream: "MQTT_acme_s_t", Kind: tenant.StreamShared, Replicas: 1, Messages: 3,
		Shared: &StoredShared{Topics: 5, Messages: 9},
		Limits: StoredLimits{
			WhenFull: tenant.WhenFullReject, Keep: tenant.KeepUntilConsumed,
			BacklogBytes: 25 << 20, BacklogMessages: 10, TTL: 36 * time.Hour,
		},
		Consumers: []StoredConsumer{
			{Name: consumerName(bridge, ""), Kind: BridgeShared, Bridge: bridge, Unacknowledged: 9, Lag: 3, Unsure: true},
			{Name: consumerName(bridge, "7"), Kind: BridgeOwn, Bridge: bridge, Unacknowledged: 3, Lag: 3, HoldsOldest: true},
			{Name: consumerName(bridge, "8"), Kind: BridgeOwn, Bridge: bridge, Unacknowledged: 6, Lag: 3, Unsure: true},
		},
	}
	ignored := []cmp.Option{
		cmpopts.IgnoreFields(StoredTopic{}, "Created", "Oldest"), cmpopts.IgnoreFields(StoredConsumer{}, "Active"),
		cmpopts.IgnoreFields(StoredShared{}, "Bytes"),
	}
	have := show("t/slow")
	if diff := cmp.Diff(want, have, ignored...); diff != "" {
		t.Error(diff)
	}
	if lag, exact := have.Lag(); lag != 3 || !exact || have.Shared.Bytes == 0 || time.Since(have.Oldest) > time.Minute {
		t.Errorf("%+v, lag %d %v", have, lag, exact)
	}

	// Nobody has it yet, whoever is for several topics: so it is certain.
	have = show("t/other")
	if len(have.Consumers) != 2 || have.Consumers[0].Name != "averages" || have.Consumers[0].Lag != 3 || !have.Consumers[0].HoldsOldest ||
		have.Consumers[1].Name != consumerName(bridge, "") || !have.Consumers[1].Unsure {
		t.Errorf("%+v", have.Consumers)
	}
	batch, err := native.FetchNoWait(3)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever is the only one left is the reason that they are there.
	have = show("t/other")
	if first := have.Consumers[0]; first.Name != consumerName(bridge, "") || first.Lag != 3 || first.Unsure || !first.HoldsOldest {
		t.Errorf("%+v", have.Consumers)
	}
	// A topic that holds nothing has its consumers all the same.
	have = show("t/empty")
	if have.Messages != 0 || !have.Oldest.IsZero() || len(have.Consumers) != 1 || have.Consumers[0].Lag != 0 {
		t.Errorf("%+v", have)
	}
	if _, err := i.Topic(ctxOf(t), "acme", "elsewhere"); !errors.Is(err, ErrNoTopic) {
		t.Error(err)
	}
}

// A topic of a shared rule is purged without the others.
func TestPurgeOfSharedTopic(t *testing.T) {
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{l}, sharedRule(func(*tenant.Rule) {}))
	_, r := attach(t, l, "t/x", "")
	defer closeReader(t, r)
	for n := range 5 {
		mustStore(t, l, "t/one", numbered(n))
		mustStore(t, l, "t/two", numbered(n))
	}
	i := newInspector(t, srv)
	stored, err := i.Topic(ctxOf(t), "acme", "t/one")
	if err != nil || stored.Messages != 5 {
		t.Fatalf("%+v, %v", stored, err)
	}
	for _, want := range []uint64{5, 0} {
		if n, err := i.Purge(ctxOf(t), stored); n != want || err != nil {
			t.Errorf("%d purged, want %d, %v", n, want, err)
		}
	}
	found, omitted, err := i.Topics(ctxOf(t), Query{Tenant: "acme"})
	if err != nil || omitted != 0 || len(found) != 1 || found[0].Topic != "t/two" || found[0].Messages != 5 {
		t.Errorf("%+v and %d more, %v", found, omitted, err)
	}
}

// Of more topics than one answer holds, those with most messages are shown, or all, or those of a filter.
func TestInspectManySharedTopics(t *testing.T) {
	topics := 110_000
	if raceEnabled {
		topics = 5_000
	}
	srv := newServer(t, nil)
	l := openLog(t, newStore(t, srv, nil))
	enforce(t, []*Log{l}, sharedRule(func(r *tenant.Rule) {
		r.BacklogBytes, r.Keep, r.WhenFull = 100<<20, tenant.KeepUntilExpired, tenant.WhenFullReject
	}))
	a := make(answers, topics+2)
	route, err := l.Topic(ctxOf(t), "t/0")
	if err != nil {
		t.Fatal(err)
	}
	for n := range topics + 2 {
		topic := fmt.Sprint("t/", n%topics) // the first two have two
		if err := route.Wait(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
		route.Publish(textMessage(topic, "x"), a, 0)
	}
	for range topics + 2 {
		if r := a.next(t); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	i := newInspector(t, srv)
	for _, x := range []struct {
		query          Query
		found, omitted int
	}{
		{Query{Tenant: "acme", Limit: 2}, 2, topics - 2},
		{Query{Tenant: "acme", Limit: 1000}, 1000, topics - 1000},
		{Query{Filter: "t/77"}, 1, 0},
		{Query{Filter: "t/#"}, topics, 0},
		{Query{Filter: "u/#"}, 0, 0},
	} {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		defer cancel()
		found, omitted, err := i.Topics(ctx, x.query)
		if err != nil || len(found) != x.found || omitted != x.omitted {
			t.Errorf("%+v: %d topics and %d more, %v", x.query, len(found), omitted, err)
		}
		if x.found == 2 && (found[0].Topic != "t/0" || found[1].Topic != "t/1" || found[0].Messages != 2) {
			t.Errorf("%+v", found)
		}
		t.Logf("%+v: %d topics in %v", x.query, len(found), time.Since(begin).Round(time.Millisecond))
	}
}

func TestSubjectMatches(t *testing.T) {
	for _, x := range []struct {
		filter, subject string
		want            bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.b", "a.b.c", false},
		{"a.b.c", "a.b", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{">", "a", true},
	} {
		if matches(x.filter, x.subject) != x.want {
			t.Errorf("%s and %s: not %v", x.filter, x.subject, x.want)
		}
	}
}
