package refusal

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// bytesOf is the packet on the wire.
func bytesOf(t *testing.T, p codec.Packet, v codec.Version) []byte {
	t.Helper()
	b, err := p.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// framed is a packet of a first byte and a body shorter than 128 bytes, whatever is in it.
func framed(first byte, body ...byte) []byte {
	return append([]byte{first, byte(len(body))}, body...)
}

func TestConnect(t *testing.T) {
	w := weirtest.Start(t, weirtest.Options{Tenants: tenants(merge(
		map[string]string{
			"acme":  "client_id_bytes: 20, topic_bytes: 30, message_bytes: 4096",
			"wide":  "client_id_bytes: -1, topic_bytes: -1",
			"alive": "keep_alive_max: 60s, message_bytes: 65536, inflight: 7",
		},
		perVersion("few", "connections: 2"),
	))})
	inEach(t, w, "first packet", firstPacket)
	inEach(t, w, "malformed", malformedConnect)
	inEach(t, w, "too large", largeConnect)
	t.Run("unknown version", func(t *testing.T) { t.Parallel(); unknownVersion(t, w) })
	inEach(t, w, "credentials", sameAnswer)
	inEach(t, w, "client identifier", clientIdentifier)
	inEach(t, w, "other user", otherUser)
	inEach(t, w, "will", refusedWill)
	inEach(t, w, "connections", connections)
	t.Run("authentication method", func(t *testing.T) { t.Parallel(); authenticationMethod(t, w) })
	t.Run("no problem information", func(t *testing.T) { t.Parallel(); noProblemInformation(t, w) })
	inEach(t, w, "accepted", accepted)
	t.Run("announced", func(t *testing.T) { t.Parallel(); announced(t, w) })
}

// A packet that is not CONNECT tells no version, so that there is nothing to answer with [MQTT-3.1.0-1].
func firstPacket(t *testing.T, w *weirtest.Weir, v codec.Version) {
	for _, p := range []codec.Packet{
		&codec.Pingreq{},
		publish("a", 1, 1, "x"),
		subscribe(1, 0, "a"),
		&codec.Disconnect{},
		&codec.Connack{},
	} {
		c := weirtest.Dial(t, w.MQTT(), v)
		c.Send(p, connect("acme/dev", "late"))
		c.ExpectClosed()
	}
	for _, b := range [][]byte{{0x00, 0x00}, {0x10, 0x00}, {0x10, 0xFF, 0xFF, 0xFF, 0xFF}, framed(0x10, 0, 4, 'H', 'T', 'T', 'P', byte(v))} {
		c := weirtest.Dial(t, w.MQTT(), v)
		c.SendBytes(b)
		c.ExpectClosed()
	}
}

func malformedConnect(t *testing.T, w *weirtest.Weir, v codec.Version) {
	plain := bytesOf(t, connect("acme/dev", "id"), v)
	flags := 2 + 2 + len("MQTT") + 1 // where the connect flags are
	if v == codec.V31 {
		flags += len("MQIsdp") - len("MQTT")
	}
	with := func(change func(b []byte)) []byte {
		b := slices.Clone(plain)
		change(b)
		return b
	}
	malformed := [][]byte{
		with(func(b []byte) { b[len(b)-len(password)-2] = 1 }),            // a password longer than the packet
		append(with(func(b []byte) { b[1]++ }), 0),                        // a byte behind the last field
		with(func(b []byte) { b[flags] |= 0x1C }),                         // will QoS 3 [MQTT-3.1.2-14]
		with(func(b []byte) { b[bytes.Index(b, []byte("acme"))] = 0xFF }), // a user name that is not UTF-8
		with(func(b []byte) { b[bytes.Index(b, []byte("id"))] = 0 }),      // a client identifier with U+0000
	}
	if v != codec.V31 {
		malformed = append(malformed,
			with(func(b []byte) { b[flags] |= 1 }),    // [MQTT-3.1.2-3]
			with(func(b []byte) { b[flags] |= 0x08 }), // will QoS without will
			with(func(b []byte) { b[flags] |= 0x20 }), // will retain without will
			with(func(b []byte) { b[0] |= 2 }),        // reserved bits of the fixed header
		)
	}
	for _, b := range malformed {
		c := weirtest.Dial(t, w.MQTT(), v)
		c.SendBytes(b)
		refused(t, c, codes{0, 0x81}, reason.MalformedPacket)
	}
	if v != codec.V5 {
		return
	}
	properties := func(p ...byte) []byte {
		b := slices.Insert(slices.Clone(plain), 13, p...)
		b[12] = byte(len(p))
		b[1] += byte(len(p))
		return b
	}
	for _, p := range [][]byte{
		properties(0x21, 0, 0),       // Receive Maximum 0
		properties(0x27, 0, 0, 0, 0), // Maximum Packet Size 0
		properties(0x17, 1, 0x17, 1), // twice
		properties(0x17, 2),          // Request Problem Information 2
		properties(0x16, 0, 1, 'x'),  // authentication data without a method
	} {
		c := weirtest.Dial(t, w.MQTT(), v)
		c.SendBytes(p)
		refused(t, c, codes{0, 0x82}, reason.ProtocolError)
	}
	c := weirtest.Dial(t, w.MQTT(), v)
	c.SendBytes(properties(0x23, 0, 1)) // a Topic Alias
	refused(t, c, codes{0, 0x81}, reason.MalformedPacket)
}

// Before CONNACK the limit is one of Weir's, after authentication the tenant's.
func largeConnect(t *testing.T, w *weirtest.Weir, v codec.Version) {
	p := connect("acme/dev", "large-"+v.String())
	p.Will = &codec.Will{Topic: "w"}
	p.Will.Payload = make([]byte, 4096-len(bytesOf(t, p, v))-1) // the remaining length takes a byte more
	if n := len(bytesOf(t, p, v)); n != 4096 {
		t.Fatalf("the CONNECT has %d bytes", n)
	}
	c := weirtest.Dial(t, w.MQTT(), v)
	c.Send(p)
	if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
		t.Errorf("CONNACK 0x%02X for a CONNECT of message_bytes", ack.Code)
	}
	c.Send(&codec.Disconnect{})
	c.ExpectClosed()

	p.Will.Payload = append(p.Will.Payload, 0)
	c = weirtest.Dial(t, w.MQTT(), v)
	c.Send(p)
	refused(t, c, codes{0, 0x95}, reason.PacketTooLarge)

	// The beginning of one of 256 MiB: it is refused by its length, whoever it is from.
	b := bytesOf(t, p, v)
	b = append([]byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, b[3:]...)
	c = weirtest.Dial(t, w.MQTT(), v)
	c.SendBytes(b)
	refused(t, c, codes{0, 0x95}, reason.PacketTooLarge)
}

// The form of the answer is that of the version that is nearest. [MQTT-3.1.2-2]
func unknownVersion(t *testing.T, w *weirtest.Weir) {
	for _, one := range []struct {
		name   string
		level  byte
		answer codec.Version
	}{
		{"MQTT", 0, codec.V311},
		{"MQTT", 3, codec.V311},
		{"MQTT", 6, codec.V5},
		{"MQTT", 7, codec.V5},
		{"MQIsdp", 2, codec.V311},
		{"MQIsdp", 4, codec.V311},
		{"MQTT", 0x84, codec.V311}, // a bridge of mosquitto
	} {
		v := codec.V311
		if one.name == "MQIsdp" {
			v = codec.V31
		}
		b := bytesOf(t, connect("acme/dev", "id"), v)
		b[4+len(one.name)] = one.level
		c := weirtest.Dial(t, w.MQTT(), one.answer)
		c.SendBytes(b)
		t.Logf("%s %d", one.name, one.level)
		refused(t, c, codes{1, 0x84}, reason.UnsupportedVersion)
	}
}

func clientIdentifier(t *testing.T, w *weirtest.Weir, v codec.Version) {
	tooLong := codes{2, 0x85}
	for _, one := range []struct {
		user  string
		bytes int
		ok    bool
	}{
		{"acme/dev", 19, true},
		{"acme/dev", 21, false},
		{"wide/dev", 255, true},
		{"wide/dev", 257, false},
		{"wide/dev", 65535, false},
	} {
		c := weirtest.Dial(t, w.MQTT(), v)
		id := strings.Repeat("i", one.bytes-1) + v.String()[2:3]
		if v == codec.V31 {
			id = strings.Repeat("i", one.bytes-1) + "x"
		}
		c.Send(connect(one.user, id))
		if !one.ok {
			refused(t, c, tooLong, reason.ClientIDInvalid)
			continue
		}
		if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
			t.Errorf("CONNACK 0x%02X for a client identifier of %d bytes", ack.Code, one.bytes)
		}
	}
	for _, clean := range []bool{false, true} {
		c := weirtest.Dial(t, w.MQTT(), v)
		p := connect("acme/dev", "")
		p.CleanStart = clean
		c.Send(p)
		if v == codec.V31 || v == codec.V311 && !clean { // [MQTT-3.1.3-8]
			refused(t, c, tooLong, reason.ClientIDInvalid)
			continue
		}
		ack := weirtest.Expect[*codec.Connack](c)
		if ack.Code != 0 || ack.SessionPresent {
			t.Errorf("CONNACK %+v", ack)
		}
		if id := ack.Properties.AssignedClientID; v == codec.V5 && (id == "" || len(id) > 128) { // [MQTT-3.2.2-16]
			t.Errorf("assigned client identifier %q", id)
		}
		ping(c)
	}
	if v == codec.V5 {
		seen := map[string]bool{}
		for range 20 {
			c := weirtest.Dial(t, w.MQTT(), v)
			c.Send(connect("acme/dev", ""))
			seen[weirtest.Expect[*codec.Connack](c).Properties.AssignedClientID] = true
		}
		if len(seen) != 20 {
			t.Errorf("%d different identifiers were assigned to 20 clients", len(seen))
		}
	}
}

func otherUser(t *testing.T, w *weirtest.Weir, v codec.Version) {
	id := "shared-" + v.String()
	first := login(t, w, v, "acme/dev", id)
	for _, user := range []string{"acme/other", "acme/app"} {
		c := weirtest.Dial(t, w.MQTT(), v)
		c.Send(connect(user, id))
		refused(t, c, codes{5, 0x87}, reason.ClientIDInUse)
	}
	// Another tenant's client of the same name has nothing to do with it.
	login(t, w, v, "wide/other", id)
	ping(first)
	first.Send(&codec.Disconnect{})
	first.ExpectClosed()
	login(t, w, v, "acme/other", id)
}

func refusedWill(t *testing.T, w *weirtest.Weir, v codec.Version) {
	for _, topic := range []string{
		"$SYS/x", "$debug/$error", "$debug/$error/x", "$x", "$share/a/b",
		strings.Repeat("t", 31), strings.Repeat("/", 29) + "xx",
	} {
		c := weirtest.Dial(t, w.MQTT(), v)
		p := connect("acme/dev", "will")
		p.Will = &codec.Will{Topic: topic, QoS: 1}
		c.Send(p)
		refused(t, c, codes{5, 0x90}, reason.WillTopicInvalid)
	}
	c := weirtest.Dial(t, w.MQTT(), v)
	p := connect("wide/dev", "will")
	p.Will = &codec.Will{Topic: strings.Repeat("/", 64), QoS: 1}
	c.Send(p)
	refused(t, c, codes{5, 0x90}, reason.WillTopicInvalid)

	// What later releases add is refused; 3.x is closed.
	for _, one := range []struct {
		will codec.Will
		code codec.ReasonCode
		r    reason.Reason
	}{
		{codec.Will{Topic: "w", QoS: 2}, 0x9B, reason.QoSUnsupported},
		{codec.Will{Topic: "w", QoS: 1, Retain: true}, 0x9A, reason.RetainUnsupported},
	} {
		c := weirtest.Dial(t, w.MQTT(), v)
		p := connect("acme/dev", "will")
		p.Will = &one.will
		c.Send(p)
		refused(t, c, codes{0, one.code}, one.r)
	}
}

func connections(t *testing.T, w *weirtest.Weir, v codec.Version) {
	full := codes{3, 0x97}
	user := of("few", v) + "/dev"
	first := login(t, w, v, user, "first")
	second := login(t, w, v, user, "second")
	for range 3 {
		c := weirtest.Dial(t, w.MQTT(), v)
		c.Send(connect(user, "third"))
		refused(t, c, full, reason.ConnectionQuota)
	}
	// A takeover takes nobody's place.
	again := login(t, w, v, user, "second")
	ended(t, second, 0x8E, reason.TakenOver)
	ping(first)
	ping(again)
	first.Send(&codec.Disconnect{})
	first.ExpectClosed()
	login(t, w, v, user, "third")
	c := weirtest.Dial(t, w.MQTT(), v)
	c.Send(connect(user, "fourth"))
	refused(t, c, full, reason.ConnectionQuota)
}

func authenticationMethod(t *testing.T, w *weirtest.Weir) {
	c := weirtest.Dial(t, w.MQTT(), codec.V5)
	p := connect("acme/dev", "auth")
	p.Properties.HasAuthMethod, p.Properties.AuthenticationMethod = true, "SCRAM-SHA-1"
	c.Send(p)
	refused(t, c, codes{0, 0x8C}, reason.AuthUnsupported) // [MQTT-4.12.0-1]
}

// Request Problem Information 0 leaves reason strings out, here those of CONNACK.
func noProblemInformation(t *testing.T, w *weirtest.Weir) {
	for code, change := range map[codec.ReasonCode]func(*codec.Connect){
		0x86: func(p *codec.Connect) { p.Password = []byte("wrong") },
		0x85: func(p *codec.Connect) { p.ClientID = strings.Repeat("x", 21) },
		0x90: func(p *codec.Connect) { p.Will = &codec.Will{Topic: "$x"} },
	} {
		p := connect("acme/dev", "terse")
		p.Properties.NoProblemInfo = true
		change(p)
		c := weirtest.Dial(t, w.MQTT(), codec.V5)
		c.Send(p)
		ack := weirtest.Expect[*codec.Connack](c)
		if ack.Code != code || ack.Properties.ReasonString != "" || len(ack.Properties.UserProperties) > 0 {
			t.Errorf("CONNACK %+v, want 0x%02X and nothing else", ack, code)
		}
		c.ExpectClosed()
	}
}

// Nothing is kept of a session, whatever the client asks for.
func accepted(t *testing.T, w *weirtest.Weir, v codec.Version) {
	for range 2 {
		c := weirtest.Dial(t, w.MQTT(), v)
		p := connect("acme/dev", "kept-"+v.String())
		p.CleanStart = false
		if v == codec.V5 {
			p.Properties.SessionExpiry = 3600
		}
		c.Send(p)
		ack := weirtest.Expect[*codec.Connack](c)
		if ack.Code != 0 || ack.SessionPresent {
			t.Errorf("CONNACK %+v", ack)
		}
		if v == codec.V5 && (ack.Properties.SessionExpiry == nil || *ack.Properties.SessionExpiry != 0) {
			t.Error("the Session Expiry Interval is not answered with 0")
		}
		c.Subscribe("kept/"+v.String(), 1)
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
		if ack := login(t, w, v, "acme/other", "pub-"+v.String()).Publish("kept/"+v.String(), "x"); ack.Code != 0 && ack.Code != 0x10 {
			t.Errorf("PUBACK 0x%02X", ack.Code)
		}
		c = login(t, w, v, "acme/dev", "kept-"+v.String())
		ping(c)
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
	}
	// A user name and password are all that counts; a will with an empty payload is one.
	p := connect("acme/dev", "empty-"+v.String())
	p.Will = &codec.Will{Topic: "w"}
	c := weirtest.Dial(t, w.MQTT(), v)
	c.Send(p)
	if ack := weirtest.Expect[*codec.Connack](c); ack.Code != 0 {
		t.Errorf("CONNACK %+v", ack)
	}
}

func announced(t *testing.T, w *weirtest.Weir) {
	for _, one := range []struct {
		user      string
		keepAlive uint16
		size      uint32
		want      uint16 // Server Keep Alive, 0 for none
	}{
		{"acme/dev", 600, 4096, 0},
		{"wide/dev", 0, 131072, 0},
		{"alive/dev", 0, 65536, 60},
		{"alive/dev", 61, 65536, 60},
		{"alive/dev", 60, 65536, 0},
		{"alive/dev", 10, 65536, 0},
	} {
		c := weirtest.Dial(t, w.MQTT(), codec.V5)
		p := connect(one.user, "announced")
		p.KeepAlive = one.keepAlive
		c.Send(p)
		ack := weirtest.Expect[*codec.Connack](c)
		got := ack.Properties
		no := func(b *bool) bool { return b != nil && !*b }
		switch {
		case ack.Code != 0 || ack.SessionPresent:
			t.Errorf("CONNACK %+v", ack)
		case got.SessionExpiry != nil && *got.SessionExpiry != 0:
			t.Errorf("Session Expiry Interval %d", *got.SessionExpiry)
		case got.ReceiveMaximum != 1024:
			t.Errorf("Receive Maximum %d", got.ReceiveMaximum)
		case got.MaximumQoS == nil || *got.MaximumQoS != 1:
			t.Error("Maximum QoS is not 1")
		case !no(got.RetainAvailable) || got.WildcardAvailable != nil || got.SubscriptionIDs != nil || !no(got.SharedAvailable):
			t.Errorf("%+v announces what is not served", got)
		case got.MaximumPacketSize != one.size:
			t.Errorf("Maximum Packet Size %d, want %d", got.MaximumPacketSize, one.size)
		case got.TopicAliasMaximum != 0 || got.AssignedClientID != "" || got.AuthenticationMethod != "" || got.ReasonString != "":
			t.Errorf("%+v", got)
		case got.ServerKeepAlive == nil && one.want != 0 || got.ServerKeepAlive != nil && *got.ServerKeepAlive != one.want:
			t.Errorf("Server Keep Alive %v, want %d", got.ServerKeepAlive, one.want)
		}
		c.Send(&codec.Disconnect{})
		c.ExpectClosed()
	}
}
