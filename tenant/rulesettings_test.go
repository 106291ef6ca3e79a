package tenant_test

import (
	"testing"

	"github.com/weirmq/weir/tenant"
)

// TestEverySetting has every setting of all kinds of rules.
func TestEverySetting(t *testing.T) {
	_, err := tenant.ParseFile([]byte(rules(
		"- {filter: s/#, stream: shared, name: s, when_full: discard_oldest, keep: until_expired, backlog_bytes: 1000000, backlog_messages: 5000, ttl: 1h, hold_when_full: block}",
		"- {filter: a/+, stream: dedicated, when_full: discard_oldest, keep: until_expired, backlog_bytes: 1000000, backlog_messages: 5000, ttl: 1h, hold_when_full: block}",
		"- {filter: a/#, stream: dedicated, when_full: discard_oldest, backlog_messages: 5000, hold_when_full: discard_oldest, hold_messages: 10, hold_bytes: -1}",
		"- {filter: live/#, stream: transient}",
		"- {filter: '+/log', stream: dedicated, keep: until_expired, ttl: 720h}",
		"- {filter: '#', stream: dedicated, when_full: reject, keep: until_consumed}",
	)))
	if err != nil {
		t.Error(err)
	}
}
