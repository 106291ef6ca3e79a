package tenant_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirmq/weir/tenant"
)

// rules puts topic rules into the file of a tenant; the first one is in line 4.
func rules(lines ...string) string { return acme("topics:", "  "+strings.Join(lines, "\n      ")) }

func TestParseFileRuleErrors(t *testing.T) {
	const dedicated, shared, transient = "- {filter: a, stream: dedicated, ", "- {filter: a/#, stream: shared, name: a, ", "- {filter: a, stream: transient, "
	long := strings.Repeat("x", 2000)
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf("- {filter: a%d, stream: transient}", i)
	}
	tests := []struct{ name, file, want string }{
		// The list and its keys.
		{"a mapping", acme("topics: {}"), "line 3: topics: must be a list"},
		{"a string", acme("topics: ['#']"), "line 3: topics[0]: must be a mapping"},
		{"alias", rules("- &a {filter: '#', stream: dedicated}", "- *a"), "line 5: topics[1]: YAML aliases are not allowed"},
		{"key", rules(dedicated + "retain: true}"), "line 4: topics[0].retain: unknown key"},
		{"key twice", rules(dedicated + "filter: b}"), "line 4: topics[0].filter: is there twice"},
		{"no filter", rules("- {stream: dedicated}"), "line 4: topics[0].filter: missing"},
		{"no stream", rules("- {filter: '#'}"), "line 4: topics[0].stream: missing"},
		{"too many", rules(many...), "line 68: topics[64]: a tenant has at most 64 rules"},

		// Values.
		{"filter a number", rules("- {filter: 1, stream: dedicated}"), "line 4: topics[0].filter: must be a string, in quotes if need be"},
		{"filter empty", rules("- {filter: '', stream: dedicated}"), "line 4: topics[0].filter: must not be empty"},
		{"filter long", rules("- {filter: " + long + ", stream: dedicated}"), "line 4: topics[0].filter: 2000 bytes are over the maximum 1024"},
		{"filter null", rules(`- {filter: "a\0", stream: dedicated}`), "line 4: topics[0].filter: must not contain the null character"},
		{"filter reserved", rules("- {filter: $SYS/#, stream: dedicated}"), "line 4: topics[0].filter: topics that start with $ are reserved"},
		{"filter levels", rules("- {filter: " + strings.Repeat("a/", 64) + "a, stream: dedicated}"), "line 4: topics[0].filter: 65 levels are over the maximum 64"},
		{"filter as a subject", rules("- {filter: '" + strings.Repeat(" ", 682) + "', stream: dedicated}"), "line 4: topics[0].filter: 2056 bytes as a NATS subject are over the maximum 2048"},
		{"filter as a subject, empty level", rules("- {filter: '" + strings.Repeat(" ", 678) + "//ab', stream: dedicated}"), "line 4: topics[0].filter: 2049 bytes as a NATS subject are over the maximum 2048"},
		{"filter as a subject, empty ends", rules("- {filter: '/" + strings.Repeat("*", 678) + "b/', stream: dedicated}"), "line 4: topics[0].filter: 2049 bytes as a NATS subject are over the maximum 2048"},
		{"MQTT-4.7.1-2 not alone", rules("- {filter: a#, stream: dedicated}"), "line 4: topics[0].filter: # must be the last level, alone"},
		{"MQTT-4.7.1-2 not last", rules("- {filter: '#/a', stream: dedicated}"), "line 4: topics[0].filter: # must be the last level, alone"},
		{"MQTT-4.7.1-3", rules("- {filter: a+/b, stream: dedicated}"), "line 4: topics[0].filter: + must be alone in its level"},
		{"stream", rules("- {filter: '#', stream: dedicate}"), "line 4: topics[0].stream: must be dedicated, shared or transient"},
		{"name", rules("- {filter: a, stream: shared, name: 7up}"), "line 4: topics[0].name: the name of a rule is [a-z][a-z0-9-]{0,31}"},
		{"name a number", rules("- {filter: a, stream: shared, name: 7}"), "line 4: topics[0].name: must be a string, in quotes if need be"},
		{"name empty", rules("- {filter: a, stream: shared, name: ''}"), "line 4: topics[0].name: the name of a rule is [a-z][a-z0-9-]{0,31}"},
		{"name long", rules("- {filter: a, stream: shared, name: " + long[:33] + "}"), "line 4: topics[0].name: the name of a rule is [a-z][a-z0-9-]{0,31}"},
		{"when_full", rules(dedicated + "when_full: block}"), "line 4: topics[0].when_full: must be reject or discard_oldest"},
		{"when_full empty", rules(dedicated + "when_full: ''}"), "line 4: topics[0].when_full: must be reject or discard_oldest"},
		{"keep", rules(dedicated + "keep: consumed}"), "line 4: topics[0].keep: must be until_consumed or until_expired"},
		{"hold_when_full", rules(dedicated + "hold_when_full: reject}"), "line 4: topics[0].hold_when_full: must be block or discard_oldest"},
		{"ttl", rules(dedicated + "ttl: 1500ms}"), "line 4: topics[0].ttl: 1.5s is not a whole number of seconds"},
		{"ttl without unit", rules(dedicated + "ttl: 60}"), "line 4: topics[0].ttl: must be a duration such as 36h, or 0, or -1"},
		{"backlog_bytes", rules(dedicated + "backlog_bytes: 1G}"), "line 4: topics[0].backlog_bytes: must be a whole number"},
		{"backlog_messages", rules("- filter: a", "  stream: dedicated", "  backlog_messages: -2"), "line 6: topics[0].backlog_messages: must not be negative, except -1 for unlimited"},

		// Settings that the kind of stream does not have.
		{"transient name", rules(transient + "name: a}"), "line 4: topics[0].name: means nothing for transient topics, of which no message is stored"},
		{"transient when_full", rules(transient + "when_full: reject}"), "line 4: topics[0].when_full: means nothing for transient topics, of which no message is stored"},
		{"transient keep", rules(transient + "keep: until_expired}"), "line 4: topics[0].keep: means nothing for transient topics, of which no message is stored"},
		{"transient hold_when_full", rules(transient + "hold_when_full: block}"), "line 4: topics[0].hold_when_full: means nothing for transient topics, of which no message is stored"},
		{"transient backlog_bytes", rules(transient + "backlog_bytes: -1}"), "line 4: topics[0].backlog_bytes: means nothing for transient topics, of which no message is stored"},
		{"transient backlog_messages", rules(transient + "backlog_messages: 1}"), "line 4: topics[0].backlog_messages: means nothing for transient topics, of which no message is stored"},
		{"transient ttl", rules("- filter: a", "  stream: transient", "  ttl: 1h"), "line 6: topics[0].ttl: means nothing for transient topics, of which no message is stored"},
		{"transient hold_messages", rules(transient + "hold_messages: 1}"), "line 4: topics[0].hold_messages: means nothing for transient topics, of which no message is stored"},
		{"transient hold_bytes", rules(transient + "hold_bytes: 1}"), "line 4: topics[0].hold_bytes: means nothing for transient topics, of which no message is stored"},
		{"transient topics", rules(transient + "topics: 1}"), "line 4: topics[0].topics: means nothing for transient topics, of which no message is stored"},
		{"dedicated name", rules(dedicated + "name: a}"), "line 4: topics[0].name: only a shared rule has a name: each dedicated topic has a stream of its own"},
		{"dedicated topics", rules(dedicated + "topics: 1}"), "line 4: topics[0].topics: only a shared rule has a limit of topics: dedicated ones count against the tenant's quota topics"},
		{"shared without name", rules("- {filter: a/#, stream: shared}"), "line 4: topics[0].name: missing: a shared rule names its stream"},

		// Settings that contradict each other.
		{"shared unlimited", rules(shared + "backlog_bytes: -1}"), "line 4: topics[0].backlog_bytes: must not be unlimited, neither here nor by the quota: a shared stream reserves its bytes"},
		{"shared unlimited by the quota", rules(shared+"topics: 1}") + "    quotas: {backlog_bytes: -1}\n", "line 4: topics[0].backlog_bytes: must not be unlimited, neither here nor by the quota: a shared stream reserves its bytes"},
		{"nothing to discard", rules("- filter: a", "  stream: dedicated", "  backlog_bytes: -1", "  when_full: discard_oldest"), "line 7: topics[0].when_full: discard_oldest discards nothing while backlog_bytes and backlog_messages are unlimited"},
		{"nothing to discard by the quota", rules(dedicated+"when_full: discard_oldest}") + "    quotas: {backlog_bytes: -1}\n", "line 4: topics[0].when_full: discard_oldest discards nothing while backlog_bytes and backlog_messages are unlimited"},
		{"never expires", rules(dedicated + "keep: until_expired, ttl: -1}"), "line 4: topics[0].keep: until_expired needs a ttl that ends, or when_full: discard_oldest: otherwise no message ever makes room for another"},
		{"never expires by the quota", rules(shared+"keep: until_expired}") + "    quotas: {ttl: -1}\n", "line 4: topics[0].keep: until_expired needs a ttl that ends, or when_full: discard_oldest: otherwise no message ever makes room for another"},
		{"hold_messages alone", rules(dedicated + "hold_messages: 1}"), "line 4: topics[0].hold_messages: has no effect without hold_when_full: discard_oldest"},
		{"hold_bytes and block", rules(dedicated + "hold_bytes: 1, hold_when_full: block}"), "line 4: topics[0].hold_bytes: has no effect without hold_when_full: discard_oldest"},
		{"holds unlimited", rules(dedicated+"hold_bytes: -1, hold_when_full: discard_oldest}") + "    quotas: {hold_messages: -1}\n", "line 4: topics[0].hold_when_full: discard_oldest discards nothing while hold_messages and hold_bytes are unlimited"},

		// Rules against each other.
		{"after the last", rules("- {filter: '#', stream: dedicated}", "- {filter: '#', stream: dedicated}"), `line 5: topics[1].filter: "#" never matches, because the rule "#" before it (topics[0], line 4) takes all its topics`},
		{"covered", rules("- {filter: a, stream: transient}", "- {filter: b/#, stream: transient}", "- {filter: '#', stream: dedicated}", "- filter: b", "  stream: shared", "  name: b"), `line 7: topics[3].filter: "b" never matches, because the rule "b/#" before it (topics[1], line 5) takes all its topics`},
		{"covered by another spelling", rules("- {filter: +/#, stream: dedicated}", "- {filter: '#', stream: dedicated}"), `line 5: topics[1].filter: "#" never matches, because the rule "+/#" before it (topics[0], line 4) takes all its topics`},
		{"shared after shared", rules("- {filter: a/+, stream: shared, name: a}", "- {filter: +/b, stream: shared, name: b}"), `line 5: topics[1].filter: "+/b" overlaps the rule "a/+" before it (topics[0], line 4): a shared stream cannot leave topics out`},
		{"shared after dedicated", rules("- {filter: a/b, stream: dedicated}", "- {filter: c, stream: dedicated}", "- stream: shared", "  name: a", "  filter: a/#"), `line 8: topics[2].filter: "a/#" overlaps the rule "a/b" before it (topics[0], line 4): a shared stream cannot leave topics out`},
		{"shared after transient, by the parent", rules("- {filter: +, stream: transient}", shared+"}"), `line 5: topics[1].filter: "a/#" overlaps the rule "+" before it (topics[0], line 4): a shared stream cannot leave topics out`},
		{"all shared, but", rules("- {filter: a, stream: transient}", "- {filter: '#', stream: shared, name: a}"), `line 5: topics[1].filter: "#" overlaps the rule "a" before it (topics[0], line 4): a shared stream cannot leave topics out`},
		{"same name", rules("- {filter: a, stream: shared, name: x}", "- {filter: b, stream: shared, name: x}"), `line 5: topics[1].name: x is the name of the rule "a" too (topics[0], line 4); it is "b" that needs another`},
		{"long filters", rules("- {filter: "+long[:100]+"/+, stream: dedicated}", "- {filter: "+long[:100]+"/b, stream: dedicated}"), `line 5: topics[1].filter: "` + long[:80] + `"… never matches, because the rule "` + long[:80] + `"… before it (topics[0], line 4) takes all its topics`},
		{"storage", rules("- {filter: a, stream: shared, name: a, backlog_bytes: 600}", "- {filter: '#', stream: dedicated}") + "    quotas: {storage_bytes: 599}\n", "line 4: topics[0].backlog_bytes: 600 bytes are reserved for the rule; the quota storage_bytes 599 has 599 left for it"},
		{"storage by the default", rules("- {filter: a, stream: shared, name: a, backlog_bytes: 600}", "- {filter: b, stream: shared, name: b}") + "    quotas: {storage_bytes: 1000}\n", "line 5: topics[1].backlog_bytes: 26214400 bytes are reserved for the rule; the quota storage_bytes 1000 has 400 left for it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := tenant.ParseFile([]byte(test.file))
			if err == nil || err.Error() != test.want {
				t.Errorf("\n got %v, %v\nwant %s", f, err, test.want)
			}
		})
	}
}

// TestValidateRules: what comes from the store has no lines.
func TestValidateRules(t *testing.T) {
	tests := []struct {
		name  string
		rules tenant.Rules
		want  string
	}{
		{"value", tenant.Rules{{Filter: "a", Stream: "x"}}, "topics[0].stream: must be dedicated, shared or transient"},
		{"no stream", tenant.Rules{{Filter: "a"}}, "topics[0].stream: must be dedicated, shared or transient"},
		{"no filter", tenant.Rules{{Stream: tenant.StreamDedicated}}, "topics[0].filter: must not be empty"},
		{"not UTF-8", tenant.Rules{{Filter: "\xff", Stream: tenant.StreamDedicated}}, "topics[0].filter: must be UTF-8"},
		{"word", tenant.Rules{{Filter: "a", Stream: tenant.StreamDedicated, Keep: "x"}}, "topics[0].keep: must be until_consumed or until_expired"},
		{"number", tenant.Rules{{Filter: "a", Stream: tenant.StreamDedicated, TTL: time.Millisecond}}, "topics[0].ttl: 1ms is not a whole number of seconds"},
		{"pair", tenant.Rules{{Filter: "a", Stream: tenant.StreamDedicated}, {Filter: "+", Stream: tenant.StreamShared, Name: "x"}}, `topics[1].filter: "+" overlaps the rule "a" before it (topics[0]): a shared stream cannot leave topics out`},
		{"too many", make(tenant.Rules, 65), "topics[64]: a tenant has at most 64 rules"},
	}
	for i := range tests[len(tests)-1].rules {
		tests[len(tests)-1].rules[i] = tenant.Rule{Filter: fmt.Sprint(i), Stream: tenant.StreamDedicated}
	}
	for _, test := range tests {
		err := tenant.Tenant{Name: "a", Origin: tenant.OriginFile, Rules: test.rules}.Validate()
		if err == nil || err.Error() != test.want {
			t.Errorf("%s:\n got %v\nwant %s", test.name, err, test.want)
		}
	}
}

// TestRulesThatAreAllowed: dedicated and transient rules may follow what they overlap, and extremes that make sense.
func TestRulesThatAreAllowed(t *testing.T) {
	for name, file := range map[string]string{
		"the same topics again":   rules("- {filter: a/+/c, stream: dedicated}", "- {filter: +/b/c, stream: transient}", "- {filter: a/#, stream: dedicated}", "- {filter: '#', stream: transient}"),
		"after shared":            rules("- {filter: a/+, stream: shared, name: a}", "- {filter: a/#, stream: transient}", "- {filter: +/b, stream: dedicated}"),
		"shared apart":            rules("- {filter: a/+, stream: shared, name: a}", "- {filter: a/+/#, stream: transient}", "- {filter: a, stream: shared, name: b}", "- {filter: /#, stream: shared, name: c}"),
		"all shared":              rules("- {filter: '#', stream: shared, name: " + strings.Repeat("x", 32) + "}"),
		"zeros":                   rules("- {filter: a, stream: transient, backlog_bytes: 0, ttl: 0, topics: 0}"),
		"a queue without limits":  rules("- {filter: a, stream: dedicated, backlog_bytes: -1, ttl: -1}"),
		"a log bounded by time":   rules("- {filter: a, stream: dedicated, backlog_bytes: -1, keep: until_expired}"),
		"a log bounded by room":   rules("- {filter: a, stream: dedicated, ttl: -1, keep: until_expired, when_full: discard_oldest}"),
		"unlimited topics":        rules("- {filter: a, stream: shared, name: a, topics: -1, backlog_messages: -1}"),
		"one hold unlimited":      rules("- {filter: a, stream: dedicated, hold_when_full: discard_oldest, hold_messages: -1}"),
		"the longest subject":     rules("- {filter: '" + strings.Repeat(" ", 679) + "a', stream: dedicated}"),
		"with an empty level":     rules("- {filter: '" + strings.Repeat(".", 678) + "//+', stream: dedicated}"),
		"with empty ends":         rules("- {filter: '/" + strings.Repeat("%", 678) + "/', stream: dedicated}"),
		"storage used up":         rules("- {filter: a, stream: shared, name: a, backlog_bytes: 600}", "- {filter: b, stream: shared, name: b, backlog_bytes: 400}") + "    quotas: {storage_bytes: 1000}\n",
		"a sum that overflows":    rules("- {filter: a, stream: shared, name: a, backlog_bytes: 9223372036854775806}", "- {filter: b, stream: shared, name: b, backlog_bytes: 9223372036854775806}"),
		"the quota's finite room": rules("- {filter: a, stream: dedicated, backlog_bytes: -1, when_full: discard_oldest}") + "    quotas: {backlog_messages: 9}\n",
	} {
		if _, err := tenant.ParseFile([]byte(file)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEachCombination goes through the settings that say what becomes of messages. Those that are refused have no way for a message
// to leave, or no limit to act upon.
func TestEachCombination(t *testing.T) {
	for _, stream := range []tenant.StreamKind{tenant.StreamDedicated, tenant.StreamShared} {
		for _, whenFull := range []tenant.WhenFull{"", tenant.WhenFullReject, tenant.WhenFullDiscardOldest} {
			for _, keep := range []tenant.Keep{"", tenant.KeepUntilConsumed, tenant.KeepUntilExpired} {
				for _, ttl := range []time.Duration{0, -1, time.Hour} {
					for _, bytes := range []int64{0, -1, 1000} {
						for _, messages := range []int64{0, -1, 10} {
							r := tenant.Rule{Filter: "a", Stream: stream, WhenFull: whenFull, Keep: keep, TTL: ttl, BacklogBytes: bytes, BacklogMessages: messages}
							var want []string
							if stream == tenant.StreamShared {
								r.Name = "a"
								if bytes == -1 {
									want = append(want, "backlog_bytes")
								}
							}
							if bytes == -1 && messages != 10 && whenFull == tenant.WhenFullDiscardOldest && stream == tenant.StreamDedicated {
								want = append(want, "when_full")
							}
							if keep == tenant.KeepUntilExpired && ttl == -1 && whenFull != tenant.WhenFullDiscardOldest {
								want = append(want, "keep")
							}
							got := ""
							if err := (tenant.Tenant{Name: "a", Origin: tenant.OriginFile, Rules: tenant.Rules{r}}).Validate(); err != nil {
								got = err.Error()
							}
							if len(want) == 0 && got != "" || len(want) > 0 && !strings.HasPrefix(got, "topics[0]."+want[0]+": ") {
								t.Errorf("%+v: got %q, want %q", r, got, want)
							}
						}
					}
				}
			}
		}
	}
}
