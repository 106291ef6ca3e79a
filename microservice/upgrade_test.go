package microservice

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// TestUpgradeRefused: whatever is wrong before the socket is open has an HTTP status, and a code in the body.
func TestUpgradeRefused(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	for name, one := range map[string]struct {
		kind, token, protocol string
		header                http.Header
		status                int
		code                  reason.Reason
	}{
		"no token":        {"consumer", "", "", nil, 401, reason.BadCredentials},
		"another token":   {"producer", "x", "", nil, 401, reason.BadCredentials},
		"another origin":  {"consumer", r.token("svc", "a"), "", http.Header{"Origin": {"https://example.com"}}, 403, reason.OriginForbidden},
		"origin null":     {"consumer", r.token("svc", "a"), "", http.Header{"Origin": {"null"}}, 403, reason.OriginForbidden},
		"two origins":     {"consumer", r.token("svc", "a"), "", http.Header{"Origin": {r.http.URL, "x"}}, 403, reason.OriginForbidden},
		"a bad filter":    {"consumer", r.token("svc", "a#"), "", nil, 400, reason.TopicInvalid},
		"a system topic":  {"consumer", r.token("svc", "$SYS/a"), "", nil, 400, reason.TopicReserved},
		"$share":          {"consumer", r.token("svc", "$share/g/a"), "", nil, 400, reason.SharedUnsupported},
		"Avro, wildcards": {"producer", r.token("svc", "a/+"), "", nil, 400, reason.TopicInvalid},
		"error topics":    {"producer", r.token("svc", errorTopics), "", nil, 400, reason.TopicInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if ws, status, code := r.dial(one.kind, one.token, one.protocol, one.header); ws != nil || status != one.status || code != string(one.code) {
				t.Errorf("%d %s", status, code)
			}
		})
	}
	resp, err := r.http.Client().Get(r.http.URL + "/notification2/consumer/?token=" + r.token("svc", "a"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("a request that is no handshake: %s", resp.Status)
	}
	if n := len(r.sockets.subscribers); n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
}

// TestUpgrade: a page of this host may open a socket; a subprotocol that nobody knows is not selected.
func TestUpgrade(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	ws, _, code := r.dial("consumer", r.token("svc", "a"), frame.Protocol, http.Header{"Origin": {strings.ToUpper(r.http.URL)}})
	if ws == nil {
		t.Fatal(code)
	}
	_ = ws.Close()
	ws, _, code = r.dial("consumer", r.token("svc", "b"), "", http.Header{"Sec-Websocket-Protocol": {"x"}})
	if ws == nil {
		t.Fatal(code)
	}
	_ = ws.Close()
}

// TestSocketLimit: a tenant has no more sockets than it may, and gets the place of one that has gone.
func TestSocketLimit(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	token := r.token("svc", "a", shared)
	g, _ := r.tokens.find(token)
	var others []*socket
	for range MaxSockets - 1 {
		c := r.sockets.newSocket(consumerKind, g, "", tenant.Limits{})
		if err := r.sockets.admit(c); err != nil {
			t.Fatal(err)
		}
		others = append(others, c)
	}
	c := r.jsonConsumer(token)
	if _, status, code := r.dial("consumer", token, "", nil); status != 503 || code != string(reason.SocketLimit) {
		t.Errorf("%d %s", status, code)
	}
	r.sockets.leave(others[0])
	r.jsonConsumer(token).synced()
	c.synced()
	for _, c := range others[1:] {
		r.sockets.leave(c)
	}
}

// TestUserChanged: a user who may not be here any more is not, others stay and have the new limits.
func TestUserChanged(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	c, pub := r.jsonConsumer(r.token("svc", "a")), r.jsonProducer()
	r.setTenant(tenant.Quotas{MessageBytes: 1000}, users)
	pub.jsonPublish(1, "a", strings.Repeat("x", 1000))
	pub.expectRefusal(1, reason.PacketTooLarge)
	token := r.token("late", "a")
	r.setTenant(tenant.Quotas{}, map[string]tenant.User{"other": users["other"]})
	c.expectEnd(1008, reason.UserChanged)
	pub.expectEnd(1008, reason.UserChanged)
	if _, status, code := r.dial("consumer", token, "", nil); status != 401 || code != string(reason.UserChanged) {
		t.Errorf("%d %s", status, code)
	}
}

// TestShutdown: everybody is told, and nobody else gets in.
func TestShutdown(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	pub, c := r.jsonProducer(), r.jsonConsumer(r.token("svc", "a"))
	pub.mustPublish(1, "a", "1")
	c.expectMessages("1")
	token := r.token("svc", "b")
	told := make(chan struct{})
	go func() {
		defer close(told)
		pub.expectEnd(1001, reason.ServerShutdown)
		c.expectEnd(1001, reason.ServerShutdown)
	}()
	if err := r.sockets.Shutdown(r.context()); err != nil {
		t.Fatal(err)
	}
	<-told
	if _, status, code := r.dial("consumer", token, "", nil); status != 503 || code != string(reason.ServerShutdown) {
		t.Errorf("%d %s", status, code)
	}
}

// TestShutdownAnswers: what a producer has published when the server stops is answered, and what is not answered is not stored.
func TestShutdownAnswers(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	r.subscribe("a")
	pub := r.jsonProducer()
	go func() {
		for i := 0; pub.ws.WriteMessage(websocket.TextMessage, []byte(jsonFrame(i, "a", ""))) == nil; i++ {
		}
	}()
	pub.expect(`{"ack":0}`)
	stopped := make(chan error)
	go func() { stopped <- r.sockets.Shutdown(r.context()) }()
	answered := uint64(1)
	for {
		text, err := pub.next()
		if err != nil {
			if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Error(err)
			}
			break
		}
		if want := fmt.Sprintf(`{"ack":%d}`, answered); text != want {
			t.Fatalf("got %s, want %s", text, want)
		}
		answered++
	}
	_ = pub.ws.Close()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	r.expectStored(answered)
}

// TestClose cuts everybody off.
func TestClose(t *testing.T) {
	r := newRig(t, tenant.Quotas{})
	r.jsonProducer().mustPublish(1, "a", "1")
	r.jsonConsumer(r.token("svc", "a")).synced()
	if err := r.sockets.Close(); err != nil {
		t.Fatal(err)
	}
}
