package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/authn"
	"github.com/weirmq/weir/bridge/fanout"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/embedded/natsprocess"
	"github.com/weirmq/weir/jetstream/publisher"
	"github.com/weirmq/weir/jetstream/reader"
	"github.com/weirmq/weir/tenant"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	natsprocess.Main()
	goleak.VerifyTestMain(m)
}

// The users of every rig: two devices and an application, password "secret".
var users = func() map[string]tenant.User {
	hash := authn.HashPassword([]byte("secret"))
	return map[string]tenant.User{
		"device":  {PasswordHash: hash, Role: tenant.RoleDevice},
		"other":   {PasswordHash: hash, Role: tenant.RoleDevice},
		"service": {PasswordHash: hash, Role: tenant.RoleApplication},
	}
}()

// rig is a bridge on a real nats-server, listening on the loopback.
type rig struct {
	t      testing.TB
	nats   natsServer
	store  *jetstream.Store
	auth   *authn.Authenticator
	hub    *fanout.Hub
	server *Server
	line   *line
	rules  tenant.Rules
	addr   string
	served chan error
}

// newRig starts a nats-server and a bridge with one tenant, acme.
func newRig(t testing.TB, q tenant.Quotas, change func(*Server)) *rig {
	t.Helper()
	return newBridge(t, startNATS(t, t.TempDir(), -1), q, change)
}

func serverOptions(dir string, port int) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 28, MaxPayload: 8 << 20,
	}
}

// startNATS starts a nats-server on the data that is in dir; port -1 is any free one.
func startNATS(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	ns, err := server.NewServer(serverOptions(dir, port))
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the nats-server does not start")
	}
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	return ns
}

// natsServer is where a rig has its streams.
type natsServer interface{ ClientURL() string }

// serverProcess is one in a process of its own, by its URL.
type serverProcess string

// ClientURL is where it listens.
func (p serverProcess) ClientURL() string { return string(p) }

// stopNATS shuts down the nats-server of a rig, which is in this process.
func (r *rig) stopNATS() {
	ns := r.nats.(*server.Server)
	ns.Shutdown()
	ns.WaitForShutdown()
}

// through says how to reach a nats-server over a line.
func through(ns natsServer, l *line) func(string) (nats.Options, error) {
	return func(tenant string) (nats.Options, error) {
		o, err := jetstream.External(ns.ClientURL(), "")(tenant)
		o.CustomDialer = l
		return o, err
	}
}

// newBridge starts a bridge on a nats-server.
func newBridge(t testing.TB, ns natsServer, q tenant.Quotas, change func(*Server), rules ...tenant.Rule) *rig {
	t.Helper()
	r := &rig{t: t, nats: ns, auth: authn.New(), rules: rules, line: newLine(), served: make(chan error, 1)}
	registry := prometheus.NewRegistry()
	log := zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))
	var err error
	r.store, err = jetstream.Open(context.Background(), jetstream.Config{
		Bridge:    nuid.Next(),
		Options:   through(ns, r.line),
		Shared:    true,
		Log:       log,
		Metrics:   jetstream.NewMetrics(registry),
		Publisher: publisher.NewMetrics(registry),
		Reader:    reader.NewMetrics(registry),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.hub = fanout.New(fanout.Config{Log: log, Metrics: fanout.NewMetrics(registry)})
	r.setTenant(q, users)
	r.server = &Server{Auth: r.auth, Log: r.store.Tenant, Hub: r.hub, Logger: log, Metrics: NewMetrics(registry)}
	if change != nil {
		change(r.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	go func() { r.served <- r.server.Serve(l) }()
	t.Cleanup(r.close)
	if _, err := r.store.Tenant(r.context(), "acme"); err != nil {
		t.Fatal(err)
	}
	return r
}

// setTenant puts the tenant acme in force, as the program does when it changes.
func (r *rig) setTenant(q tenant.Quotas, u map[string]tenant.User) {
	r.auth.SetTenants(map[string]tenant.Tenant{"acme": {Name: "acme", Users: u, Quotas: q, Origin: tenant.OriginStore}})
	r.store.SetLimits("acme", 1, q.Resolve(), r.rules.Resolve(q))
	if r.server != nil {
		r.server.Recheck("acme")
	}
}

// ruled starts a nats-server and a bridge with one tenant, acme, that has topic rules.
func ruled(t testing.TB, q tenant.Quotas, rules tenant.Rules) *rig {
	t.Helper()
	return newBridge(t, startNATS(t, t.TempDir(), -1), q, nil, rules...)
}

// eachPlace runs a test with the topics in streams of their own, all in one, and some so and some so.
func eachPlace(t *testing.T, f func(t *testing.T, rules tenant.Rules)) {
	for name, filter := range map[string]string{"dedicated": "", "shared": "#", "both": "a/#", "one": "a/b"} {
		t.Run(name, func(t *testing.T) {
			if filter == "" {
				f(t, nil)
				return
			}
			f(t, tenant.Rules{{Filter: filter, Stream: tenant.StreamShared, Name: "one", BacklogBytes: 1 << 24}})
		})
	}
}

func (r *rig) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.t.Cleanup(cancel)
	return ctx
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		r.t.Errorf("shutdown: %v", err)
		_ = r.server.Close()
	}
	if err := <-r.served; !errors.Is(err, ErrServerClosed) {
		r.t.Errorf("Serve returned %v", err)
	}
	if err := r.hub.Close(ctx); err != nil {
		r.t.Errorf("hub: %v", err)
	}
	if err := r.store.Close(ctx); err != nil {
		r.t.Errorf("store: %v", err)
	}
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

// client is a hand-driven MQTT client, able to send what it must not.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *codec.Reader
	v    codec.Version
	id   string
}

// dial opens a connection that speaks version v.
func (r *rig) dial(v codec.Version) *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: r.t, conn: conn, r: codec.NewReader(conn, 16<<20), v: v}
}

// hello is a CONNECT of user device.
func hello(id string) *codec.Connect {
	return &codec.Connect{
		CleanStart: true, ClientID: id, KeepAlive: 60,
		HasUsername: true, Username: "acme/device", HasPassword: true, Password: []byte("secret"),
		Properties: codec.ConnectProperties{},
	}
}

// connect is a client that is connected.
func (r *rig) connect(v codec.Version, id string, change ...func(*codec.Connect)) *client {
	r.t.Helper()
	c := r.dial(v)
	p := hello(id)
	for _, f := range change {
		f(p)
	}
	c.id = id
	c.send(p)
	if ack := expect[*codec.Connack](c); ack.Code != codec.Success {
		r.t.Fatalf("CONNACK 0x%02X %s", byte(ack.Code), ack.Properties.ReasonString)
	}
	return c
}

func (c *client) send(packets ...codec.Packet) {
	c.t.Helper()
	var b []byte
	for _, p := range packets {
		var err error
		if b, err = p.Append(b, c.v); err != nil {
			c.t.Fatalf("%s: %v", p.Type(), err)
		}
	}
	c.write(b)
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// next is the next packet.
func (c *client) next() (codec.Packet, error) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	h, body, err := c.r.Next()
	if err != nil {
		return nil, err
	}
	p, err := codec.Decode(h, append([]byte(nil), body...), c.v)
	if err != nil {
		c.t.Fatalf("the bridge sent a bad %s: %v", h.Type, err)
	}
	return p, nil
}

// expect is the next packet, which has to be of one type.
func expect[P codec.Packet](c *client) P {
	c.t.Helper()
	p, err := c.next()
	if err != nil {
		var want P
		c.t.Fatalf("waiting for %T: %v", want, err)
	}
	got, ok := p.(P)
	if !ok {
		c.t.Fatalf("got %s, want %T", show(p), got)
	}
	return got
}

// expectEnd waits for the end of the connection. In MQTT 5 a DISCONNECT with the code comes first, unless the code is
// Success; in 3.x nothing does.
func (c *client) expectEnd(code codec.ReasonCode) {
	c.t.Helper()
	if c.v == codec.V5 && code != codec.Success {
		if d := expect[*codec.Disconnect](c); d.Code != code {
			c.t.Fatalf("DISCONNECT 0x%02X %s, want 0x%02X", byte(d.Code), d.ReasonString, byte(code))
		}
	}
	c.expectClosed()
}

func (c *client) expectClosed() {
	c.t.Helper()
	p, err := c.next()
	switch {
	case err == nil:
		c.t.Fatalf("got %s, want the end of the connection", show(p))
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Fatal("the connection stays open")
	}
	_ = c.conn.Close()
}

// ping makes sure that everything sent before has been dealt with, and that nothing came back but PINGRESP.
func (c *client) ping() {
	c.t.Helper()
	c.send(&codec.Pingreq{})
	expect[*codec.Pingresp](c)
}

// subscribe subscribes to one filter and returns the code.
func (c *client) subscribe(filter string, qos codec.QoS) *codec.Suback {
	c.t.Helper()
	c.send(&codec.Subscribe{PacketID: 1000, Subscriptions: []codec.Subscription{{Filter: filter, QoS: qos}}})
	ack := expect[*codec.Suback](c)
	if ack.PacketID != 1000 || len(ack.Codes) != 1 {
		c.t.Fatalf("got %s", show(ack))
	}
	return ack
}

func (c *client) mustSubscribe(filter string, qos codec.QoS) {
	c.t.Helper()
	if ack := c.subscribe(filter, qos); ack.Codes[0] != codec.ReasonCode(min(qos, 1)) {
		c.t.Fatalf("SUBACK 0x%02X %s", byte(ack.Codes[0]), ack.ReasonString)
	}
}

func publish(topic string, qos codec.QoS, id uint16, payload string) *codec.Publish {
	return &codec.Publish{Topic: []byte(topic), QoS: qos, PacketID: id, Payload: []byte(payload)}
}

// publish publishes at QoS 1 and waits for the PUBACK.
func (c *client) publish(topic string, id uint16, payload string) *codec.Ack {
	c.t.Helper()
	c.send(publish(topic, 1, id, payload))
	ack := expect[*codec.Ack](c)
	if ack.Kind != codec.PUBACK || ack.PacketID != id {
		c.t.Fatalf("got %s", show(ack))
	}
	return ack
}

func (c *client) mustPublish(topic string, id uint16, payload string) {
	c.t.Helper()
	if ack := c.publish(topic, id, payload); ack.Code != codec.Success {
		c.t.Fatalf("PUBACK 0x%02X %s", byte(ack.Code), ack.ReasonString)
	}
}

// receive is the next PUBLISH, acknowledged at QoS 1.
func (c *client) receive() *codec.Publish {
	c.t.Helper()
	p := expect[*codec.Publish](c)
	if p.QoS == 1 {
		c.send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
	}
	return p
}

// each runs a test in every version of the protocol.
func each(t *testing.T, f func(t *testing.T, v codec.Version)) {
	for _, v := range []codec.Version{codec.V31, codec.V311, codec.V5} {
		t.Run(fmt.Sprint(v), func(t *testing.T) { f(t, v) })
	}
}
