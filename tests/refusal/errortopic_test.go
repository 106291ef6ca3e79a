package refusal

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

const ownErrors, allErrors = "$debug/$error", "$debug/$error/#"

// entry is one message of the error topic.
type entry struct {
	topic string

	Time       time.Time     `json:"time"`
	ClientID   string        `json:"clientId"`
	Code       reason.Reason `json:"code"`
	Message    string        `json:"message"`
	Packet     string        `json:"packet"`
	Topic      string        `json:"topic"`
	PacketID   uint16        `json:"packetId"`
	Suppressed int           `json:"suppressed"`
}

// nextEntry receives one message of the error topic.
func nextEntry(t *testing.T, c *weirtest.Client) entry {
	t.Helper()
	p := c.Message()
	e := entry{topic: string(p.Topic)}
	if err := json.Unmarshal(p.Payload, &e); err != nil {
		t.Fatalf("%q: %v", p.Payload, err)
	}
	if e.ClientID == "" || e.Code == "" || e.Message == "" || e.Time.IsZero() {
		t.Errorf("%s: something is missing", p.Payload)
	}
	return e
}

// expectEntry compares what one can know of an entry.
func expectEntry(t *testing.T, got entry, id string, code reason.Reason, packet, topic string, packetID uint16) {
	t.Helper()
	if got.ClientID != id || got.Code != code || got.Packet != packet || got.Topic != topic || got.PacketID != packetID {
		t.Errorf("entry %+v, want %s of %s for %s %d on %q", got, code, id, packet, packetID, topic)
	}
}

func TestErrorTopic(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(merge(
		map[string]string{"acme": "", "hundred": "", "full": "topics: -1, backlog_messages: 1"},
		perVersion("silent", ""), perVersion("rate", ""), perVersion("strange", ""),
	))})
	inEach(t, w, "own", ownErrorsOnly)
	inEach(t, w, "previous connection", previousConnection)
	inEach(t, w, "other user", errorsOfOtherUser)
	inEach(t, w, "dropped", droppedIsTold)
	inEach(t, w, "rate", errorRate)
	inEach(t, w, "before authentication", nothingBeforeAuthentication)
	inEach(t, w, "refused CONNECT", refusedConnectIsTold)
	inEach(t, w, "all", errorsOfTenant)
	t.Run("last hundred", func(t *testing.T) { t.Parallel(); lastHundred(t, w) })
}

// A client sees what it is refused as it happens, and nothing of others.
func ownErrorsOnly(t *testing.T, w *weirtest.Weir, v codec.Version) {
	id, before := "own-"+v.String(), time.Now().Add(-time.Second)
	c := login(t, w, v, "acme/dev", id)
	c.Subscribe(ownErrors, 1)
	neighbour := login(t, w, v, "acme/dev", id+"-neighbour")
	neighbour.Send(publish("$neighbour", 0, 0, "x"))
	ping(neighbour)

	c.Send(publish("$x/y", 0, 0, "x"))
	e := nextEntry(t, c)
	expectEntry(t, e, id, reason.TopicReserved, "PUBLISH", "$x/y", 0)
	if e.topic != ownErrors {
		t.Errorf("the entry came on %q", e.topic)
	}
	if e.Time.Before(before) || e.Time.After(time.Now().Add(time.Second)) {
		t.Errorf("the entry is of %s", e.Time)
	}
	c.Send(subscribe(300, 1, "$share/g/a"))
	if nextSuback(t, c).PacketID != 300 {
		t.Error("another SUBACK")
	}
	expectEntry(t, nextEntry(t, c), id, reason.SharedUnsupported, "SUBSCRIBE", "$share/g/a", 300)
	ping(c)
}

// After a connection that Weir has closed the client finds the reason when it has connected again.
func previousConnection(t *testing.T, w *weirtest.Weir, v codec.Version) {
	id := "previous-" + v.String()
	c := login(t, w, v, "acme/dev", id)
	c.Send(publish("$x", 1, 9, "x"))
	if v == codec.V5 {
		puback(t, c, 9, 0x90)
		c.Send(&codec.Disconnect{})
	}
	c.ExpectClosed()
	c = login(t, w, v, "acme/dev", id)
	c.SendBytes(framed(0xC0, 1, 2))
	ended(t, c, 0x81, reason.MalformedPacket)

	for _, q := range []codec.QoS{1, 0, 1} { // they are kept, whoever has seen them
		c = login(t, w, v, "acme/dev", id)
		c.Subscribe(ownErrors, q)
		expectEntry(t, nextEntry(t, c), id, reason.TopicReserved, "PUBLISH", "$x", 9)
		if e := nextEntry(t, c); e.ClientID != id || e.Code != reason.MalformedPacket {
			t.Errorf("entry %+v, want %s", e, reason.MalformedPacket)
		}
		ping(c)
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
	}
}

// A user sees nothing of the user who had the client identifier before.
func errorsOfOtherUser(t *testing.T, w *weirtest.Weir, v codec.Version) {
	id := "lent-" + v.String()
	for range 2 {
		for _, user := range []string{"acme/dev", "acme/other", "acme/" + strange} {
			c := login(t, w, v, user, id)
			c.Send(publish("$of/"+user, 0, 0, "x"))
			ping(c)
			c.Send(&codec.Disconnect{})
			c.ExpectClosed()
		}
	}
	for _, user := range []string{"acme/other", "acme/" + strange, "acme/dev", "acme/app"} {
		c := login(t, w, v, user, id)
		c.Subscribe(ownErrors, 1)
		if user != "acme/app" {
			for range 2 {
				expectEntry(t, nextEntry(t, c), id, reason.TopicReserved, "PUBLISH", "$of/"+user, 0)
			}
		}
		c.Send(publish("$last", 0, 0, "x"))
		expectEntry(t, nextEntry(t, c), id, reason.TopicReserved, "PUBLISH", "$last", 0)
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
	}
}

// What is dropped at QoS 0 is told there, although only the answer of JetStream showed it.
func droppedIsTold(t *testing.T, w *weirtest.Weir, v codec.Version) {
	topic, id := "held/"+v.String(), "dropped-"+v.String()
	holder := login(t, w, v, "full/dev", "holder-"+v.String())
	holder.Subscribe(topic, 1)
	c := login(t, w, v, "full/dev", id)
	c.Subscribe(ownErrors, 1)
	c.Publish(topic, "x")
	c.Send(publish(topic, 0, 0, "y"))
	expectEntry(t, nextEntry(t, c), id, reason.BacklogFull, "PUBLISH", topic, 0)
	ping(c)
	holder.Message()
	ping(holder)
}

// At most 10 entries in any second, then one that tells how many were left out.
func errorRate(t *testing.T, w *weirtest.Weir, v codec.Version) {
	user, id := of("rate", v)+"/dev", "rate"
	watcher := login(t, w, v, of("rate", v)+"/app", "watcher")
	watcher.Subscribe(allErrors, 1)
	const connections, each = 6, 10
	const faults = connections * each
	for range connections { // a client that connects again is still the same client
		c := login(t, w, v, user, id)
		for range each {
			c.Send(publish("$x", 0, 0, "x"))
		}
		ping(c)
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
	}
	told, suppressed := []entry{}, 0
	for suppressed == 0 || len(told)+suppressed < faults {
		e := nextEntry(t, watcher)
		if e.Suppressed > 0 {
			expectEntry(t, e, id, reason.ErrorRate, "", "", 0)
			suppressed += e.Suppressed
			continue
		}
		told = append(told, e)
	}
	if len(told)+suppressed != faults {
		t.Errorf("%d entries and %d suppressed of %d", len(told), suppressed, faults)
	}
	for i := range told[:max(0, len(told)-10)] {
		if d := told[i+10].Time.Sub(told[i].Time); d < time.Second {
			t.Errorf("eleven entries within %s", d)
		}
	}
}

// Whoever has not shown a password writes nothing anywhere.
func nothingBeforeAuthentication(t *testing.T, w *weirtest.Weir, v codec.Version) {
	tenant, id := of("silent", v), "victim"
	watcher := login(t, w, v, tenant+"/app", "watcher")
	watcher.Subscribe(allErrors, 1)
	for _, change := range []func(*codec.Connect){
		func(p *codec.Connect) { p.Password = []byte("wrong") },
		func(p *codec.Connect) { p.Password, p.Will = []byte("wrong"), &codec.Will{Topic: "$x"} },
		func(p *codec.Connect) { p.Username = tenant + "/nobody" },
	} {
		c := weirtest.Dial(t, w.MQTT(), v)
		p := connect(tenant+"/dev", id)
		change(p)
		c.Send(p)
		refused(t, c, codes{5, 0x86}, reason.BadCredentials)
	}
	for _, b := range [][]byte{framed(0xC0), framed(0x10, 0, 4, 'M', 'Q', 'T', 'T', 4, 3)} {
		c := weirtest.Dial(t, w.MQTT(), v)
		c.SendBytes(b)
		c.ExpectClosed()
	}
	c := login(t, w, v, tenant+"/dev", id)
	c.Subscribe(ownErrors, 1)
	c.Send(publish("$first", 0, 0, "x"))
	for _, c := range []*weirtest.Client{c, watcher} {
		expectEntry(t, nextEntry(t, c), id, reason.TopicReserved, "PUBLISH", "$first", 0)
	}
}

// A CONNECT that is refused after authentication is the client's own error.
func refusedConnectIsTold(t *testing.T, w *weirtest.Weir, v codec.Version) {
	id := "connect-" + v.String()
	c := weirtest.Dial(t, w.MQTT(), v)
	p := connect("acme/dev", id)
	p.Will = &codec.Will{Topic: "$w"}
	c.Send(p)
	refused(t, c, codes{5, 0x90}, reason.WillTopicInvalid)
	c = login(t, w, v, "acme/dev", id)
	c.Subscribe(ownErrors, 1)
	if e := nextEntry(t, c); e.ClientID != id || e.Code != reason.WillTopicInvalid || e.Packet != "CONNECT" {
		t.Errorf("entry %+v", e)
	}
}

// An application sees the whole tenant's, the last level being the client identifier, percent-encoded.
func errorsOfTenant(t *testing.T, w *weirtest.Weir, v codec.Version) {
	watcher := login(t, w, v, of("strange", v)+"/app", "watcher")
	watcher.Subscribe(allErrors, 1)
	ids := map[string]bool{}
	for _, id := range []string{"plain", "a/b", "#", "+", "/", "a%2Fb", "%", "$", "$x", "a b", "é.*>x", "..", "\u007f", "ünïcode→"} {
		ids[id] = true
		c := login(t, w, v, of("strange", v)+"/dev", id)
		c.Send(publish("$x", 0, 0, "x"))
		ping(c)
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
	}
	for len(ids) > 0 {
		e := nextEntry(t, watcher)
		level, ok := strings.CutPrefix(e.topic, "$debug/$error/")
		id, err := url.PathUnescape(level)
		if !ok || err != nil || strings.ContainsAny(level, "/+#") || id != e.ClientID {
			t.Errorf("topic %q of client %q: %v", e.topic, e.ClientID, err)
		}
		delete(ids, e.ClientID)
	}
	// What was written before the SUBSCRIBE is not delivered, as with any topic.
	late := login(t, w, v, of("strange", v)+"/app", "late")
	late.Subscribe(allErrors, 1)
	c := login(t, w, v, of("strange", v)+"/dev", "last")
	c.Send(publish("$last", 0, 0, "x"))
	expectEntry(t, nextEntry(t, late), "last", reason.TopicReserved, "PUBLISH", "$last", 0)
	ping(late)
}

// The last hundred are kept.
func lastHundred(t *testing.T, w *weirtest.Weir) {
	c := login(t, w, codec.V5, "hundred/dev", "hundred")
	const faults = 115
	ticker := time.NewTicker(120 * time.Millisecond) // under the rate
	defer ticker.Stop()
	for i := range faults {
		c.Send(publish("$x", 1, uint16(i+1), "x"))
		puback(t, c, uint16(i+1), 0x90)
		<-ticker.C
	}
	c.Subscribe(ownErrors, 1)
	for i := faults - 100; i < faults; i++ {
		if e := nextEntry(t, c); e.PacketID != uint16(i+1) {
			t.Fatalf("packet identifier %d, want %d", e.PacketID, i+1)
		}
	}
	ping(c)
}
