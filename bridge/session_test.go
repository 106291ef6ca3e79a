package bridge

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

var rewrite = flag.Bool("rewrite", false, "write what the sessions did into testdata/session")

// TestSession runs the transcripts in testdata/session. Lines that start with a word are what happens; the indented lines
// after each are what the session did. A session has no clock: "after 5s" moves the time on.
func TestSession(t *testing.T) {
	files, err := filepath.Glob("testdata/session/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("transcript differs (-want +got):\n%s", d)
			}
		})
	}
}

// stage plays one transcript.
type stage struct {
	t       *testing.T
	s       session
	now     time.Time
	cursors map[string]*listCursor // by topic
	out     strings.Builder
}

// listCursor is a cursor over a list.
type listCursor struct {
	list         []reader.Delivery
	hold, closed bool
	acked        []uint64
}

func (l *listCursor) Bind(fanout.Waker) bool { return !l.closed }
func (l *listCursor) Next() (d reader.Delivery, held, ok bool) {
	if len(l.list) == 0 {
		return reader.Delivery{}, false, false
	}
	d = l.list[0]
	l.list = l.list[1:]
	return d, l.hold, true
}
func (l *listCursor) Ack(sequence uint64) { l.acked = append(l.acked, sequence) }
func (l *listCursor) Hold()               { l.hold = true }
func (*listCursor) Includes(string) bool  { return false }
func (*listCursor) Former() bool          { return false }

func (l *listCursor) Close() { l.closed = true }

func play(t *testing.T, transcript string) string {
	st := &stage{t: t, now: time.Unix(1_700_000_000, 0), cursors: map[string]*listCursor{}}
	for line := range strings.Lines(transcript) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "  "):
			continue
		case line == "" || line[0] == '#':
			fmt.Fprintln(&st.out, line)
			continue
		}
		fmt.Fprintln(&st.out, line)
		st.play(line)
	}
	return st.out.String()
}

// args are the words of a line after the first: flags, and key=value.
type args map[string]string

func parseArgs(words []string) args {
	a := args{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		a[k] = v
	}
	return a
}

func (a args) has(k string) bool { _, ok := a[k]; return ok }

func (a args) num(k string) int {
	n, err := strconv.Atoi(a[k])
	if a.has(k) && err != nil {
		panic(k + ": " + err.Error())
	}
	return n
}

func (st *stage) play(line string) {
	words := strings.Fields(line)
	a := parseArgs(words[1:])
	switch words[0] {
	case "connect":
		st.connect(words[1], a)
	case "after":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			st.t.Fatal(err)
		}
		st.now = st.now.Add(d)
	case "answer":
		st.answer(uint64(a.num("token")), words[2:], a)
	case "subscribe":
		st.subscribe(a)
	case "unsubscribe":
		st.s.subs.drop(st.s.subs.filters[words[1]])
		for _, topic := range slices.Sorted(maps.Keys(st.cursors)) {
			if st.cursors[topic].closed {
				st.print("close " + topic)
				delete(st.cursors, topic)
			}
		}
	case "opened": // for a filter with wildcards
		st.open(words[1], a.has("hold"))
	case "message":
		st.message(a)
	case "pump":
		for _, f := range st.s.pump(st.now) {
			st.fault(f)
		}
	case "limits":
		st.s.setLimits(tenant.Quotas{Inflight: int64(a.num("inflight"))}.Resolve())
	case "admit":
		st.print(fmt.Sprintf("%v", st.s.admit(words[1])))
	case "acked":
		st.print(fmt.Sprint(st.cursors[words[1]].acked))
	case "ready":
		h := codec.Header{Type: codec.PUBLISH, Flags: byte(a.num("qos")) << 1}
		if a.has("DISCONNECT") {
			h = codec.Header{Type: codec.DISCONNECT}
		}
		st.print(fmt.Sprint(st.s.ready(h)))
	case "flood":
		for i := range a.num("n") {
			one := args{"topic": "a", "qos": a["qos"], "quiet": ""}
			if a.num("qos") > 0 {
				one["id"] = strconv.Itoa(i + 1)
			}
			st.packet("PUBLISH", one)
		}
	default:
		st.packet(words[0], a)
	}
	st.flush()
}

func (st *stage) connect(version string, a args) {
	p := &codec.Connect{Version: map[string]codec.Version{"3.1": codec.V31, "3.1.1": codec.V311, "5": codec.V5}[version]}
	p.Properties.ReceiveMaximum = 65535
	if a.has("receive-maximum") {
		p.Properties.ReceiveMaximum = uint16(a.num("receive-maximum"))
	}
	p.Properties.MaximumPacketSize = uint32(a.num("maximum-packet"))
	p.Properties.NoProblemInfo = a.has("no-problem-info")
	p.Properties.SessionExpiry = uint32(a.num("expiry"))
	role := tenant.RoleDevice
	if a.has("application") {
		role = tenant.RoleApplication
	}
	st.s = newSession(p, "me", "acme", role,
		tenant.Quotas{Inflight: int64(a.num("inflight")), ClientIDBytes: int64(a.num("client-id-bytes"))}.Resolve(),
		NewMetrics(prometheus.NewRegistry()))
}

// packet gives the session one packet of the client.
func (st *stage) packet(name string, a args) {
	var p codec.Packet
	id := uint16(a.num("id"))
	switch name {
	case "PUBLISH":
		one := &codec.Publish{
			Topic: []byte(a["topic"]), QoS: codec.QoS(a.num("qos")), PacketID: id, Retain: a.has("retain"), Dup: a.has("dup"),
			Payload: []byte(a["payload"]),
		}
		for _, pair := range strings.FieldsFunc(a["users"], func(r rune) bool { return r == ',' }) {
			name, value, _ := strings.Cut(pair, ":")
			one.Properties.Message.UserProperties = append(one.Properties.Message.UserProperties, codec.UserProperty{Name: name, Value: value})
		}
		if a.has("alias") {
			one.Properties.TopicAlias, one.Properties.HasTopicAlias = uint16(a.num("alias")), true
		}
		if a.has("subscription-id") {
			one.Properties.SubscriptionIDs = []uint32{uint32(a.num("subscription-id"))}
		}
		p = one
	case "PUBACK", "PUBREC", "PUBREL", "PUBCOMP":
		kinds := map[string]codec.Type{"PUBACK": codec.PUBACK, "PUBREC": codec.PUBREC, "PUBREL": codec.PUBREL, "PUBCOMP": codec.PUBCOMP}
		p = &codec.Ack{Kind: kinds[name], PacketID: id, Dup: a.has("dup")}
	case "SUBSCRIBE":
		p = &codec.Subscribe{PacketID: id, Subscriptions: []codec.Subscription{{Filter: a["filter"], QoS: codec.QoS(a.num("qos"))}}}
	case "UNSUBSCRIBE":
		p = &codec.Unsubscribe{PacketID: id, Filters: []string{a["filter"]}}
	case "PINGREQ":
		p = &codec.Pingreq{}
	case "PINGRESP":
		p = &codec.Pingresp{}
	case "CONNECT":
		p = &codec.Connect{ClientID: "me", CleanStart: true}
	case "AUTH":
		p = &codec.Auth{}
	case "DISCONNECT":
		p = &codec.Disconnect{Code: codec.ReasonCode(a.num("code")), HasSessionExpiry: a.has("expiry"), SessionExpiry: uint32(a.num("expiry"))}
	case "bytes":
		st.raw([]byte(a["hex"]), a)
		return
	default:
		st.t.Fatalf("unknown line %q", name)
	}
	b, err := p.Append(nil, st.s.version)
	if err != nil {
		st.t.Fatalf("%s: %v", name, err)
	}
	st.raw(b, a)
}

// raw gives the session one packet as it is on the wire.
func (st *stage) raw(b []byte, a args) {
	if a.has("hex") {
		var raw []byte
		if _, err := fmt.Sscanf(a["hex"], "%x", &raw); err != nil {
			st.t.Fatal(err)
		}
		b = raw
	}
	h, body, err := codec.NewReader(strings.NewReader(string(b)), 1<<20).Next()
	if err != nil {
		st.t.Fatal(err)
	}
	e := st.s.step(h, body)
	if p := e.publish; p != nil {
		m := newMessage(string(p.Topic), p)
		token := st.s.in.push(m, st.now)
		if !a.has("quiet") {
			line := fmt.Sprintf("store token=%d topic=%s qos=%d", token, m.Topic, m.QoS)
			if e.to != "" {
				line += " to=" + e.to
			}
			for _, u := range m.UserProperties {
				line += fmt.Sprintf(" %s:%s", u.Name, u.Value)
			}
			st.print(line)
		}
	}
	st.effect(e)
}

func (st *stage) answer(token uint64, words []string, a args) {
	r := publisher.Result{}
	switch words[0] {
	case "stored":
	case "unknown":
		r = publisher.Result{Outcome: publisher.Unknown, Err: errors.New("lost")}
	default:
		r = publisher.Result{Outcome: publisher.Refused, Err: reason.New(reason.Reason(words[0]), "because")}
	}
	e, until := st.s.published(token, r)
	st.effect(e)
	if !until.IsZero() {
		st.print("ends in " + until.Sub(st.now).String())
	}
}

// subscribe gives the session a filter; what comes for it is in "message" lines. Only a topic that the filter names has a cursor
// at once.
func (st *stage) subscribe(a args) {
	name := a["filter"]
	one := codec.Subscription{Filter: name, QoS: codec.QoS(a.num("qos")), NoLocal: a.has("no-local")}
	f := st.s.subs.filters[name]
	if f == nil {
		f = newFilter(name)
		st.s.subs.filters[name] = f
		if !f.wild {
			st.open(name, one.QoS > 0)
		}
	}
	f.setOptions(one, uint32(a.num("id")))
	if one.QoS > 0 {
		st.s.subs.each(f, func(c *cursor) { c.source.Hold() })
	}
	st.s.subs.grant(f)
}

// open gives the session the cursor of a topic.
func (st *stage) open(topic string, hold bool) {
	if st.cursors[topic] == nil {
		st.cursors[topic] = &listCursor{hold: hold}
	}
	st.s.subs.changing = true
	st.s.subs.open(tenant.Dedicated(topic), st.cursors[topic], nil)
	st.s.subs.changing = false
}

func (st *stage) message(a args) {
	topic := a["topic"]
	m := &message.Message{
		Topic: topic, Payload: []byte(a["payload"]), QoS: message.QoS(a.num("qos")), To: a["to"], ClientID: a["from"], Stored: st.now,
	}
	if a.has("expiry") {
		m.Expiry, m.HasExpiry = uint32(a.num("expiry")), true
	}
	c := st.cursors[topic]
	c.list = append(c.list, reader.Delivery{Message: m, Stream: "s", Sequence: uint64(a.num("seq"))})
	st.s.subs.enqueue(st.s.subs.cursors[tenant.Dedicated(topic)])
}

func (st *stage) print(s string) { fmt.Fprintln(&st.out, "  "+s) }

func (st *stage) effect(e effect) {
	if e.fault != nil {
		st.fault(e.fault)
	}
	if e.subscribe != nil {
		st.print("subscribe")
	}
	if e.unsubscribe != nil {
		st.print("unsubscribe")
	}
	if e.end != nil {
		how := ""
		if e.end.silent {
			how = " (silent)"
		}
		st.print("end " + e.end.Error.Error() + how)
		st.s.goodbye(*e.end)
		st.s.box.closed = false // the transcript goes on
	}
}

func (st *stage) fault(f *fault) {
	st.print(fmt.Sprintf("fault %s %s topic=%s id=%d", f.Reason, f.packet, f.topic, f.packetID))
}

// flush prints the packets in the outbox.
func (st *stage) flush() {
	if err := st.s.box.err; err != nil {
		st.t.Fatalf("cannot encode: %v", err)
	}
	b := st.s.box.take()
	if b == nil {
		return
	}
	r := codec.NewReader(strings.NewReader(string(*b)), 1<<20)
	for {
		h, body, err := r.Next()
		if err != nil {
			return
		}
		p, err := codec.Decode(h, body, st.s.version)
		if err != nil {
			st.t.Fatalf("the session sent a bad %s: %v", h.Type, err)
		}
		st.print("-> " + show(p))
	}
}

// show is a packet on one line.
func show(p codec.Packet) string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	text := func(s string) {
		if s != "" {
			add("%q", s)
		}
	}
	switch p := p.(type) {
	case *codec.Publish:
		add("topic=%s qos=%d", p.Topic, p.QoS)
		if p.QoS > 0 {
			add("id=%d", p.PacketID)
		}
		if len(p.Payload) > 0 {
			add("payload=%.20s", p.Payload)
		}
		if len(p.Properties.SubscriptionIDs) > 0 {
			add("ids=%d", p.Properties.SubscriptionIDs)
		}
		if p.Properties.Message.HasMessageExpiry {
			add("expiry=%d", p.Properties.Message.MessageExpiry)
		}
	case *codec.Ack:
		add("id=%d code=0x%02X", p.PacketID, byte(p.Code))
		text(p.ReasonString)
	case *codec.Suback:
		add("id=%d codes=% X", p.PacketID, p.Codes)
		text(p.ReasonString)
	case *codec.Disconnect:
		add("code=0x%02X", byte(p.Code))
		text(p.ReasonString)
	case *codec.Connack:
		add("code=0x%02X", byte(p.Code))
		text(p.Properties.ReasonString)
	}
	return strings.Join(append([]string{p.Type().String()}, words...), " ")
}
