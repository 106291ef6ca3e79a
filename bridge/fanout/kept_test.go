package fanout_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tenant"
)

// keeper is a bridge with a hub for stored subscribers.
type keeper struct {
	t     *testing.T
	store *jetstream.Store
	log   *jetstream.Log
	hub   *fanout.Hub
	reg   *prometheus.Registry
}

func newKeeper(t *testing.T, url string) *keeper {
	t.Helper()
	k := &keeper{t: t, reg: prometheus.NewRegistry()}
	var err error
	k.store, err = jetstream.Open(context.Background(), jetstream.Config{
		Bridge: nuid.Next(), Options: jetstream.External(url, ""), Shared: true, Log: zap.NewNop(),
		Metrics: jetstream.NewMetrics(k.reg), Publisher: publisher.NewMetrics(k.reg), Reader: reader.NewMetrics(k.reg),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.store.Close(deadline(t)); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if k.log, err = k.store.Tenant(deadline(t), "acme"); err != nil {
		t.Fatal(err)
	}
	k.hub = fanout.New(fanout.Config{Keep: true, Log: zap.NewNop(), Metrics: fanout.NewMetrics(k.reg)})
	t.Cleanup(func() {
		if err := k.hub.Close(deadline(t)); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return k
}

// rules gives the tenant topic rules.
func (k *keeper) rules(revision uint64, rules ...tenant.Rule) {
	k.store.SetLimits("acme", revision, tenant.Quotas{}.Resolve(), tenant.Rules(rules).Resolve(tenant.Quotas{}))
}

// moved asks the server again and again, which takes its time, until the topics of a filter have moved.
func (k *keeper) moved(filter string, toShared bool) {
	k.t.Helper()
	for ctx := deadline(k.t); ; {
		places, dedicated := k.log.Places(filter)
		if dedicated != toShared && (len(places) > 0) == toShared {
			return
		}
		if _, err := k.log.LastSequence(ctx, tenant.Place{Stream: tenant.StreamShared, Name: "m"}); err != nil {
			k.t.Fatal(err)
		}
	}
}

type stored chan publisher.Result

func (s stored) Published(_ uint64, r publisher.Result) { s <- r }

// publish stores one message.
func (k *keeper) publish(topic, payload string) {
	k.t.Helper()
	route, err := k.log.Topic(deadline(k.t), topic)
	if err != nil {
		k.t.Fatal(err)
	}
	done := make(stored, 1)
	route.Publish(&message.Message{Topic: topic, Payload: []byte(payload), QoS: 1}, done, 0)
	select {
	case r := <-done:
		if r.Outcome != publisher.Stored {
			k.t.Fatalf("%s to %s: %+v", payload, topic, r)
		}
	case <-deadline(k.t).Done():
		k.t.Fatal("no answer")
	}
}

// service receives for a stored subscriber, and acknowledges what ack says.
type service struct {
	k      *keeper
	claim  *jetstream.Claim
	sub    *jetstream.Subscriber
	member *fanout.Member
	ack    func(payload string) bool
	wake   chan struct{}
	stop   chan struct{}
	done   sync.WaitGroup

	mu   sync.Mutex
	subs []*fanout.Subscription
	got  []string
	news chan struct{} // closed with the next message, and replaced
}

func (s *service) Opened(sub *fanout.Subscription) {
	s.mu.Lock()
	known := slices.Contains(s.subs, sub)
	if !known {
		s.subs = append(s.subs, sub)
	}
	s.mu.Unlock()
	if !known && sub.Bind(s) {
		s.Wake()
	}
}

func (*service) Moved(*fanout.Subscription) {}

func (s *service) Ended(sub *fanout.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = slices.DeleteFunc(s.subs, func(x *fanout.Subscription) bool { return x == sub })
}

func (*service) Overflowed(tenant.Place, uint64) {}

func (s *service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) open(name, filter string, ack func(string) bool) *service {
	k.t.Helper()
	s := &service{k: k, ack: ack, wake: make(chan struct{}, 1), stop: make(chan struct{}), news: make(chan struct{})}
	key := jetstream.SubscriberKey{Name: name, Filter: filter}
	var err error
	if s.claim, err = k.log.ClaimSubscriber(deadline(k.t), key, 0, func() {}); err != nil {
		k.t.Fatal(err)
	}
	if s.sub, err = k.log.OpenSubscriber(deadline(k.t), key); err != nil {
		k.t.Fatal(err)
	}
	s.member = k.hub.Join(s.sub, s)
	if err := s.member.Subscribe(deadline(k.t), filter, true); err != nil {
		k.t.Fatal(err)
	}
	s.done.Go(s.receive)
	return s
}

func (s *service) receive() {
	for {
		s.mu.Lock()
		subs := slices.Clone(s.subs)
		s.mu.Unlock()
		for _, sub := range subs {
			for {
				d, _, ok := sub.Next()
				if !ok {
					break
				}
				payload := string(d.Payload)
				if s.ack == nil || s.ack(payload) {
					sub.Ack(d.Sequence)
				}
				s.mu.Lock()
				s.got = append(s.got, payload)
				close(s.news)
				s.news = make(chan struct{})
				s.mu.Unlock()
			}
		}
		select {
		case <-s.wake:
		case <-s.stop:
			return
		}
	}
}

func (s *service) close() {
	s.k.t.Helper()
	close(s.stop)
	s.done.Wait()
	s.member.Leave()
	if err := s.sub.Close(deadline(s.k.t)); err != nil {
		s.k.t.Fatal(err)
	}
	s.claim.Release(deadline(s.k.t))
}

// want waits until exactly these messages have come.
func (s *service) want(payloads ...string) {
	s.k.t.Helper()
	ctx := deadline(s.k.t)
	for {
		s.mu.Lock()
		got, news := slices.Clone(s.got), s.news
		s.mu.Unlock()
		if len(got) >= len(payloads) {
			if !slices.Equal(got, payloads) {
				s.k.t.Fatalf("got %q, want %q", got, payloads)
			}
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			s.k.t.Fatalf("got %q, want %q", got, payloads)
		}
	}
}

func numbers(prefix string, first, last int) (all []string) {
	for i := first; i < last; i++ {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

// TestKeptWhileAway: a stored subscriber gets what was stored while it was away, and again at once what it has not acknowledged, in order,
// from a dedicated topic, from one that was created meanwhile, and from a shared rule, on whatever bridge.
func TestKeptWhileAway(t *testing.T) {
	for _, c := range []struct {
		name, filter, topic string
		exists              bool
		rules               []tenant.Rule
	}{
		{name: "dedicated", filter: "a", topic: "a", exists: true},
		{name: "created meanwhile", filter: "+", topic: "a"},
		{name: "shared", filter: "s/+", topic: "s/a", exists: true, rules: []tenant.Rule{
			{Filter: "s/#", Stream: tenant.StreamShared, Name: "m", BacklogBytes: 1 << 20},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := natsprocess.New(t)
			one, two := newKeeper(t, url), newKeeper(t, url)
			for _, k := range []*keeper{one, two} {
				k.rules(1, c.rules...)
				k.moved(c.filter, len(c.rules) > 0)
			}
			if c.exists {
				one.publish(c.topic, "before")
			}
			s := one.open("mapper", c.filter, nil)
			s.close()
			for _, n := range numbers("", 0, 10) {
				two.publish(c.topic, n)
			}
			s = two.open("mapper", c.filter, func(payload string) bool { return payload != "3" && payload < "7" })
			s.want(numbers("", 0, 10)...)
			s.close()
			for _, n := range numbers("", 10, 12) {
				one.publish(c.topic, n)
			}
			s = one.open("mapper", c.filter, nil)
			s.want(append([]string{"3"}, numbers("", 7, 12)...)...)
			s.close()
			s = two.open("mapper", c.filter, nil)
			one.publish(c.topic, "12")
			s.want("12")
			s.close()
		})
	}
}

// TestKeptFromTheOther: two subscribers get everything each, and one that is removed leaves nothing behind.
func TestKeptFromTheOther(t *testing.T) {
	url := natsprocess.New(t)
	k := newKeeper(t, url)
	a, b := k.open("a", "t/#", nil), k.open("b", "t/#", nil)
	for _, n := range numbers("", 0, 100) {
		k.publish("t/x", n)
	}
	a.want(numbers("", 0, 100)...)
	b.want(numbers("", 0, 100)...)
	a.close()
	b.close()
	for _, name := range []string{"a", "b"} {
		removed, err := k.log.RemoveSubscriber(deadline(t), jetstream.SubscriberKey{Name: name, Filter: "t/#"})
		if err != nil || !removed {
			t.Errorf("remove %s: %v %v", name, removed, err)
		}
	}
	if removed, err := k.log.RemoveIfUnused(deadline(t), "t/x"); err != nil || !removed {
		t.Errorf("the topic is in use: %v", err)
	}
}

// TestKeptThroughMoves: a stored subscriber gets everything in order when its topics move to another stream and back while it is away, and on and
// on while it receives.
func TestKeptThroughMoves(t *testing.T) {
	shared := tenant.Rule{Filter: "m/#", Stream: tenant.StreamShared, Name: "m", BacklogBytes: 1 << 20}
	for _, c := range []struct{ name, filter string }{{"one topic", "m/a"}, {"wildcard", "m/+"}} {
		for _, away := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, ", away: ", away), func(t *testing.T) {
				url := natsprocess.New(t)
				one, two := newKeeper(t, url), newKeeper(t, url)
				all := numbers("", 0, 50)
				s := one.open("mapper", c.filter, nil)
				if away {
					s.close()
				}
				for i, n := range all {
					if i%10 == 9 && (i < 20 || !away) {
						var rules []tenant.Rule
						if i%20 == 9 {
							rules = []tenant.Rule{shared}
						}
						for _, k := range []*keeper{one, two} {
							k.rules(uint64(i), rules...)
						}
						if away {
							two.moved(c.filter, len(rules) > 0)
						}
					}
					two.publish("m/a", n)
				}
				if away {
					s = one.open("mapper", c.filter, nil)
				}
				s.want(all...)
				s.close()
			})
		}
	}
}

// TestKeptFromAnEmptyPlace: what a topic has left behind is there once, where nothing was published to it since it came back.
func TestKeptFromAnEmptyPlace(t *testing.T) {
	k := newKeeper(t, natsprocess.New(t))
	s := k.open("mapper", "m/a", nil)
	s.close()
	k.publish("m/a", "0")
	k.publish("m/a", "1")
	k.rules(1, tenant.Rule{Filter: "m/#", Stream: tenant.StreamShared, Name: "m", BacklogBytes: 1 << 20})
	k.moved("m/a", true)
	k.publish("m/a", "2")
	k.rules(2)
	k.moved("m/a", false)
	s = k.open("mapper", "m/a", nil)
	s.want("0", "1", "2")
	k.publish("m/a", "3")
	s.want("0", "1", "2", "3")
	s.close()
	s = k.open("mapper", "m/a", nil)
	k.publish("m/a", "4")
	s.want("4")
	s.close()
}
