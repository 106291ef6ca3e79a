package microservice

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hamba/avro/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/jetstream/tunnel"
	"github.com/weirmq/weir/microservice/frame"
	"github.com/weirmq/weir/reason"
	"github.com/weirmq/weir/tenant"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The users of every rig: two applications, password "secret".
var users = func() map[string]tenant.User {
	hash := authn.HashPassword([]byte("secret"))
	return map[string]tenant.User{
		"service": {PasswordHash: hash, Role: tenant.RoleApplication},
		"other":   {PasswordHash: hash, Role: tenant.RoleApplication},
	}
}()

// rig is the sockets of one bridge on a real nats-server, behind an HTTP server on the loopback.
type rig struct {
	t       testing.TB
	nats    *server.Server
	store   *jetstream.Store
	auth    *authn.Authenticator
	hub     *fanout.Hub
	kept    *fanout.Hub
	sockets *sockets
	http    *httptest.Server
	rules   tenant.Rules

	passed *tunnel.Listener
	ended  chan error // holds one when passed is not served any more
	tokens *grants
}

// grants are what tokens stand for.
type grants struct {
	mu  sync.Mutex
	all map[string]Grant
}

func (g *grants) find(token string) (Grant, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	found, ok := g.all[token]
	return found, ok
}

// add returns a token for a grant.
func (g *grants) add(one Grant) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[string]Grant)
	}
	token := nuid.Next()
	g.all[token] = one
	return token
}

func newRig(t testing.TB, q tenant.Quotas, rules ...tenant.Rule) *rig {
	t.Helper()
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 28, MaxPayload: 8 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the nats-server does not start")
	}
	r := &rig{t: t, nats: ns, auth: authn.New(), rules: rules, tokens: new(grants)}
	r.start(q)
	return r
}

// beside is another bridge on the same nats-server, for the same tokens.
func (r *rig) beside() *rig {
	r.t.Helper()
	other := &rig{t: r.t, nats: r.nats, auth: authn.New(), rules: r.rules, tokens: r.tokens}
	other.start(tenant.Quotas{})
	return other
}

// start starts the bridge.
func (r *rig) start(q tenant.Quotas) {
	t := r.t
	t.Helper()
	var err error
	registry := prometheus.NewRegistry()
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	r.store, err = jetstream.Open(t.Context(), jetstream.Config{
		Bridge:    nuid.Next(),
		Options:   jetstream.External(r.nats.ClientURL(), ""),
		Shared:    true,
		Log:       log,
		Metrics:   jetstream.NewMetrics(registry),
		Publisher: publisher.NewMetrics(registry),
		Reader:    reader.NewMetrics(registry),
	})
	if err != nil {
		t.Fatal(err)
	}
	metrics := fanout.NewMetrics(registry)
	r.hub = fanout.New(fanout.Config{Log: log, Metrics: metrics})
	r.setTenant(q, users)
	r.kept = fanout.New(fanout.Config{Keep: true, Log: log, Metrics: metrics})
	server := &Server{
		Auth: r.auth, Tokens: tokens(t, "one"), Log: r.store.Tenant, Hub: r.hub, Kept: r.kept, Ready: r.store.Ready, Logger: log,
		Metrics: NewMetrics(registry),
	}
	r.http = httptest.NewServer(server.Handler())
	if r.passed, err = r.store.Listen(); err != nil {
		t.Fatal(err)
	}
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.http.Config.Serve(r.passed) }()
	r.sockets = server.sockets
	r.sockets.Verify = r.verify
	t.Cleanup(r.close)
	if _, err := r.store.Tenant(r.context(), "acme"); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.sockets.Shutdown(ctx); err != nil {
		r.t.Errorf("shutdown: %v", err)
		_ = r.sockets.Close()
	}
	r.passed.Shutdown()
	r.http.Close()
	if err := <-r.ended; !errors.Is(err, net.ErrClosed) {
		r.t.Errorf("what is passed on is not served any more: %v", err)
	}
	for _, h := range []*fanout.Hub{r.hub, r.kept} {
		if err := h.Close(ctx); err != nil {
			r.t.Errorf("hub: %v", err)
		}
	}
	if err := r.store.Close(ctx); err != nil {
		r.t.Errorf("store: %v", err)
	}
	if len(r.sockets.subscribers) > 0 {
		r.t.Errorf("%d subscribers are left", len(r.sockets.subscribers))
	}
}

func (r *rig) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.t.Cleanup(cancel)
	return ctx
}

// setTenant puts the tenant acme in force, as the program does when it changes.
func (r *rig) setTenant(q tenant.Quotas, u map[string]tenant.User) {
	r.auth.SetTenants(map[string]tenant.Tenant{"acme": {Name: "acme", Users: u, Quotas: q, Origin: tenant.OriginStore}})
	r.store.SetLimits("acme", 1, q.Resolve(), r.rules.Resolve(q))
	if r.sockets != nil {
		r.sockets.Recheck("acme")
	}
}

// verify is instead of real tokens.
func (r *rig) verify(_ context.Context, token string) (Grant, error) {
	g, ok := r.tokens.find(token)
	if !ok {
		return g, reason.New(reason.BadCredentials, "not a token")
	}
	var err error
	g.Principal, err = r.auth.Holder(authn.Claims{Tenant: g.Tenant, User: g.User})
	return g, err
}

// token returns a token of user service, which is not kept without a connection.
func (r *rig) token(subscriber, subscription string, change ...func(*Grant)) string {
	r.t.Helper()
	p, err := r.auth.Authenticate(r.context(), "acme/service", []byte("secret"))
	if err != nil {
		r.t.Fatal(err)
	}
	g := Grant{Principal: p, Subscriber: subscriber, Subscription: subscription, Volatile: true}
	for _, f := range change {
		f(&g)
	}
	return r.tokens.add(g)
}

func shared(g *Grant)     { g.Shared = true }
func persistent(g *Grant) { g.Volatile = false }

// client is one end of a socket.
type client struct {
	t    testing.TB
	ws   *websocket.Conn
	json bool
}

// dial opens a socket, or returns the status and the code of the refusal.
func (r *rig) dial(kind, token, protocol string, h http.Header) (*websocket.Conn, int, string) {
	r.t.Helper()
	d := websocket.Dialer{HandshakeTimeout: patience}
	if protocol != "" {
		d.Subprotocols = []string{protocol}
	}
	address := "ws" + strings.TrimPrefix(r.http.URL, "http") + "/notification2/" + kind + "/?token=" + url.QueryEscape(token)
	ws, resp, err := d.DialContext(r.context(), address, h)
	if err == nil {
		if ws.Subprotocol() != protocol {
			r.t.Errorf("subprotocol %q, want %q", ws.Subprotocol(), protocol)
		}
		_ = resp.Body.Close()
		return ws, resp.StatusCode, ""
	}
	if resp == nil {
		r.t.Fatal(err)
	}
	var body struct {
		Error struct{ Code, Message string }
	}
	_ = json.NewDecoder(resp.Body).Decode(&body)
	_ = resp.Body.Close()
	return nil, resp.StatusCode, body.Error.Code
}

// open opens a socket.
func (r *rig) open(kind, token, protocol string) *client {
	r.t.Helper()
	ws, status, code := r.dial(kind, token, protocol, nil)
	if ws == nil {
		r.t.Fatalf("%d %s", status, code)
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	return &client{t: r.t, ws: ws, json: protocol == frame.Protocol}
}

func (r *rig) consumer(token string) *client { r.t.Helper(); return r.open("consumer", token, "") }

func (r *rig) jsonConsumer(token string) *client {
	r.t.Helper()
	return r.open("consumer", token, frame.Protocol)
}

// producer opens a producer in Avro for one topic.
func (r *rig) producer(topic string) *client {
	r.t.Helper()
	return r.open("producer", r.token("mqttServicePublisher", topic), "")
}

// jsonProducer opens a producer in JSON for all topics.
func (r *rig) jsonProducer() *client {
	r.t.Helper()
	return r.open("producer", r.token("mqttServicePublisher", "#"), frame.Protocol)
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// next is the next text frame.
func (c *client) next() (string, error) {
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	kind, text, err := c.ws.ReadMessage()
	if err == nil && kind != websocket.TextMessage {
		c.t.Errorf("frame of kind %d", kind)
	}
	return string(text), err
}

func (c *client) expect(want string) {
	c.t.Helper()
	if got, err := c.next(); err != nil || got != want {
		c.t.Fatalf("got %q %v, want %q", got, err, want)
	}
}

// refusal is a frame that refuses something.
type refusal struct {
	Seq   *uint64
	Error struct{ Code, Message string }
}

// expectRefusal is the next frame, which refuses something; seq is -1 where it names none.
func (c *client) expectRefusal(seq int, code reason.Reason) {
	c.t.Helper()
	text, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	var r refusal
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Error.Code != string(code) || r.Error.Message == "" {
		c.t.Fatalf("got %s, want %s", text, code)
	}
	if got := r.Seq; seq < 0 && got != nil || seq >= 0 && (got == nil || *got != uint64(seq)) {
		c.t.Errorf("got %s, want seq %d", text, seq)
	}
}

// expectEnd waits for the close frame.
func (c *client) expectEnd(code int, why reason.Reason) {
	c.t.Helper()
	_, err := c.next()
	e, ok := err.(*websocket.CloseError)
	if !ok || e.Code != code || e.Text != string(why) {
		c.t.Fatalf("got %v, want close %d %s", err, code, why)
	}
}

// received is a message as a consumer sees it.
type received struct {
	id, topic, payload string
	metadata           map[string]any
}

var schema = avro.MustParse(frame.Schema)

// receive is the next message.
func (c *client) receive() received {
	c.t.Helper()
	text, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	return c.parse(text)
}

func (c *client) parse(text string) received {
	c.t.Helper()
	if c.json {
		var f struct {
			ID, Topic string
			Payload   []byte
			Time      time.Time
			Metadata  map[string]any
		}
		if err := json.Unmarshal([]byte(text), &f); err != nil || f.ID == "" || f.Time.IsZero() {
			c.t.Fatalf("got %s: %v", text, err)
		}
		return received{f.ID, f.Topic, string(f.Payload), f.Metadata}
	}
	id, body, ok := strings.Cut(text, "\n")
	record, err := base64.StdEncoding.DecodeString(body)
	if !ok || err != nil {
		c.t.Fatalf("got %q: %v", text, err)
	}
	var m struct {
		Metadata map[string]any `avro:"metadata"`
		Payload  []byte         `avro:"payload"`
	}
	if err := avro.Unmarshal(schema, record, &m); err != nil {
		c.t.Fatal(err)
	}
	topic, _ := m.Metadata["topic"].(string)
	return received{id, topic, string(m.Payload), m.Metadata}
}

func (c *client) ack(id string) {
	c.t.Helper()
	if c.json {
		id = `{"ack":"` + id + `"}`
	}
	c.send(id)
}

// expectMessages receives and acknowledges messages with these payloads, in this order.
func (c *client) expectMessages(payloads ...string) {
	c.t.Helper()
	for _, want := range payloads {
		m := c.receive()
		if m.payload != want {
			c.t.Fatalf("got %q, want %q", m.payload, want)
		}
		c.ack(m.id)
	}
}

// synced makes sure that everything sent before has been dealt with, and that nothing came but the answer to this.
func (c *client) synced() {
	c.t.Helper()
	c.send(`{"ack":"0"}`)
	c.expectRefusal(-1, reason.UnknownAck)
}

// avroPublish is a producer's frame with a payload, for one client identifier or for all.
func (c *client) avroPublish(seq int, payload, to string) {
	c.t.Helper()
	m := map[string]any{"metadata": map[string]any{
		"clientId": nil, "contentType": nil, "correlationData": nil, "dupFlag": false, "messageId": 0, "payloadFormatIndicator": nil,
		"responseTopic": nil, "topic": "ignored", "userProperties": nil,
	}, "payload": []byte(payload)}
	if to != "" {
		m["metadata"].(map[string]any)["clientId"] = to
	}
	record, err := avro.Marshal(schema, m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(strconv.Itoa(seq) + "\n" + base64.StdEncoding.EncodeToString(record))
}

// jsonPublish is a producer's frame.
func (c *client) jsonPublish(seq int, topic, payload string) {
	c.t.Helper()
	c.send(jsonFrame(seq, topic, payload))
}

func jsonFrame(seq int, topic, payload string) string {
	return `{"seq":` + strconv.Itoa(seq) + `,"topic":"` + topic + `","payload":"` + base64.StdEncoding.EncodeToString([]byte(payload)) + `"}`
}

// mustPublish publishes in JSON and waits until it is stored.
func (c *client) mustPublish(seq int, topic, payload string) {
	c.t.Helper()
	c.jsonPublish(seq, topic, payload)
	c.expect(`{"ack":` + strconv.Itoa(seq) + `}`)
}

// native is a native NATS connection.
func (r *rig) native() *nats.Conn {
	r.t.Helper()
	nc, err := nats.Connect(r.nats.ClientURL())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	return nc
}
