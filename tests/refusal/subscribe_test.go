package refusal

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestSubscribe(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(merge(
		map[string]string{"acme": "topic_bytes: 64", "wide": "topic_bytes: -1, topics: -1, backlog_bytes: 65536"},
		perVersion("topics", "topics: 2"),
		perVersion("storage", "backlog_bytes: 1048576, storage_bytes: 2097152"),
	))})
	inEach(t, w, "filters", filters)
	inEach(t, w, "topic quota", subscribeTopicQuota)
	inEach(t, w, "storage full", subscribeStorageFull)
	inEach(t, w, "subscriptions", manySubscriptions)
	inEach(t, w, "unsubscribe", unsubscribe)
	inEach(t, w, "again", subscribeAgain)
	inEach(t, w, "DUP", dup)
	t.Run("identifier", func(t *testing.T) { t.Parallel(); subscriptionIdentifier(t, w) })
	t.Run("no problem information", func(t *testing.T) { t.Parallel(); terseSuback(t, w) })
}

// Each filter has its own answer, in order [MQTT-3.8.4-5]. (5: [MQTT-3.8.4-6])
func filters(t *testing.T, w *weirtest.Weir, v codec.Version) {
	for user, reserved := range map[string]bool{"acme/dev": true, "acme/app": false} {
		c := login(t, w, v, user, user[5:]+"-filters-"+v.String())
		table := []struct {
			filter string
			q      codec.QoS
			codes  codes
		}{
			{"plain/0", 0, codes{0, 0}},
			{"plain/1", 1, codes{1, 1}},
			{"plain/2", 2, codes{1, 1}}, // granted 1
			{"a/+", 1, codes{1, 1}},
			{"+/+/#", 0, codes{0, 0}},
			{"a/#", 2, codes{1, 1}},
			{"$share/g/a", 1, codes{0x80, 0x9E}},
			{"$share/g/a/#", 1, codes{0x80, 0x9E}},
			{"$SYS/#", 0, codes{0x80, 0x8F}},
			{"$SYS/x", 0, codes{0x80, 0x8F}},
			{"$debug/$error", 1, codes{1, 1}},
			{"$debug/#", 1, codes{0x80, 0x8F}},
			{"$debug/$error/+", 1, codes{0x80, 0x8F}},
			{"$debug/$error/x", 1, codes{0x80, 0x8F}},
			{"$debug", 1, codes{0x80, 0x8F}},
			{"$", 1, codes{0x80, 0x8F}},
			{"", 1, codes{0x80, 0x8F}},
			{"a/#/b", 1, codes{0x80, 0x8F}},
			{"a+", 1, codes{0x80, 0x8F}},
			{"a#", 1, codes{0x80, 0x8F}},
			{strings.Repeat("t", 64), 1, codes{1, 1}},
			{strings.Repeat("t", 65), 1, codes{0x80, 0x8F}},
			{"plain/after", 1, codes{1, 1}},
		}
		if reserved {
			table = append(table, struct {
				filter string
				q      codec.QoS
				codes  codes
			}{"$debug/$error/#", 1, codes{0x80, 0x8F}})
		} else {
			table = append(table, struct {
				filter string
				q      codec.QoS
				codes  codes
			}{"$debug/$error/#", 0, codes{0, 0}})
		}
		p := &codec.Subscribe{PacketID: 0xABCD}
		for _, one := range table {
			p.Subscriptions = append(p.Subscriptions, codec.Subscription{Filter: one.filter, QoS: one.q})
		}
		c.Send(p)
		ack := nextSuback(t, c)
		if ack.PacketID != 0xABCD || len(ack.Codes) != len(table) {
			t.Fatalf("SUBACK %+v", ack)
		}
		for i, one := range table {
			if want := one.codes.of(v); ack.Codes[i] != want {
				t.Errorf("%s, %q at QoS %d: 0x%02X, want 0x%02X", user, one.filter, one.q, ack.Codes[i], want)
			}
		}
		if v == codec.V5 {
			hasReason(t, ack.ReasonString, reason.SharedUnsupported) // of the first that is refused
		}
	}
}

// nextSuback skips messages, those of the error topic, before a SUBACK.
func nextSuback(t *testing.T, c *weirtest.Client) *codec.Suback {
	t.Helper()
	for {
		switch p := c.Next().(type) {
		case *codec.Suback:
			return p
		case *codec.Publish:
		default:
			t.Fatalf("received %s instead of SUBACK", p.Type())
		}
	}
}

func subscribeTopicQuota(t *testing.T, w *weirtest.Weir, v codec.Version) {
	user := of("topics", v) + "/dev"
	c := login(t, w, v, user, "subscriber")
	c.Send(subscribe(1, 1, "a", "b", "c", "a"))
	ack := weirtest.Expect[*codec.Suback](c)
	full := codes{0x80, 0x97}.of(v)
	if !slices.Equal(ack.Codes, []codec.ReasonCode{1, 1, full, 1}) {
		t.Errorf("SUBACK % X", ack.Codes)
	}
	if v == codec.V5 {
		hasReason(t, ack.ReasonString, reason.TopicQuota)
	}
	other := login(t, w, v, user, "publisher")
	if ack := other.Publish("b", "x"); ack.Code >= 0x80 {
		t.Errorf("PUBACK 0x%02X", ack.Code)
	}
	if p := c.Message(); string(p.Topic) != "b" || string(p.Payload) != "x" {
		t.Errorf("received %q on %q", p.Payload, p.Topic)
	}
}

func subscribeStorageFull(t *testing.T, w *weirtest.Weir, v codec.Version) {
	user := of("storage", v) + "/dev"
	c := login(t, w, v, user, "subscriber")
	c.Send(subscribe(1, 1, "a", "b", "c"))
	ack := weirtest.Expect[*codec.Suback](c)
	full := codes{0x80, 0x97}.of(v)
	if !slices.Equal(ack.Codes, []codec.ReasonCode{1, 1, full}) {
		t.Errorf("SUBACK % X %s", ack.Codes, ack.ReasonString)
	}
	if v == codec.V5 {
		hasReason(t, ack.ReasonString, reason.StorageFull)
	}
	ping(c)
}

// A session may have 1,000 subscriptions. One topic has many filters only where there are wildcards, so this is done with
// filters that make no stream, and a few that do.
func manySubscriptions(t *testing.T, w *weirtest.Weir, v codec.Version) {
	c := login(t, w, v, "wide/app", "many-"+v.String())
	p := &codec.Subscribe{PacketID: 2}
	for range 2000 {
		p.Subscriptions = append(p.Subscriptions, codec.Subscription{Filter: "one", QoS: 1})
	}
	c.Send(p)
	ack := weirtest.Expect[*codec.Suback](c)
	if len(ack.Codes) != 2000 || slices.ContainsFunc(ack.Codes, func(c codec.ReasonCode) bool { return c != 1 }) {
		t.Errorf("%d codes, want 2000 times 1", len(ack.Codes))
	}
}

func unsubscribe(t *testing.T, w *weirtest.Weir, v codec.Version) {
	c := login(t, w, v, "acme/dev", "unsubscribe-"+v.String())
	topic := "leave/" + v.String()
	c.Subscribe(topic, 1)
	c.Send(&codec.Unsubscribe{PacketID: 9, Filters: []string{topic, topic, "never", "a/#/b", ""}})
	ack := weirtest.Expect[*codec.Unsuback](c)
	if ack.PacketID != 9 {
		t.Errorf("UNSUBACK %d", ack.PacketID)
	}
	if v == codec.V5 && !slices.Equal(ack.Codes, []codec.ReasonCode{0, 0x11, 0x11, 0x8F, 0x8F}) {
		t.Errorf("UNSUBACK % X", ack.Codes)
	}
	if ack := login(t, w, v, "acme/other", "leaver-"+v.String()).Publish(topic, "x"); ack.Code >= 0x80 {
		t.Errorf("PUBACK 0x%02X", ack.Code)
	}
	ping(c)
	c.Subscribe(topic, 1)
	ping(c) // nothing of before
}

// A SUBSCRIBE with a filter that exists replaces the subscription, and no message is lost or comes twice [MQTT-3.8.4-3].
func subscribeAgain(t *testing.T, w *weirtest.Weir, v codec.Version) {
	c := login(t, w, v, "acme/dev", "again-"+v.String())
	topic := "again/" + v.String()
	other := login(t, w, v, "acme/other", "againer-"+v.String())
	for _, q := range []codec.QoS{0, 1, 1, 0, 0, 1} {
		c.Subscribe(topic, q)
		if ack := other.Publish(topic, "x"); ack.Code >= 0x80 {
			t.Errorf("PUBACK 0x%02X", ack.Code)
		}
		if p := c.Message(); p.QoS != q {
			t.Errorf("delivered at QoS %d, granted %d", p.QoS, q)
		}
		ping(c)
	}
}

// DUP is legal on SUBSCRIBE, UNSUBSCRIBE and PUBREL in 3.1; from 3.1.1 on it is a reserved bit.
func dup(t *testing.T, w *weirtest.Weir, v codec.Version) {
	for _, p := range []codec.Packet{
		subscribe(1, 1, "dup"),
		&codec.Unsubscribe{PacketID: 1, Filters: []string{"dup"}},
		&codec.Ack{Kind: codec.PUBREL, PacketID: 1},
	} {
		c := login(t, w, v, "acme/dev", "dup-"+v.String())
		b := bytesOf(t, p, v)
		b[0] |= 0x08
		c.SendBytes(b)
		if v != codec.V31 {
			ended(t, c, 0x81, reason.MalformedPacket)
			continue
		}
		c.Next()
		ping(c)
	}
}

func subscriptionIdentifier(t *testing.T, w *weirtest.Weir) {
	c := login(t, w, codec.V5, "acme/dev", "identifier")
	p := subscribe(1, 1, "a", "b/c")
	p.SubscriptionID = 5
	c.Send(p)
	ack := weirtest.Expect[*codec.Suback](c)
	if !slices.Equal(ack.Codes, []codec.ReasonCode{1, 1}) {
		t.Errorf("SUBACK % X", ack.Codes)
	}
	c.Send(publish("b/c", 0, 0, "x"))
	if got := weirtest.Expect[*codec.Publish](c); !slices.Equal(got.Properties.SubscriptionIDs, []uint32{5}) {
		t.Errorf("PUBLISH with the identifiers %d", got.Properties.SubscriptionIDs)
	}
	ping(c)
}

func terseSuback(t *testing.T, w *weirtest.Weir) {
	c := weirtest.Dial(t, w.MQTT(), codec.V5)
	p := connect("acme/dev", "terse")
	p.Properties.NoProblemInfo = true
	c.Send(p, subscribe(1, 1, "$x", "$share/g/a"))
	weirtest.Expect[*codec.Connack](c)
	ack := weirtest.Expect[*codec.Suback](c)
	if !slices.Equal(ack.Codes, []codec.ReasonCode{0x8F, 0x9E}) || ack.ReasonString != "" || len(ack.UserProperties) > 0 {
		t.Errorf("SUBACK %+v", ack)
	}
	// A DISCONNECT from Weir has none either.
	c.SendBytes([]byte{0xC1, 0})
	if d := weirtest.Expect[*codec.Disconnect](c); d.Code != 0x81 || d.ReasonString != "" || len(d.UserProperties) > 0 {
		t.Errorf("DISCONNECT %+v", d)
	}
	c.ExpectClosed()
}
