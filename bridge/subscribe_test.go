package bridge

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// TestConcurrently: no more at a time than the limit, and as many where there are so many.
func TestConcurrently(t *testing.T) {
	for _, test := range []struct{ n, limit, together int }{{0, 8, 0}, {1, 8, 1}, {3, 8, 3}, {8, 8, 8}, {80, 8, 8}} {
		var called [80]atomic.Int64
		var running, over atomic.Int64
		var meet sync.WaitGroup // the first of them meet
		meet.Add(test.together)
		concurrently(test.n, test.limit, func(i int) {
			if running.Add(1) > int64(test.limit) {
				over.Add(1)
			}
			if i < test.together {
				meet.Done()
				meet.Wait()
			}
			called[i].Add(1)
			running.Add(-1)
		})
		for i := range called {
			if got := called[i].Load(); got != 1 && i < test.n || got != 0 && i >= test.n {
				t.Errorf("%+v: %d was called %d times", test, i, got)
			}
		}
		if got := over.Load(); got > 0 {
			t.Errorf("%+v: %d calls beyond the limit", test, got)
		}
	}
}

func subscribeTo(qos codec.QoS, filters ...string) *codec.Subscribe {
	p := &codec.Subscribe{PacketID: 9}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, codec.Subscription{Filter: f, QoS: qos})
	}
	return p
}

// TestSubscribeAttachesConcurrently: the filters of one SUBSCRIBE do not wait for each other.
func TestSubscribeAttachesConcurrently(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	c := r.connect(codec.V5, "me")
	var filters []string
	for i := range uint16(maxAttaching) {
		filters = append(filters, fmt.Sprint("topic/", i))
		c.mustPublish(filters[i], i+1, "")
	}
	nc := r.native()
	requests, err := nc.SubscribeSync("$JS.API.>")
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	release := r.line.hold()
	c.send(subscribeTo(1, filters...))
	stream := regexp.MustCompile(`MQTT_acme_t_[^.]+`)
	streams := map[string]bool{}
	for len(streams) < len(filters) {
		m, err := requests.NextMsgWithContext(r.context())
		if err != nil {
			t.Errorf("%d of %d filters are being attached: %v", len(streams), len(filters), err)
			break
		}
		if s := stream.FindString(m.Subject); s != "" {
			streams[s] = true
		}
	}
	release()
	ack := expect[*codec.Suback](c)
	if d := cmp.Diff(slices.Repeat([]codec.ReasonCode{codec.GrantedQoS1}, len(filters)), ack.Codes); d != "" {
		t.Errorf("codes (-want +got):\n%s", d)
	}
	for i, f := range filters {
		c.send(publish(f, 1, uint16(i+1), f))
	}
	got := map[string]int{}
	for range 2 * len(filters) {
		p, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := p.(*codec.Publish); ok {
			got[string(p.Topic)]++
		}
	}
	for _, f := range filters {
		if got[f] != 1 {
			t.Errorf("%s: %d messages", f, got[f])
		}
	}
}

// TestSubackCodes: one code for each filter, in their order, whatever becomes of the others [MQTT-3.8.4-5]
// [MQTT-3.8.4-6] [MQTT-3.9.3-1].
func TestSubackCodes(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	p := &codec.Subscribe{PacketID: 7, Subscriptions: []codec.Subscription{
		{Filter: "a", QoS: 1},
		{Filter: "$SYS/x"},
		{Filter: "b", QoS: 0},
		{Filter: "a/#/b", QoS: 1},
		{Filter: "a", QoS: 0}, // again
		{Filter: "b", QoS: 2}, // again, and raised
		{Filter: "c", QoS: 2},
		{Filter: "b", QoS: 0},
		{Filter: "$debug/$error", QoS: 1},
	}}
	each(t, func(t *testing.T, v codec.Version) {
		c := r.connect(v, "me")
		c.t = t
		c.send(p)
		want := []codec.ReasonCode{1, 0x8F, 0, 0x8F, 0, 1, 1, 0, 1}
		if v != codec.V5 {
			want[1], want[3] = 0x80, 0x80
		}
		if d := cmp.Diff(want, expect[*codec.Suback](c).Codes); d != "" {
			t.Errorf("codes (-want +got):\n%s", d)
		}
		for i, topic := range []string{"a", "b", "c"} {
			c.send(publish(topic, 1, uint16(i+1), topic))
		}
		got := map[string]codec.QoS{}
		for len(got) < 5 { // two entries of the error topic, too
			p, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := p.(*codec.Publish); ok {
				topic := string(p.Topic)
				if _, twice := got[topic]; twice {
					t.Fatalf("got %s twice", show(p))
				}
				if topic == "$debug/$error" {
					topic += string(p.Payload[strings.Index(string(p.Payload), `"code"`):][:16])
				}
				got[topic] = p.QoS
			}
		}
		for topic, qos := range map[string]codec.QoS{"a": 0, "b": 0, "c": 1} {
			if got[topic] != qos {
				t.Errorf("%s at QoS %d, want %d", topic, got[topic], qos)
			}
		}
	})
}

// TestSubscriptionLimit: the filters beyond the limit are refused, and those that are there already are not beyond it.
func TestSubscriptionLimit(t *testing.T) {
	s := newSession(&codec.Connect{Version: codec.V5}, "me", "acme", tenant.RoleDevice, tenant.Quotas{}.Resolve(),
		NewMetrics(prometheus.NewRegistry()))
	for i := range quota.MaxSubscriptions - 2 {
		s.subs.filters[fmt.Sprint(i)] = &filter{}
	}
	var requests []request
	for _, filter := range []string{"0", "one", "one", "a#", "two", "three", "two", "1"} {
		requests = append(requests, request{Subscription: codec.Subscription{Filter: filter}})
	}
	var got []string
	for _, equal := range s.admitEach(requests) {
		got = append(got, fmt.Sprint(equal[0].Filter, len(equal)))
	}
	if d := cmp.Diff([]string{"01", "one2", "two2", "11"}, got); d != "" {
		t.Error(d)
	}
	for i, r := range requests {
		want := map[int]reason.Reason{3: reason.TopicInvalid, 5: reason.SubscriptionLimit}[i]
		if (r.err == nil) != (want == "") || r.err != nil && r.err.Reason != want {
			t.Errorf("%s: %v", r.Filter, r.err)
		}
	}
}
