package shared

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

const (
	manyTopics     = 10_000
	manyPublishers = 4
	rounds         = 2
	stride         = 50 // topics that get all their rounds before the next ones
)

// Ten thousand topics in one rule, published to on two bridges with both versions of the protocol: subscribers by wildcard get every
// message once, in order on each topic. The quota of dedicated topics does not know of them.
func TestTenThousandTopics(t *testing.T) {
	p := weirtest.StartPair(t, weirtest.DemoRules(`{filter: "many/#", stream: shared, name: many, backlog_bytes: 268435456}`)+
		"    quotas: {topics: 10}\n")
	var wg sync.WaitGroup
	for _, s := range []struct {
		weir    *weirtest.Weir
		v       codec.Version
		filter  string
		factor  int // one of so many messages is for it
		publish func(publisher int) bool
	}{
		{p.A, codec.V5, "many/#", 1, func(int) bool { return true }},
		{p.B, codec.V311, "many/#", 1, func(int) bool { return true }},
		{p.B, codec.V5, "many/3/+", manyPublishers, func(publisher int) bool { return publisher == 3 }},
	} {
		client := weirtest.Device(t, s.weir, s.v, "subscriber to "+s.filter+" with "+s.v.String())
		client.Subscribe(s.filter, 1)
		wg.Go(func() {
			if err := receiveMany(client.Conn, manyTopics*rounds/s.factor); err != nil {
				t.Errorf("subscriber to %s with %s: %v", s.filter, s.v, err)
			}
		})
	}
	began := time.Now()
	for i := range manyPublishers {
		weir, v := []*weirtest.Weir{p.A, p.B}[i%2], []codec.Version{codec.V311, codec.V5}[i/2]
		client := weirtest.Device(t, weir, v, fmt.Sprint("publisher-", i))
		wg.Go(func() {
			if err := client.PublishAll(manyMessages(i)); err != nil {
				t.Errorf("publisher %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d messages in %s", manyTopics*rounds, time.Since(began))
	for name, weir := range map[string]*weirtest.Weir{"a": p.A, "b": p.B} {
		want := float64(manyTopics * rounds)
		if name == "b" {
			want += want / manyPublishers
		}
		if delivered := weir.Metric("weir_deliveries_total"); delivered != want {
			t.Errorf("bridge %s delivered %v messages instead of %v", name, delivered, want)
		}
	}
	weirtest.Until(t, "all is consumed", func() bool { return weirtest.Stream(t, p.JS, "many/0/0").State.Msgs == 0 })

	for i := range 10 {
		weirtest.NewPublisher(t, p.A, codec.V5, fmt.Sprint("dedicated/", i)).MustPublish(0, 1)
	}
	weirtest.NewPublisher(t, p.B, codec.V5, "dedicated/10").MustRefuse("topic_quota: ")
}

// manyMessages are those of one publisher: the rounds' numbers on each of its topics.
func manyMessages(publisher int) (messages []*codec.Publish) {
	for first := 0; first < manyTopics/manyPublishers; first += stride {
		for n := range rounds {
			for i := range stride {
				messages = append(messages, &codec.Publish{Topic: fmt.Appendf(nil, "many/%d/%d", publisher, first+i), Payload: []byte(number(n))})
			}
		}
	}
	return messages
}

// receiveMany takes that many messages, which must be the numbers from 0 on every topic.
func receiveMany(conn *weirtest.Conn, count int) error {
	next := map[string]byte{}
	for i := range count {
		packet, err := conn.Read()
		if err != nil {
			return fmt.Errorf("%w after %d messages", err, i)
		}
		m, ok := packet.(*codec.Publish)
		if !ok {
			return fmt.Errorf("received %+v after %d messages", packet, i)
		}
		if m.QoS != 1 || len(m.Payload) != 1 || m.Payload[0] != '0'+next[string(m.Topic)] {
			return fmt.Errorf("received %+v instead of message %d", packet, next[string(m.Topic)])
		}
		next[string(m.Topic)]++
		if err := conn.Write(&codec.Ack{Kind: codec.PUBACK, PacketID: m.PacketID}); err != nil {
			return err
		}
	}
	return nil
}
