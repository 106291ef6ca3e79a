package shared

import (
	"fmt"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
	"github.com/weirmq/weir/tests/weirtest/load"
)

// changing is a rule whose topics take all that comes.
const changing = `{filter: "m/#", stream: shared, name: m, backlog_messages: -1, backlog_bytes: 268435456}`

// Filters of a session come and go while one of them stays: it gets every message once, in order, whichever of them match.
func TestFiltersComeAndGoUnderLoad(t *testing.T) {
	const times = 200
	p := weirtest.StartPair(t, weirtest.DemoRules(changing))
	each(t, func(t *testing.T, v codec.Version, level string) {
		topic := "m/" + level
		s := newSequence(t, weirtest.Device(t, p.B, v, "subscriber"))
		s.request(&codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: "m/#", QoS: 1}}})
		work := load.Start(t, &load.Publisher{
			Addresses: []string{p.A.MQTT()}, Version: v, ClientID: "publisher", Topics: []string{topic}, Patience: weirtest.Patience,
		})
		for i := range times {
			filter := []string{"m/+", topic, "+/" + level}[i%3]
			s.request(&codec.Subscribe{PacketID: 2, Subscriptions: []codec.Subscription{{Filter: filter, QoS: 1}}})
			s.request(&codec.Unsubscribe{PacketID: 3, Filters: []string{filter}})
		}
		acknowledged := work.Finish()[topic]
		for s.next[topic] < len(acknowledged) {
			s.take(s.client.Next())
		}
		t.Logf("%d messages, %d filters", len(acknowledged), times)
		s.client.Send(&codec.Disconnect{})
		s.client.ExpectClosed()
	})
}

// sequence is a subscriber that gets numbers, the next one each time.
type sequence struct {
	t      *testing.T
	client *weirtest.Client
	next   map[string]int // by topic
	unread []uint16       // packet identifiers without an answer
	silent bool           // whether it leaves messages without an answer
}

func newSequence(t *testing.T, client *weirtest.Client) *sequence {
	t.Helper()
	return &sequence{t: t, client: client, next: map[string]int{}}
}

// request sends a packet and takes messages until its answer.
func (s *sequence) request(p codec.Packet) {
	s.t.Helper()
	s.client.Send(p)
	for {
		switch answer := s.client.Next().(type) {
		case *codec.Suback:
			if answer.Codes[0] >= 0x80 {
				s.t.Fatalf("SUBACK %v", answer.Codes)
			}
			return
		case *codec.Unsuback:
			return
		default:
			s.take(answer)
		}
	}
}

func (s *sequence) take(p codec.Packet) {
	s.t.Helper()
	m, ok := p.(*codec.Publish)
	if !ok {
		s.t.Fatalf("received %+v", p)
	}
	topic := string(m.Topic)
	if n := numberOf(s.t, m); n != s.next[topic] {
		s.t.Fatalf("received %d on %s instead of %d", n, topic, s.next[topic])
	}
	s.next[topic]++
	s.unread = append(s.unread, m.PacketID)
	if !s.silent {
		s.answer()
	}
}

// answer acknowledges what has been taken.
func (s *sequence) answer() {
	s.t.Helper()
	for _, id := range s.unread {
		s.client.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: id})
	}
	s.unread = nil
}

// A subscriber that is slow, and so has a consumer of its own, subscribes to more and to less: nothing is lost and nothing comes twice, and
// what it does not want any more is not held.
func TestSlowSubscriberChangesItsFilters(t *testing.T) {
	const many, few = 2000, 300
	p := weirtest.StartPair(t, weirtest.DemoRules(changing))
	each(t, func(t *testing.T, v codec.Version, level string) {
		a, b, c := "m/a/"+level, "m/b/"+level, "m/c/"+level
		publisher := weirtest.Device(t, p.A, v, "publisher")
		sent := map[string]int{}
		publish := func(topic string, count int) {
			t.Helper()
			var messages []*codec.Publish
			for range count {
				messages = append(messages, &codec.Publish{Topic: []byte(topic), Payload: fmt.Append(nil, sent[topic])})
				sent[topic]++
			}
			if err := publisher.PublishAll(messages); err != nil {
				t.Fatal(err)
			}
		}
		subscription := func(filter string) *codec.Subscribe {
			return &codec.Subscribe{PacketID: 1, Subscriptions: []codec.Subscription{{Filter: filter, QoS: 1}}}
		}
		slow := newSequence(t, weirtest.Device(t, p.B, v, "slow"))
		slow.silent = true
		slow.request(subscription(a))
		slow.request(subscription(c))
		publish(a, many)
		publish(c, few)
		weirtest.Until(t, "it is detached", func() bool { return p.B.Metric("weir_fanout_detached_subscriptions") == 1 })

		publish(b, few) // for nobody
		slow.next[b] = few
		slow.request(subscription("m/b/+"))
		publish(b, few)
		publish(a, few)
		slow.request(&codec.Unsubscribe{PacketID: 2, Filters: []string{c}})
		weirtest.Until(t, "nobody holds "+c, func() bool { return weirtest.Stored(t, p.JS, c) == 0 })
		publish(c, few)
		weirtest.Until(t, "nobody holds what came later", func() bool { return weirtest.Stored(t, p.JS, c) == 0 })

		slow.silent = false
		slow.answer()
		for slow.next[a] < sent[a] || slow.next[b] < sent[b] {
			slow.take(slow.client.Next())
		}
		weirtest.Until(t, "it is one of many again, and receives", func() bool {
			publish(a, 1)
			publish(b, 1)
			for slow.next[a] < sent[a] || slow.next[b] < sent[b] {
				slow.take(slow.client.Next())
			}
			return p.B.Metric("weir_fanout_detached_subscriptions") == 0
		})
		if n := slow.next[c]; n != 0 {
			t.Errorf("received %d messages on %s", n, c)
		}
		weirtest.Until(t, "all is consumed", func() bool { return weirtest.Stream(t, p.JS, a).State.Msgs == 0 })
		slow.client.Send(&codec.Disconnect{})
		slow.client.ExpectClosed()
	})
}
