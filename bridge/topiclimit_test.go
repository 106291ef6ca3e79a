package bridge

import (
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tenant"
)

// TestTopicLimitOfRule has a shared rule that has its topics: a client that wants another is told which rule it is, and why.
func TestTopicLimitOfRule(t *testing.T) {
	r := ruled(t, tenant.Quotas{}, tenant.Rules{{Filter: "t/#", Stream: tenant.StreamShared, Name: "t", Topics: 1}})
	r.connect(codec.V311, "first").mustPublish("t/only", 1, "")
	const why = `the rule "t/#" has as many topics as it may (its topics: 1)`
	each(t, func(t *testing.T, v codec.Version) {
		c := r.connect(v, "me")
		c.t = t
		ack := c.subscribe("t/second", 1)
		if v != codec.V5 {
			if ack.Codes[0] != 0x80 {
				t.Errorf("got %s, want 0x80", show(ack))
			}
			c.send(publish("t/second", 1, 9, ""))
			c.expectClosed()
			return
		}
		if ack.Codes[0] != codec.QuotaExceeded || !strings.HasSuffix(ack.ReasonString, why) {
			t.Errorf("got %s", show(ack))
		}
		if ack := c.publish("t/second", 9, ""); ack.Code != codec.QuotaExceeded || !strings.HasSuffix(ack.ReasonString, why) {
			t.Errorf("got %s", show(ack))
		}
		c.mustPublish("t/only", 10, "goes on")
	})
}
