package bridge

import (
	"encoding/json"
	"fmt"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/tenant"
)

// TestOverflow has a client with a wildcard that acknowledges nothing. No publisher is refused although one topic's backlog is far
// smaller than what is published; those of QoS 0 and those who acknowledge get everything. When the client acknowledges, it has what was in
// flight to it and the newest messages, and its error topic has told of all others.
func TestOverflow(t *testing.T) {
	const published, hold, inflight = 10_000, 100, 20
	for _, rule := range []tenant.Rule{{Stream: tenant.StreamDedicated}, {Stream: tenant.StreamShared, Name: "one", BacklogBytes: 1 << 24}} {
		t.Run(string(rule.Stream), func(t *testing.T) {
			rule.Filter, rule.HoldWhenFull, rule.HoldMessages, rule.BacklogMessages = "a/#", tenant.HoldDiscardOldest, hold, 1000
			r := ruled(t, tenant.Quotas{Inflight: inflight}, tenant.Rules{rule})
			stuck, healthy := r.connect(codec.V5, "stuck"), r.connect(codec.V5, "healthy")
			qos0, pub := r.connect(codec.V311, "qos0"), r.connect(codec.V5, "pub")
			service := r.connect(codec.V5, "svc", func(p *codec.Connect) { p.Username = "acme/service" })
			service.mustSubscribe("$debug/$error/#", 1)
			stuck.mustSubscribe("a/+", 1)
			healthy.mustSubscribe("a/b", 1)
			qos0.mustSubscribe("a/b", 0)
			for i := range published {
				pub.mustPublish("a/b", uint16(i%1000+1), fmt.Sprint(i))
				for _, c := range []*client{healthy, qos0} {
					if p := c.receive(); string(p.Payload) != fmt.Sprint(i) {
						t.Fatalf("%s got %s, want %d", c.id, show(p), i)
					}
				}
			}
			js, err := natsjs.New(r.native())
			if err != nil {
				t.Fatal(err)
			}
			held := streamOf(t, r, js)
			if held > hold+100 { // acknowledgements are written together
				t.Errorf("%d messages in the stream, want %d", held, hold)
			}
			for i := range inflight {
				if p := stuck.receive(); string(p.Payload) != fmt.Sprint(i) {
					t.Fatalf("got %s, want %d", show(p), i)
				}
			}
			for i := published - hold; i < published; i++ {
				if p := stuck.receive(); string(p.Payload) != fmt.Sprint(i) {
					t.Fatalf("got %s, want %d", show(p), i)
				}
			}
			stuck.ping()
			for told := 0; told < published-hold-inflight; {
				var e jetstream.ErrorReport
				if err := json.Unmarshal(service.receive().Payload, &e); err != nil {
					t.Fatal(err)
				}
				n := 0
				if _, err := fmt.Sscanf(e.Message, "%d messages", &n); err != nil || e.Code != "session_overflow" || e.ClientID != "stuck" {
					t.Fatalf("told %+v", e)
				}
				if topic := map[tenant.StreamKind]string{tenant.StreamDedicated: "a/b"}[rule.Stream]; e.Topic != topic {
					t.Errorf("topic %q, want %q", e.Topic, topic)
				}
				if told += n; told > published-hold-inflight {
					t.Errorf("told of %d, want %d", told, published-hold-inflight)
				}
			}
			service.ping()
		})
	}
}

// streamOf is how many messages the streams of the tenant's topics hold.
func streamOf(t *testing.T, r *rig, js natsjs.JetStream) (messages uint64) {
	t.Helper()
	all := js.ListStreams(r.context())
	for info := range all.Info() {
		if m := info.Config.Metadata; m["weir.topic"] != "" || m["weir.filter"] != "" {
			messages += info.State.Msgs
		}
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
	return messages
}
