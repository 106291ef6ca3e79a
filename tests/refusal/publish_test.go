package refusal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestPublish(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(merge(
		map[string]string{"acme": "message_bytes: 4096, topic_bytes: 64", "wide": "topic_bytes: -1"},
		perVersion("topics", "topics: 2"),
		perVersion("backlog", "backlog_messages: 3"),
		perVersion("room", "backlog_bytes: 8192"),
		perVersion("storage", "backlog_bytes: 1048576, storage_bytes: 2097152"),
	))})
	inEach(t, w, "topic quota", publishTopicQuota)
	inEach(t, w, "storage full", publishStorageFull)
	inEach(t, w, "backlog full", publishBacklogFull)
	inEach(t, w, "backlog bytes", publishBacklogBytes)
	inEach(t, w, "reserved topic", publishReserved)
	inEach(t, w, "invalid topic", publishInvalid)
	inEach(t, w, "packet size", packetSize)
	inEach(t, w, "not served", notServed)
	inEach(t, w, "order", pubackOrder)
	inEach(t, w, "order with refusals", pubackOrderWithRefusals)
}

// refusedPublish expects what a PUBLISH is refused with that is not let in: 3.x is closed, 5 gets a PUBACK and stays, at QoS 0
// nobody is told.
func refusedPublish(t *testing.T, w *weirtest.Weir, v codec.Version, user, topic, payload string, code codec.ReasonCode, r reason.Reason) {
	t.Helper()
	id := "refused " + strings.TrimPrefix(t.Name(), "TestPublish/")
	dial := func(terse bool) *weirtest.Client {
		c := weirtest.Dial(t, w.MQTT(), v)
		p := connect(user, id)
		p.Properties.NoProblemInfo = terse
		c.Send(p)
		if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
			t.Fatalf("CONNACK 0x%02X", ack.Code)
		}
		return c
	}
	c := dial(false)
	c.Send(publish(topic, 0, 0, payload))
	ping(c)
	c.Send(publish(topic, 1, 5, payload), publish(topic, 1, 6, payload))
	if v != codec.V5 {
		c.ExpectClosed()
		return
	}
	for _, id := range []uint16{5, 6} {
		hasReason(t, puback(t, c, id, code).ReasonString, r)
	}
	ping(c)
	c.Send(&codec.Disconnect{})
	c.ExpectClosed()
	c = dial(true)
	c.Send(publish(topic, 1, 7, payload))
	if ack := puback(t, c, 7, code); ack.ReasonString != "" || len(ack.UserProperties) > 0 {
		t.Errorf("PUBACK %+v although the client wants no problem information", ack)
	}
	ping(c)
}

func publishTopicQuota(t *testing.T, w *weirtest.Weir, v codec.Version) {
	user := of("topics", v) + "/dev"
	c := login(t, w, v, user, "first")
	for _, topic := range []string{"a", "b", "a"} {
		c.Publish(topic, "x")
	}
	refusedPublish(t, w, v, user, "c", "x", 0x97, reason.TopicQuota)
	refusedPublish(t, w, v, user, "d", "x", 0x97, reason.TopicQuota)
	if ack := c.Publish("b", "x"); ack.Code >= 0x80 {
		t.Errorf("PUBACK 0x%02X %s for a topic that exists", ack.Code, ack.ReasonString)
	}
}

func publishStorageFull(t *testing.T, w *weirtest.Weir, v codec.Version) {
	user := of("storage", v) + "/dev"
	c := login(t, w, v, user, "first")
	for _, topic := range []string{"a", "b"} {
		if ack := c.Publish(topic, "x"); ack.Code >= 0x80 {
			t.Fatalf("PUBACK 0x%02X %s", ack.Code, ack.ReasonString)
		}
	}
	refusedPublish(t, w, v, user, "c", "x", 0x97, reason.StorageFull)
	ping(c)
}

func publishBacklogFull(t *testing.T, w *weirtest.Weir, v codec.Version) {
	user := of("backlog", v) + "/dev"
	holder := login(t, w, v, user, "holder")
	holder.Subscribe("held", 1)
	c := login(t, w, v, user, "publisher")
	for range 3 {
		if ack := c.Publish("held", "x"); ack.Code >= 0x80 {
			t.Fatalf("PUBACK 0x%02X %s", ack.Code, ack.ReasonString)
		}
	}
	refusedPublish(t, w, v, user, "held", "y", 0x97, reason.BacklogFull)
	// Another topic has its own backlog.
	c.Publish("other", "x")
	// Consumption makes room.
	for i := range 3 {
		if p := holder.Message(); string(p.Payload) != "x" {
			t.Errorf("message %d is %q", i, p.Payload)
		}
	}
	for i := range 4 {
		weirtest.Until(t, "there is room again", func() bool {
			c := login(t, w, v, user, "publisher")
			c.Send(publish("held", 1, 9, fmt.Sprint(i)))
			ack, err := c.Read()
			if weirtest.Closed(err) {
				return false
			}
			puback, ok := ack.(*codec.Ack)
			return ok && puback.Code < 0x80
		})
		if p := holder.Message(); string(p.Payload) != fmt.Sprint(i) {
			t.Errorf("message %d is %q", i, p.Payload)
		}
	}
}

func publishBacklogBytes(t *testing.T, w *weirtest.Weir, v codec.Version) {
	user := of("room", v) + "/dev"
	holder := login(t, w, v, user, "holder")
	holder.Subscribe("held", 1)
	c := login(t, w, v, user, "publisher")
	if ack := c.Publish("held", strings.Repeat("x", 4000)); ack.Code >= 0x80 {
		t.Fatalf("PUBACK 0x%02X %s", ack.Code, ack.ReasonString)
	}
	refusedPublish(t, w, v, user, "held", strings.Repeat("y", 5000), 0x97, reason.BacklogFull)
	if p := holder.Message(); len(p.Payload) != 4000 {
		t.Errorf("a message of %d bytes", len(p.Payload))
	}
	refusedPublish(t, w, v, user, "held", strings.Repeat("z", 10000), 0x97, reason.MessageTooLarge)
	ping(holder)
}

func publishReserved(t *testing.T, w *weirtest.Weir, v codec.Version) {
	for _, topic := range []string{"$SYS/x", "$debug/$error", "$debug/$error/x", "$", "$share/g/t"} {
		refusedPublish(t, w, v, "acme/dev", topic, "x", 0x90, reason.TopicReserved)
	}
}

func publishInvalid(t *testing.T, w *weirtest.Weir, v codec.Version) {
	ok := login(t, w, v, "acme/dev", "fits-"+v.String())
	if ack := ok.Publish(strings.Repeat("t", 64), "x"); ack.Code >= 0x80 {
		t.Errorf("PUBACK 0x%02X %s", ack.Code, ack.ReasonString)
	}
	refusedPublish(t, w, v, "acme/dev", strings.Repeat("t", 65), "x", 0x90, reason.TopicInvalid)
	// 64 levels are the most, and 2,048 bytes as a subject, whatever the quota says.
	ok = login(t, w, v, "wide/dev", "fits-"+v.String())
	for _, topic := range []string{strings.Repeat("/", 63), strings.Repeat("t", 1024), strings.Repeat(".", 679)} {
		if ack := ok.Publish(topic, "x"); ack.Code >= 0x80 {
			t.Errorf("PUBACK 0x%02X %s for %.20q…", ack.Code, ack.ReasonString, topic)
		}
	}
	for _, topic := range []string{strings.Repeat("/", 64), strings.Repeat("t", 1025), strings.Repeat(".", 680)} {
		refusedPublish(t, w, v, "wide/dev", topic, "x", 0x90, reason.TopicInvalid)
	}
}

// message_bytes is the whole packet, fixed header included. One that is larger is refused by its length.
func packetSize(t *testing.T, w *weirtest.Weir, v codec.Version) {
	p := publish("size", 1, 3, "")
	p.Payload = make([]byte, 4096-len(bytesOf(t, p, v))-1) // the remaining length takes a byte more
	c := login(t, w, v, "acme/dev", "size-"+v.String())
	c.Send(p)
	if n := len(bytesOf(t, p, v)); n != 4096 {
		t.Fatalf("the packet has %d bytes", n)
	}
	puback(t, c, 3, 0)
	p.Payload = append(p.Payload, 0)
	p.PacketID = 4
	c.Send(publish("size", 1, 9, "before"))
	puback(t, c, 9, 0)
	c.SendBytes(bytesOf(t, p, v)[:10])
	ended(t, c, 0x95, reason.PacketTooLarge)
}

func notServed(t *testing.T, w *weirtest.Weir, v codec.Version) {
	for _, one := range []struct {
		change func(p *codec.Publish)
		code   codec.ReasonCode
		r      reason.Reason
	}{
		{func(p *codec.Publish) { p.QoS = 2 }, 0x9B, reason.QoSUnsupported},
		{func(p *codec.Publish) { p.Retain = true }, 0x9A, reason.RetainUnsupported},
		{func(p *codec.Publish) { p.QoS, p.PacketID, p.Retain = 0, 0, true }, 0x9A, reason.RetainUnsupported},
		{func(p *codec.Publish) { p.Properties.HasTopicAlias, p.Properties.TopicAlias = true, 1 }, 0x94, reason.TopicAlias},
		{func(p *codec.Publish) { p.Properties.SubscriptionIDs = []uint32{1} }, 0x82, reason.ProtocolError},
	} {
		p := publish("served", 1, 3, "x")
		one.change(p)
		if v != codec.V5 && (p.Properties.HasTopicAlias || p.Properties.SubscriptionIDs != nil) {
			continue
		}
		c := login(t, w, v, "acme/dev", "later-"+v.String())
		c.Send(p)
		ended(t, c, one.code, one.r)
	}
}

// PUBACKs leave in the order of the PUBLISH packets [MQTT-4.6.0-2], with topics that are known, unknown and being created at
// the same moment.
func pubackOrder(t *testing.T, w *weirtest.Weir, v codec.Version) {
	c := login(t, w, v, "wide/dev", "order-"+v.String())
	const n = 600
	var packets []codec.Packet
	for i := range n {
		packets = append(packets, publish(fmt.Sprintf("order/%s/%d", v, i%7), 1, uint16(i+1), "x"))
		if i%50 == 0 {
			packets = append(packets, publish(fmt.Sprintf("order/%s/new/%d", v, i), 0, 0, "x"))
		}
	}
	c.Send(packets...)
	for i := range n {
		puback(t, c, uint16(i+1), 0)
	}
	ping(c)
}

// The same with publishes between them that are refused: 5 gets every answer at its place; 3.x gets those before the
// first refusal, and nothing after it.
func pubackOrderWithRefusals(t *testing.T, w *weirtest.Weir, v codec.Version) {
	c := login(t, w, v, "wide/dev", "refusals-"+v.String())
	const n = 100
	refused := func(i int) bool { return i%10 == 9 }
	var packets []codec.Packet
	for i := range n {
		topic := fmt.Sprintf("refusals/%s/%d", v, i%3)
		if refused(i) {
			topic = "$reserved"
		}
		packets = append(packets, publish(topic, 1, uint16(i+1), "x"))
	}
	c.Send(packets...)
	for i := range n {
		switch {
		case !refused(i):
			puback(t, c, uint16(i+1), 0)
		case v == codec.V5:
			puback(t, c, uint16(i+1), 0x90)
		default:
			c.ExpectClosed()
			return
		}
	}
}
