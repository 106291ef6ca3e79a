package weirtest

import (
	"strings"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
)

// Pair is two Weirs beside one nats-server. Only the first has a tenants file: the second knows from the store.
type Pair struct {
	NATS *NATS
	A, B *Weir
	JS   natsjs.JetStream
}

// StartPair runs two Weirs with this tenants file that end with the test. Variables are for both.
func StartPair(t testing.TB, tenants string, env ...string) Pair {
	t.Helper()
	server := StartNATS(t)
	return Pair{
		NATS: server,
		A:    Start(t, Options{Name: "weir a", External: server, Tenants: tenants, Env: env}),
		B:    Start(t, Options{Name: "weir b", External: server, Env: env}),
		JS:   JetStream(t, server.URL()),
	}
}

// DemoRules is DemoTenants with these topic rules, each in YAML's flow style.
func DemoRules(rules ...string) string {
	return DemoTenants + "    topics:\n      - " + strings.Join(rules, "\n      - ") + "\n"
}

// Device logs in as a device of the demo tenant.
func Device(t testing.TB, weir *Weir, v codec.Version, clientID string) *Client {
	t.Helper()
	return Login(t, weir.MQTT(), v, clientID, "demo/device", "demo")
}

// Stream is what JetStream knows of the stream of a topic of the demo tenant.
func Stream(t testing.TB, js natsjs.JetStream, topic string) *natsjs.StreamInfo {
	t.Helper()
	name, err := js.StreamNameBySubject(Context(t), message.Subject("demo", topic))
	if err != nil {
		t.Fatalf("the stream of %s: %v", topic, err)
	}
	stream, err := js.Stream(Context(t), name)
	if err != nil {
		t.Fatalf("the stream of %s: %v", topic, err)
	}
	return stream.CachedInfo()
}

// Stored is how many messages of a topic of the demo tenant its stream holds.
func Stored(t testing.TB, js natsjs.JetStream, topic string) uint64 {
	t.Helper()
	subject := message.Subject("demo", topic)
	stream, err := js.Stream(Context(t), Stream(t, js, topic).Config.Name)
	if err != nil {
		t.Fatalf("the stream of %s: %v", topic, err)
	}
	info, err := stream.Info(Context(t), natsjs.WithSubjectFilter(subject))
	if err != nil {
		t.Fatalf("the stream of %s: %v", topic, err)
	}
	return info.State.Subjects[subject]
}
