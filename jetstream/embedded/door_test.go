package embedded_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/jetstream/embedded"
)

var people = users{"acme/service": "s3cret", "acme/second": "s3cret", "other/service": "s3cret", "gone/service": "s3cret"}

func TestLogin(t *testing.T) {
	s := start(t, embedded.Config{Authenticate: people.check}, "acme", "other")
	for _, c := range []struct{ user, password string }{
		{"", ""},
		{"acme/service", ""},
		{"acme/service", "wrong"},
		{"acme/device", "s3cret"},
		{"service", "s3cret"},
		{"gone/service", "s3cret"}, // a user of a tenant that has no account yet
		{"WEIR/service", "s3cret"},
		{"$weir/", ""},
		{"$weir/acme", "s3cret"},
		{"$weir/WEIR", ""},
	} {
		if nc, err := native(t, s, c.user, c.password); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%q with %q: %v %v", c.user, c.password, nc, err)
		}
	}
	if _, err := nats.Connect("nats://" + s.Addr().String()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a login: %v", err)
	}
	if _, err := native(t, s, "acme/service", "s3cret"); err != nil {
		t.Error(err)
	}
}

func TestNobodyWithoutAuthenticate(t *testing.T) {
	s := start(t, embedded.Config{}, "acme")
	if _, err := native(t, s, "acme/service", ""); !errors.Is(err, nats.ErrAuthorization) {
		t.Error(err)
	}
}

// An application publishes, consumes and looks, in its own tenant.
func TestApplication(t *testing.T) {
	s := start(t, embedded.Config{Authenticate: people.check}, "acme", "other")
	own, js := bridge(t, s, "acme")
	stream(t, js, "MQTT_acme_t_1", "mqtt.acme.a")
	nc, err := native(t, s, "acme/service", "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	app := jetstream(t, nc)
	kept, err := app.Stream(t.Context(), "MQTT_acme_t_1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.AccountInfo(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := app.Publish(t.Context(), "mqtt.acme.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	consumer, err := kept.CreateConsumer(t.Context(), natsjs.ConsumerConfig{Durable: "service"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := consumer.Next(natsjs.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	if err := kept.DeleteConsumer(t.Context(), "service"); err != nil {
		t.Error(err)
	}
	// What Weir serves and says in the tenant.
	if _, err := own.Subscribe("weir.topic.ensure.acme", func(m *nats.Msg) {
		if err := m.Respond([]byte("made " + string(m.Data))); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	events, err := nc.SubscribeSync("weir.events.acme.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(own.Flush(), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	answer, err := nc.Request("weir.topic.ensure.acme", []byte("b"), patience)
	if err != nil || string(answer.Data) != "made b" {
		t.Errorf("ensure: %v %v", answer, err)
	}
	if err := own.Publish("weir.events.acme.connected.c", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := events.NextMsg(patience); err != nil {
		t.Error(err)
	}
}

// violations collects what the server forbids a connection, in the order in which it says so.
func violations(c chan error) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c <- err })
}

func forbidden(t *testing.T, c chan error, what string) {
	t.Helper()
	select {
	case err := <-c:
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(patience):
		t.Errorf("%s is allowed", what)
	}
}

func TestApplicationIsConfined(t *testing.T) {
	s := start(t, embedded.Config{Authenticate: people.check}, "acme", "other")
	_, js := bridge(t, s, "acme")
	kept := stream(t, js, "MQTT_acme_t_1", "mqtt.acme.a")
	if _, err := js.Publish(t.Context(), "mqtt.acme.a", nil); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 10)
	nc, err := native(t, s, "acme/service", "s3cret", violations(errs))
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{
		"mqtt.>", ">", "mqtt.other.>", "mqtt-sys.acme.>", "weir.>", "weir.events.>", "weir.takeover.>", "$JS.>", "$SYS.>",
		"_WEIR.>", "weir.topic.ensure.acme",
	} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		forbidden(t, errs, subject)
	}
	for _, subject := range []string{
		"mqtt.other.a", "mqtt-sys.acme.register.topic.x", "weir.events.acme.connected.c", "weir.takeover.b",
		"weir.topic.ensure.other", "_INBOX.x", "_WEIR.x",
		"$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.MQTT_acme_t_1", "$JS.API.STREAM.DELETE.MQTT_acme_t_1",
		"$JS.API.STREAM.PURGE.MQTT_acme_t_1", "$JS.API.STREAM.MSG.DELETE.MQTT_acme_t_1", "$JS.API.STREAM.RESTORE.X",
		"$JS.API.STREAM.SNAPSHOT.MQTT_acme_t_1", "$SYS.REQ.SERVER.PING",
	} {
		if err := nc.PublishRequest(subject, nc.NewInbox(), nil); err != nil {
			t.Fatal(err)
		}
		forbidden(t, errs, subject)
	}
	if state, err := kept.Info(t.Context()); err != nil || state.State.Msgs != 1 {
		t.Errorf("the stream is now %+v, %v", state, err)
	}
}

// Nothing of one tenant shows in another: not its streams, not its messages, not its inboxes.
func TestTenantsDoNotSeeEachOther(t *testing.T) {
	s := start(t, embedded.Config{Authenticate: people.check}, "acme", "other")
	acme, js := bridge(t, s, "acme")
	stream(t, js, "MQTT_acme_t_1", "mqtt.acme.a")
	other, otherJS := bridge(t, s, "other")
	nc, err := native(t, s, "other/service", "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	for name := range jetstream(t, nc).StreamNames(t.Context()).Name() {
		t.Errorf("sees the stream %s", name)
	}
	if _, err := otherJS.Stream(t.Context(), "MQTT_acme_t_1"); !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Errorf("Stream: %v", err)
	}
	inbox, err := nc.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	// The other tenant's bridge may subscribe to everything, and that is everything of its own account.
	all, err := other.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nc.Flush(), other.Flush()); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"mqtt.acme.a", "_INBOX.x", "weir.events.acme.connected.c"} {
		if err := acme.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := acme.Flush(); err != nil {
		t.Fatal(err)
	}
	// What the server did before the flush came back would be here by the next one.
	if err := errors.Join(nc.Flush(), other.Flush()); err != nil {
		t.Fatal(err)
	}
	for name, sub := range map[string]*nats.Subscription{"inbox": inbox, "everything": all} {
		n, _, err := sub.Pending()
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			m, err := sub.NextMsg(time.Second)
			if err != nil {
				t.Fatal(err)
			}
			// The server tells an account what was asked of its JetStream, here what this test asked of it.
			if !strings.HasPrefix(m.Subject, "$JS.EVENT.ADVISORY.API") {
				t.Errorf("%s: sees %s", name, m.Subject)
			}
		}
	}
}

func TestDisconnect(t *testing.T) {
	s := start(t, embedded.Config{Authenticate: people.check}, "acme", "other")
	closed := make(chan string, 10)
	connect := func(user string) *nats.Conn {
		nc, err := native(t, s, user, "s3cret", nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { closed <- user }))
		if err != nil {
			t.Fatal(err)
		}
		return nc
	}
	first, second := connect("acme/service"), connect("acme/service")
	others := []*nats.Conn{connect("acme/second"), connect("other/service")}
	if err := s.Disconnect("acme", "service"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if user := <-closed; user != "acme/service" {
			t.Errorf("%s was disconnected", user)
		}
	}
	if !first.IsClosed() || !second.IsClosed() {
		t.Error("still connected")
	}
	for _, nc := range others {
		if err := nc.Flush(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Disconnect("acme", "nobody"); err != nil {
		t.Error(err)
	}
}

// A login whose password was checked before the user changed is checked again.
func TestDisconnectDuringLogin(t *testing.T) {
	checking, goOn := make(chan struct{}), make(chan struct{})
	removed := false
	s := start(t, embedded.Config{Authenticate: func(ctx context.Context, user, password string) (string, bool) {
		tenant, ok := people.check(ctx, user, password)
		if removed {
			return "", false
		}
		checking <- struct{}{}
		<-goOn
		return tenant, ok
	}}, "acme")
	failed := make(chan error, 1)
	go func() {
		_, err := native(t, s, "acme/service", "s3cret", nats.Timeout(patience))
		failed <- err
	}()
	<-checking
	removed = true
	if err := s.Disconnect("acme", "service"); err != nil {
		t.Fatal(err)
	}
	goOn <- struct{}{}
	if err := <-failed; err == nil {
		t.Error("login with what is not valid any more")
	}
}

// A slow check of a password holds nobody else up, and outlasts nats-server's own time for a login.
func TestSlowCheck(t *testing.T) {
	checking, goOn := make(chan struct{}), make(chan struct{})
	s := start(t, embedded.Config{Authenticate: func(ctx context.Context, user, password string) (string, bool) {
		if user == "acme/service" {
			checking <- struct{}{}
			<-goOn
		}
		return people.check(ctx, user, password)
	}}, "acme")
	connected := make(chan error, 1)
	go func() {
		_, err := native(t, s, "acme/service", "s3cret", nats.Timeout(patience))
		connected <- err
	}()
	<-checking
	if _, err := native(t, s, "acme/second", "s3cret"); err != nil {
		t.Error(err)
	}
	if err := s.AddTenant("other"); err != nil {
		t.Error(err)
	}
	if err := s.Disconnect("acme", "second"); err != nil {
		t.Error(err)
	}
	checked := make(chan struct{})
	go func() { defer close(checked); goOn <- struct{}{}; <-checking; goOn <- struct{}{} }()
	if err := <-connected; err != nil {
		t.Error(err)
	}
	<-checked
}
