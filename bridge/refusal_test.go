package bridge

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// closed stands for a connection that is closed without a CONNACK.
const closed = noAnswer

// TestRefusedConnect has each row of the table of refusals that is about CONNECT.
func TestRefusedConnect(t *testing.T) {
	r := newRig(t, tenant.Quotas{ClientIDBytes: 20, TopicBytes: 30, MessageBytes: 2000}, nil)
	holder := r.connect(codec.V311, "held", func(p *codec.Connect) { p.Username = "acme/other" })
	will := func(w codec.Will) func(*codec.Connect) {
		return func(p *codec.Connect) { p.Will = &w }
	}
	for _, test := range []struct {
		name      string
		change    func(*codec.Connect)
		v31, v311 codec.ReasonCode
		v5        codec.ReasonCode
	}{
		{"wrong password", func(p *codec.Connect) { p.Password = []byte("wrong") }, 5, 5, 0x86},
		{"no password", func(p *codec.Connect) { p.HasPassword, p.Password = false, nil }, 5, 5, 0x86},
		{"unknown user", func(p *codec.Connect) { p.Username = "acme/nobody" }, 5, 5, 0x86},
		{"unknown tenant", func(p *codec.Connect) { p.Username = "nowhere/device" }, 5, 5, 0x86},
		{"no tenant", func(p *codec.Connect) { p.Username = "device" }, 5, 5, 0x86},
		{"no user name", func(p *codec.Connect) {
			p.HasUsername, p.Username, p.HasPassword, p.Password = false, "", false, nil
		}, 5, 5, 0x86},
		{"client identifier too long", func(p *codec.Connect) { p.ClientID = strings.Repeat("x", 21) }, 2, 2, 0x85},
		{"client identifier of another user", func(p *codec.Connect) { p.ClientID = "held" }, 5, 5, 0x87},
		{"will topic reserved", will(codec.Will{Topic: "$SYS/x"}), 5, 5, 0x90},
		{"will topic too long", will(codec.Will{Topic: strings.Repeat("x", 31)}), 5, 5, 0x90},
		{"will QoS 2 [MQTT-3.2.2-12]", will(codec.Will{Topic: "w", QoS: 2}), closed, closed, 0x9B},
		{"will retain [MQTT-3.2.2-13]", will(codec.Will{Topic: "w", Retain: true}), closed, closed, 0x9A},
		{"larger than message_bytes", will(codec.Will{Topic: "w", Payload: make([]byte, 2000)}), closed, closed, 0x95},
		{"larger than a CONNECT may be", func(p *codec.Connect) {
			p.Will = &codec.Will{Topic: "w", Payload: make([]byte, 60_000)}
			p.Username, p.Password = strings.Repeat("x", 60_000), make([]byte, 60_000)
		}, closed, closed, 0x95},
	} {
		t.Run(test.name, func(t *testing.T) {
			for v, code := range map[codec.Version]codec.ReasonCode{codec.V31: test.v31, codec.V311: test.v311, codec.V5: test.v5} {
				t.Run(v.String(), func(t *testing.T) {
					p := hello("me")
					test.change(p)
					expectRefused(t, r, v, p, code)
				})
			}
		})
	}
	holder.ping()
}

// expectRefused sends a CONNECT and waits for the refusal.
func expectRefused(t *testing.T, r *rig, v codec.Version, p *codec.Connect, code codec.ReasonCode) {
	t.Helper()
	c := r.dial(v)
	c.t = t
	c.send(p)
	if code != closed {
		ack := expect[*codec.Connack](c)
		if ack.Code != code || ack.SessionPresent {
			t.Errorf("%s: got %s, want code 0x%02X", v, show(ack), byte(code))
		}
		if wants := v == codec.V5 && !p.Properties.NoProblemInfo; wants != (ack.Properties.ReasonString != "") {
			t.Errorf("%s: reason string %q", v, ack.Properties.ReasonString)
		}
	}
	c.expectClosed()
}

func TestRefusedConnectEmptyClientIdentifier(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	expectRefused(t, r, codec.V31, hello(""), 2)
	dirty := hello("")
	dirty.CleanStart = false
	expectRefused(t, r, codec.V311, dirty, 2) // [MQTT-3.1.3-8]

	c := r.dial(codec.V311)
	c.send(hello(""))
	if ack := expect[*codec.Connack](c); ack.Code != codec.Success {
		t.Errorf("3.1.1 with clean session: got %s [MQTT-3.1.3-6]", show(ack))
	}
	c = r.dial(codec.V5)
	c.send(hello(""))
	ack := expect[*codec.Connack](c)
	if ack.Code != codec.Success || ack.Properties.AssignedClientID == "" {
		t.Errorf("5: got %+v [MQTT-3.2.2-16]", ack)
	}
}

func TestRefusedConnectQuota(t *testing.T) {
	r := newRig(t, tenant.Quotas{Connections: 1}, nil)
	c := r.connect(codec.V311, "first")
	expectRefused(t, r, codec.V31, hello("second"), 3)
	expectRefused(t, r, codec.V311, hello("second"), 3)
	expectRefused(t, r, codec.V5, hello("second"), 0x97)
	quiet := hello("second")
	quiet.Properties.NoProblemInfo = true
	expectRefused(t, r, codec.V5, quiet, 0x97)

	again := r.connect(codec.V311, "first") // a takeover is not one more
	c.expectEnd(codec.Success)
	again.ping()
}

func TestRefusedConnectNATSUnreachable(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	r.connect(codec.V5, "warm").ping()
	r.stopNATS()
	expectRefused(t, r, codec.V31, hello("me"), 3)
	expectRefused(t, r, codec.V311, hello("me"), 3)
	expectRefused(t, r, codec.V5, hello("me"), 0x88)
}

func TestRefusedConnectVersion(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	for _, test := range []struct {
		name  string
		bytes string
		want  string
	}{
		{"3.1 with another level", "\x10\x0e\x00\x06MQIsdp\x07\x02\x00\x3c\x00\x00", "\x20\x02\x00\x01"},
		{"level 4 of a bridge", "\x10\x0c\x00\x04MQTT\x84\x02\x00\x3c\x00\x00", "\x20\x02\x00\x01"},
		{"level 2", "\x10\x0c\x00\x04MQTT\x02\x02\x00\x3c\x00\x00", "\x20\x02\x00\x01"},
		{"level 0", "\x10\x0c\x00\x04MQTT\x00\x02\x00\x3c\x00\x00", "\x20\x02\x00\x01"},
		{"level 6", "\x10\x0c\x00\x04MQTT\x06\x02\x00\x3c\x00\x00", "\x20"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := r.dial(codec.V311)
			c.t = t
			if test.want == "\x20" {
				c.v = codec.V5
			}
			c.write([]byte(test.bytes))
			ack := expect[*codec.Connack](c)
			if want := answerCode(c.v); ack.Code != want {
				t.Errorf("got %s, want 0x%02X", show(ack), byte(want))
			}
			c.expectClosed()
		})
	}
}

func answerCode(v codec.Version) codec.ReasonCode { return connackCode(reason.UnsupportedVersion, v) }

func TestRefusedConnectMalformed(t *testing.T) {
	r := newRig(t, tenant.Quotas{}, nil)
	for _, test := range []struct {
		name  string
		bytes string
		code  codec.ReasonCode // of a CONNACK of 5
	}{
		{"not MQTT", "GET / HTTP/1.1\r\n\r\n", closed},
		{"a PUBLISH [MQTT-3.1.0-1]", "\x30\x03\x00\x01a", closed},
		{"another protocol [MQTT-3.1.2-1]", "\x10\x0c\x00\x04NATS\x04\x02\x00\x3c\x00\x00", closed},
		{"reserved flag of 3.1.1 [MQTT-3.1.2-3]", "\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00", closed},
		{"reserved flag of 5 [MQTT-3.1.2-3]", "\x10\x0d\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x00", 0x81},
		{"a property twice", "\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x06\x21\x00\x01\x21\x00\x01\x00\x00", 0x82},
		{"an authentication method [MQTT-4.12.0-1]", "\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x06\x15\x00\x03SCR\x00\x00", 0x8C},
		{"too large, of 5", "\x10\xff\xff\xff\x7f\x00\x04MQTT\x05\x02\x00\x3c\x00", 0x95},
		{"too large, of 3.1.1", "\x10\xff\xff\xff\x7f\x00\x04MQTT\x04\x02\x00\x3c\x00", closed},
	} {
		t.Run(test.name, func(t *testing.T) {
			expectConnack(t, r, codec.V5, []byte(test.bytes), test.code)
		})
	}
}

// expectConnack expects that what comes first on a connection is refused with a code, or only closed, and closed in any case.
func expectConnack(t *testing.T, r *rig, v codec.Version, first []byte, code codec.ReasonCode) {
	t.Helper()
	c := r.dial(v)
	c.t = t
	c.write(first)
	if code != closed {
		if ack := expect[*codec.Connack](c); ack.Code != code {
			t.Errorf("got %s, want 0x%02X", show(ack), byte(code))
		}
	}
	c.expectClosed()
}

// TestRefusedPublish has each row of the table about PUBLISH, at QoS 1 and 0.
func TestRefusedPublish(t *testing.T) {
	r := newRig(t, tenant.Quotas{Topics: 3, BacklogMessages: 1, TopicBytes: 40}, nil)
	holder := r.connect(codec.V311, "holder")
	holder.mustSubscribe("full", 1)
	filler := r.connect(codec.V311, "filler")
	filler.mustPublish("full", 1, "not acknowledged")
	filler.mustPublish("second", 1, "")
	filler.mustPublish("third", 1, "")
	for _, test := range []struct {
		name  string
		topic string
		why   reason.Reason
		code  codec.ReasonCode
	}{
		{"backlog full", "full", reason.BacklogFull, 0x97},
		{"topic quota", "fourth", reason.TopicQuota, 0x97},
		{"reserved", "$SYS/x", reason.TopicReserved, 0x90},
		{"error topic", "$debug/$error", reason.TopicReserved, 0x90},
		{"too long", strings.Repeat("x", 41), reason.TopicInvalid, 0x90},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, v codec.Version) {
				id := strings.ReplaceAll(test.name, " ", "-") + v.String()
				c := r.connect(v, id)
				c.t = t
				c.mustSubscribe("$debug/$error", 1)
				c.send(publish(test.topic, 0, 0, "x")) // dropped
				e := c.receive()
				for _, want := range []string{`"code":"` + string(test.why), `"clientId":"` + id, `"packet":"PUBLISH"`, `"topic":"` + test.topic} {
					if !strings.Contains(string(e.Payload), want) {
						t.Errorf("error topic: %s lacks %s", e.Payload, want)
					}
				}
				c.ping() // and the connection stays
				c.send(publish(test.topic, 1, 9, "x"))
				if v != codec.V5 {
					// The entry about this one may be faster than the end.
					p, err := c.next()
					if e, ok := p.(*codec.Publish); err == nil && ok && strings.Contains(string(e.Payload), `"packetId":9`) {
						c.expectClosed()
					} else if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("got %v, %v, want the end of the connection", p, err)
					}
					return
				}
				ack := expect[*codec.Ack](c)
				if ack.PacketID != 9 || ack.Code != test.code || !strings.HasPrefix(ack.ReasonString, string(test.why)) {
					t.Errorf("got %s, want 0x%02X %s", show(ack), byte(test.code), test.why)
				}
				if e := c.receive(); !strings.Contains(string(e.Payload), `"packetId":9`) {
					t.Errorf("error topic: %s", e.Payload)
				}
				c.ping()
			})
		})
	}
}

// TestRefusedSubscribe has each row of the table about SUBSCRIBE, and what MQTT provides for what is not served.
func TestRefusedSubscribe(t *testing.T) {
	r := newRig(t, tenant.Quotas{Topics: 1}, nil)
	r.connect(codec.V311, "first").mustSubscribe("only", 0)
	for filter, code := range map[string]codec.ReasonCode{
		"second": 0x97, "$SYS/x": 0x8F, "$debug/$error/#": 0x8F, "$SYS/#": 0x8F, "a+": 0x8F, "$share/g/a": 0x9E, "a/#/b": 0x8F,
	} {
		t.Run(strings.ReplaceAll(filter, "/", "|"), func(t *testing.T) {
			each(t, func(t *testing.T, v codec.Version) {
				c := r.connect(v, "me")
				c.t = t
				ack := c.subscribe(filter, 1)
				want := code
				if v != codec.V5 {
					want = 0x80
				}
				if ack.Codes[0] != want || (v == codec.V5) != (ack.ReasonString != "") {
					t.Errorf("got %s, want 0x%02X", show(ack), byte(want))
				}
				c.ping()
			})
		})
	}
}

// TestRefusedPacket has the rows about what comes after CONNACK and ends the connection.
func TestRefusedPacket(t *testing.T) {
	r := newRig(t, tenant.Quotas{MessageBytes: 1000}, nil)
	for _, test := range []struct {
		name  string
		bytes string
		code  codec.ReasonCode
	}{
		{"larger than message_bytes", "\x32\x80\x08", 0x95},
		{"malformed", "\x32\x01\x00", 0x81},
		{"packet type 0", "\x00\x00", 0x81},
		{"a second CONNECT [MQTT-3.1.0-2]", "\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00", 0x82},
		{"PUBLISH with QoS 2 [MQTT-3.2.2-11]", "", 0x9B},
		{"PUBLISH with RETAIN [MQTT-3.2.2-14]", "", 0x9A},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, v codec.Version) {
				c := r.connect(v, "me")
				c.t = t
				switch test.code {
				case codec.QoSNotSupported:
					c.send(publish("a", 2, 1, ""))
				case codec.RetainNotSupported:
					c.send(&codec.Publish{Topic: []byte("a"), QoS: 1, PacketID: 1, Retain: true})
				default:
					c.write([]byte(test.bytes))
				}
				c.expectEnd(test.code)
			})
		})
	}
}

// TestConnackCodes holds the codes that no other test brings about to the table.
func TestConnackCodes(t *testing.T) {
	for r, want := range map[reason.Reason][2]codec.ReasonCode{
		reason.ConnectionLimit: {3, 0x89},
		reason.ConnectTimeout:  {closed, closed},
		reason.InternalError:   {3, 0x80},
	} {
		if got := [2]codec.ReasonCode{connackCode(r, codec.V311), connackCode(r, codec.V5)}; got != want {
			t.Errorf("%s: got %v, want %v", r, got, want)
		}
	}
}
