// Package bridges runs two Weirs beside one nats-server.
package bridges

import (
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/jetstream/message"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two bridges. Only the first has a tenants file: the second knows from the store.
type pair struct {
	nats *weirtest.NATS
	a, b *weirtest.Weir
	js   natsjs.JetStream
}

func startPair(t *testing.T, tenants string) pair {
	t.Helper()
	server := weirtest.StartNATS(t)
	return pair{
		nats: server,
		a:    weirtest.Start(t, weirtest.Options{Name: "weir a", External: server, Tenants: tenants}),
		b:    weirtest.Start(t, weirtest.Options{Name: "weir b", External: server}),
		js:   weirtest.JetStream(t, server.URL()),
	}
}

// stream is what JetStream knows of the stream of a topic of the demo tenant.
func (p pair) stream(t *testing.T, topic string) *natsjs.StreamInfo {
	t.Helper()
	name, err := p.js.StreamNameBySubject(weirtest.Context(t), message.Subject("demo", topic))
	if err != nil {
		t.Fatalf("the stream of %s: %v", topic, err)
	}
	stream, err := p.js.Stream(weirtest.Context(t), name)
	if err != nil {
		t.Fatalf("the stream of %s: %v", topic, err)
	}
	return stream.CachedInfo()
}

// login is a device of the demo tenant.
func login(t *testing.T, weir *weirtest.Weir, v codec.Version, clientID string) *weirtest.Client {
	t.Helper()
	return weirtest.Login(t, weir.MQTT(), v, clientID, "demo/device", "demo")
}
