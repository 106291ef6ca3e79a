package tenant_test

import (
	"testing"

	"github.com/weirmq/weir/tenant"
)

func TestNotServedYet(t *testing.T) {
	const hold = "line 4: topics[0].hold_when_full: discard_oldest is not served yet: this release lets every subscription hold its messages (block)"
	for _, test := range []struct{ name, file, want string }{
		{"hold", rules("- {filter: a, stream: dedicated, hold_when_full: discard_oldest}"), hold},
		{"hold bounded", rules("- {filter: a, stream: dedicated, hold_when_full: discard_oldest, hold_messages: 1, hold_bytes: 2}"), hold},
		{"what could never be served is said first", rules("- {filter: a, stream: shared}"), "line 4: topics[0].name: missing: a shared rule names its stream"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := tenant.ParseFile([]byte(test.file))
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
	record := `{"version":1,"name":"a","quotas":{},"rules":[{"filter":"a","stream":"dedicated","hold_when_full":"discard_oldest"}],"origin":"file"}`
	if got, err := tenant.Decode([]byte(record)); err == nil {
		t.Errorf("decoded %+v", got)
	}
}

// TestServed has every setting of all kinds of rules.
func TestServed(t *testing.T) {
	_, err := tenant.ParseFile([]byte(rules(
		"- {filter: s/#, stream: shared, name: s, when_full: discard_oldest, keep: until_expired, backlog_bytes: 1000000, backlog_messages: 5000, ttl: 1h, hold_when_full: block}",
		"- {filter: a/+, stream: dedicated, when_full: discard_oldest, keep: until_expired, backlog_bytes: 1000000, backlog_messages: 5000, ttl: 1h, hold_when_full: block}",
		"- {filter: a/#, stream: dedicated, when_full: discard_oldest, backlog_messages: 5000}",
		"- {filter: live/#, stream: transient}",
		"- {filter: '+/log', stream: dedicated, keep: until_expired, ttl: 720h}",
		"- {filter: '#', stream: dedicated, when_full: reject, keep: until_consumed}",
	)))
	if err != nil {
		t.Error(err)
	}
}
