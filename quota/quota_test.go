package quota_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/weirmq/weir/quota"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

var limits = tenant.Quotas{}.Resolve()

// expect fails unless err is nil for an empty want, or a *reason.Error that reads as want.
func expect(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("got %v, want no error", err)
		}
		return
	}
	if e, ok := errors.AsType[*reason.Error](err); !ok || e.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestClientID(t *testing.T) {
	expect(t, quota.ClientID(limits, ""), "")
	expect(t, quota.ClientID(limits, strings.Repeat("x", 128)), "")
	expect(t, quota.ClientID(limits, strings.Repeat("x", 129)), "client_id_invalid: client identifier of 129 bytes is over client_id_bytes 128")
}

func TestRecipient(t *testing.T) {
	expect(t, quota.Recipient(limits, "x"), "")
	expect(t, quota.Recipient(limits, strings.Repeat("x", 128)), "")
	expect(t, quota.Recipient(limits, ""), "recipient_invalid: the message is addressed to an empty client identifier")
	expect(t, quota.Recipient(limits, strings.Repeat("x", 129)),
		"recipient_invalid: the message is addressed to a client identifier of 129 bytes, over client_id_bytes 128")
}

func TestPacket(t *testing.T) {
	expect(t, quota.Packet(limits, 131072), "")
	expect(t, quota.Packet(limits, 131073), "packet_too_large: packet of 131073 bytes is over message_bytes 131072")
}

func TestSubscriptions(t *testing.T) {
	expect(t, quota.Subscriptions(1000), "")
	expect(t, quota.Subscriptions(1001), "subscription_limit: 1001 subscriptions are over the maximum 1000 of a session")
}

// [MQTT-3.3.4-9]: the server sends no more than Receive Maximum.
func TestInflight(t *testing.T) {
	for _, test := range []struct {
		receiveMaximum uint16
		want           int
	}{{0, 100}, {1, 1}, {99, 99}, {100, 100}, {101, 100}, {65535, 100}} {
		if got := quota.Inflight(limits, test.receiveMaximum); got != test.want {
			t.Errorf("Inflight(%d) = %d, want %d", test.receiveMaximum, got, test.want)
		}
	}
}

func TestTopic(t *testing.T) {
	wide := tenant.Quotas{TopicBytes: -1}.Resolve()
	tests := []struct {
		name   string
		limits tenant.Limits
		topic  string
		want   string
	}{
		{"plain", limits, "sensors/room 1/temp", ""},
		{"slash alone", limits, "/", ""},
		{"dollar later", limits, "a/$b", ""},
		{"MQTT-4.7.3-1 empty", limits, "", "topic_invalid: topic is empty"},
		{"MQTT-4.7.2-1 reserved", limits, "$SYS/x", "topic_reserved: topics that start with $ are reserved"},
		{"dollar alone", limits, "$", "topic_reserved: topics that start with $ are reserved"},
		{"longest", limits, strings.Repeat("x", 256), ""},
		{"too long", limits, strings.Repeat("x", 257), "topic_invalid: topic of 257 bytes is over topic_bytes 256"},
		{"hard maximum", wide, strings.Repeat("x", 1024), ""},
		{"over the hard maximum", wide, strings.Repeat("x", 1025), "topic_invalid: topic of 1025 bytes is over topic_bytes 1024"},
		{"64 levels", limits, strings.Repeat("/", 63), ""},
		{"65 levels", limits, strings.Repeat("/", 64), "topic_invalid: topic of 65 levels is over the maximum 64"},
		// "mqtt.acme." is 10 bytes, each dot 3: 679 of them and one plain byte are 2,048.
		{"longest subject", wide, strings.Repeat(".", 679) + "x", ""},
		{"subject too long", wide, strings.Repeat(".", 679) + "xx", "topic_invalid: topic of 2049 bytes as a NATS subject is over the maximum 2048"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, quota.Topic(test.limits, "acme", test.topic), test.want)
			expect(t, quota.Topic(test.limits, "acme", []byte(test.topic)), test.want)
		})
	}
}

// encode writes a topic as a subject the plain way, by the rules of the mapping.
func encode(tenantName, topic string) string {
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		var b strings.Builder
		for _, c := range []byte(level) {
			if c <= 0x20 || c == 0x7F || strings.ContainsRune(".*>%", rune(c)) {
				b.WriteString("%XX")
			} else {
				b.WriteByte(c)
			}
		}
		if level == "" {
			b.WriteByte('%')
		}
		levels[i] = b.String()
	}
	return "mqtt." + tenantName + "." + strings.Join(levels, ".")
}

// A topic is refused for its subject exactly when the subject is too long, whatever the topic is made of.
func TestTopicSubjectLength(t *testing.T) {
	wide := tenant.Quotas{TopicBytes: -1}.Resolve()
	for _, unit := range []string{"x", ".", "ab.", "a/", "*>/%", "\x00 \x7f", "ü", "a///b*"} {
		refused := 0
		for n := 1; n*len(unit) <= tenant.MaxTopicBytes; n++ {
			topic := strings.Repeat(unit, n)
			if strings.Count(topic, "/") >= tenant.MaxTopicLevels {
				break
			}
			err := quota.Topic(wide, "acme", topic)
			if tooLong := len(encode("acme", topic)) > tenant.MaxSubjectBytes; tooLong != (err != nil) {
				t.Fatalf("%q times %d: got %v for a subject of %d bytes", unit, n, err, len(encode("acme", topic)))
			}
			if err != nil {
				refused++
			}
		}
		if (unit == "." || unit == "\x00 \x7f") && refused == 0 {
			t.Errorf("%q never gave a subject that is too long", unit)
		}
	}
}

func TestTopicAllocatesNothing(t *testing.T) {
	topic := []byte("sensors/room 1/temp")
	if n := testing.AllocsPerRun(100, func() {
		if quota.Topic(limits, "acme", topic) != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
