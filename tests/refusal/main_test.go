// Package refusal holds what a client is refused, and how it learns it, to the contract, for every version of the protocol.
package refusal

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tests/weirtest"
)

// TestMain lets more tests run at once than there are processors, because many of them wait. The tests that have much to do are
// not parallel to each other, so that they do not wait for the processors instead; what is in them is.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

var versions = []codec.Version{codec.V31, codec.V311, codec.V5}

// each runs a test for every version at once.
func each(t *testing.T, test func(t *testing.T, v codec.Version)) {
	t.Helper()
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

// inEach is each as a subtest with a Weir.
func inEach(t *testing.T, w *weirtest.Weir, name string, test func(t *testing.T, w *weirtest.Weir, v codec.Version)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		each(t, func(t *testing.T, v codec.Version) { test(t, w, v) })
	})
}

// All users of all tenants have this password. Its hash is here so that no Weir has to make one.
const (
	password     = "secret"
	passwordHash = "$argon2id$v=19$m=19456,t=2,p=1$tyRb2EuUsF27p4Zs1+952Q$fSikHmxSesbINEhgd/Oh3k970FB0OnKeG4Nz7HEsiGg"
)

// strange is the name of a device's user with what a NATS subject or header could stumble over.
const strange = "we ird.*>%ü$="

// tenants is a tenants file with the users dev, other, strange (devices) and app (application) in each tenant. The values are the
// quotas in YAML's flow style, without braces.
func tenants(quotas map[string]string) string {
	var b strings.Builder
	b.WriteString("tenants:\n")
	for _, name := range slices.Sorted(maps.Keys(quotas)) {
		fmt.Fprintf(&b, "  %s:\n    users:\n", name)
		for _, user := range [][2]string{{"dev", "device"}, {"other", "device"}, {strange, "device"}, {"app", "application"}} {
			fmt.Fprintf(&b, "      %q: {password_hash: %q, role: %s}\n", user[0], passwordHash, user[1])
		}
		fmt.Fprintf(&b, "    quotas: {%s}\n", quotas[name])
	}
	return b.String()
}

// perVersion gives each version a tenant of its own: <name>-3, <name>-4 and <name>-5.
func perVersion(name, quotas string) map[string]string {
	m := map[string]string{}
	for _, v := range versions {
		m[of(name, v)] = quotas
	}
	return m
}

func of(name string, v codec.Version) string { return fmt.Sprintf("%s-%d", name, v) }

// merge is one map of all.
func merge(all ...map[string]string) map[string]string {
	m := map[string]string{}
	for _, one := range all {
		maps.Copy(m, one)
	}
	return m
}

// login connects with a clean session as a user with the password that all have.
func login(t *testing.T, w *weirtest.Weir, v codec.Version, user, clientID string) *weirtest.Client {
	t.Helper()
	return weirtest.Login(t, w.MQTT(), v, clientID, user, password)
}

// connect is a CONNECT of a user with the password that all have.
func connect(user, clientID string) *codec.Connect {
	return weirtest.Credentials(clientID, user, password)
}

// codes are the codes of one row of the table: of 3.1 and 3.1.1, and of 5. 0 is a connection that is closed
// without a packet.
type codes struct{ three, five codec.ReasonCode }

func (c codes) of(v codec.Version) codec.ReasonCode {
	if v == codec.V5 {
		return c.five
	}
	return c.three
}

// refused expects that the CONNECT that was sent is refused, and closed.
func refused(t *testing.T, c *weirtest.Client, want codes, r reason.Reason) {
	t.Helper()
	code := want.of(c.Version)
	if code != 0 {
		ack := weirtest.Expect[*codec.Connack](c)
		if ack.Code != code || ack.SessionPresent {
			t.Errorf("CONNACK 0x%02X, session present %v, %q; want 0x%02X", ack.Code, ack.SessionPresent, ack.Properties.ReasonString, code)
		}
		if c.Version == codec.V5 {
			hasReason(t, ack.Properties.ReasonString, r)
		}
	}
	c.ExpectClosed()
}

// ended expects that the connection is closed, in 5 with a DISCONNECT before it.
func ended(t *testing.T, c *weirtest.Client, code codec.ReasonCode, r reason.Reason) {
	t.Helper()
	if c.Version == codec.V5 {
		d := weirtest.Expect[*codec.Disconnect](c)
		if d.Code != code {
			t.Errorf("DISCONNECT 0x%02X %q, want 0x%02X", d.Code, d.ReasonString, code)
		}
		hasReason(t, d.ReasonString, r)
	}
	c.ExpectClosed()
}

// hasReason expects a reason string that begins with the name of the reason.
func hasReason(t *testing.T, s string, r reason.Reason) {
	t.Helper()
	if name, _, _ := strings.Cut(s, ":"); name != string(r) {
		t.Errorf("reason string %q, want %s", s, r)
	}
}

// ping expects that the connection is alive and that nothing else is on its way.
func ping(c *weirtest.Client) {
	c.Send(&codec.Pingreq{})
	weirtest.Expect[*codec.Pingresp](c)
}

// publish is a PUBLISH.
func publish(topic string, q codec.QoS, id uint16, payload string) *codec.Publish {
	p := &codec.Publish{QoS: q, Topic: []byte(topic), Payload: []byte(payload)}
	if q > 0 {
		p.PacketID = id
	}
	return p
}

// subscribe is a SUBSCRIBE with the same QoS for all filters.
func subscribe(id uint16, q codec.QoS, filters ...string) *codec.Subscribe {
	s := &codec.Subscribe{PacketID: id}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, codec.Subscription{Filter: f, QoS: q})
	}
	return s
}

// puback expects a PUBACK.
func puback(t *testing.T, c *weirtest.Client, id uint16, code codec.ReasonCode) *codec.Ack {
	t.Helper()
	ack := weirtest.Expect[*codec.Ack](c)
	if ack.Kind != codec.PUBACK || ack.PacketID != id || ack.Code != code {
		t.Fatalf("%s %d 0x%02X %q, want PUBACK %d 0x%02X", ack.Kind, ack.PacketID, ack.Code, ack.ReasonString, id, code)
	}
	return ack
}
