// Package examples runs the programs in examples beside Weir and devices.
package examples

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/message"
	"github.com/weirmq/weir/tests/examples/mappertest"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startMapper(t *testing.T, weir *weirtest.Weir) *weirtest.Program {
	t.Helper()
	p := weirtest.StartProgram(t, "examples/mapper-go", []string{"MAPPER_PASSWORD=demo"}, "-nats", weir.NATS())
	p.AwaitSaid("maps devices/+/up of tenant demo")
	return p
}

// A device publishes and gets its answer, alone; what was mapped is stored for whoever works on it.
func TestMapperGo(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { testMapper(t, weirtest.Start(t, weirtest.Options{})) })
	t.Run("sidecar", func(t *testing.T) {
		testMapper(t, weirtest.Start(t, weirtest.Options{External: weirtest.StartNATS(t), Tenants: weirtest.DemoTenants}))
	})
}

// mapperGo is started by its test once, and then again.
type mapperGo struct {
	*weirtest.Program
	t    *testing.T
	weir *weirtest.Weir
}

func (m *mapperGo) Start() {
	if m.Program != nil {
		m.Restart()
		return
	}
	js := weirtest.JetStream(m.t, m.weir.NATS(), weirtest.DemoService())
	for _, id := range []string{"one", "two"} { // what is stored in a new topic before its stream is found is not mapped
		weirtest.Ensure(m.t, js.Conn(), "demo", "devices/"+id+"/up")
	}
	m.Program = startMapper(m.t, m.weir)
}

func TestMapperGoKilled(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	mappertest.Run(t, weir, &mapperGo{t: t, weir: weir})
}

func testMapper(t *testing.T, weir *weirtest.Weir) {
	js := weirtest.JetStream(t, weir.NATS(), weirtest.DemoService())
	devices := map[string]*weirtest.Client{}
	for id, v := range map[string]codec.Version{"one": codec.V5, "two": codec.V311} {
		devices[id] = weirtest.Login(t, weir.MQTT(), v, "thermostat "+id, "demo/device", "demo")
		devices[id].Subscribe("devices/+/down", 1) // also the other's
		weirtest.Ensure(t, js.Conn(), "demo", "devices/"+id+"/up")
	}
	mapped := weirtest.Durable(t, js.Conn(), "demo", "mapped/one", "work")
	mapper := startMapper(t, weir)

	const count = 50
	for i := range count {
		for id, device := range devices {
			ask(t, id, device, fmt.Sprintf(`{"temperature":%d.5}`, i), `{"accepted":true}`)
		}
		m, err := mapped.Next(natsjs.FetchMaxWait(weirtest.Patience))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(weirtest.Context(t)); err != nil {
			t.Fatal(err)
		}
		var out struct {
			Source  string
			Celsius float64
			Time    time.Time
		}
		if err := json.Unmarshal(m.Data(), &out); err != nil || out.Source != "thermostat one" || out.Celsius != float64(i)+0.5 || out.Time.IsZero() {
			t.Errorf("mapped %d: %s, %v", i, m.Data(), err)
		}
	}

	// What is no measurement is answered and gone.
	ask(t, "one", devices["one"], "21.5", `{"accepted":false,"error":"the payload is not {\"temperature\":\u003cnumber\u003e}"}`)
	mapper.AwaitSaid("devices/one/up: the payload is not")

	// What is published while the mapper is away waits for it.
	mapper.Stop()
	for i := range 3 {
		devices["two"].Publish("devices/two/up", fmt.Sprintf(`{"temperature":%d}`, i))
	}
	mapper.Restart()
	for range 3 {
		if m := devices["two"].Message(); string(m.Topic) != "devices/two/down" || string(m.Payload) != `{"accepted":true}` {
			t.Fatalf("received %q on %s", m.Payload, m.Topic)
		}
	}
	mapper.Kill()
	devices["one"].Publish("devices/one/up", `{"temperature":1}`)
	mapper.Restart()
	devices["one"].Message()
	mapper.Stop()
	if err := message.Unsubscribe(weirtest.Context(t), js, "demo", "mapper-go"); err != nil {
		t.Error(err)
	}
}

// ask publishes as a device and waits for its PUBACK and the mapper's answer, which come in any order.
func ask(t *testing.T, id string, device *weirtest.Client, payload, want string) {
	t.Helper()
	device.Send(&codec.Publish{QoS: 1, PacketID: 7, Topic: []byte("devices/" + id + "/up"), Payload: []byte(payload)})
	for range 2 {
		switch p := device.Next().(type) {
		case *codec.Ack:
			if p.Kind != codec.PUBACK || p.Code != codec.Success {
				t.Fatalf("PUBACK %+v", p)
			}
		case *codec.Publish:
			if string(p.Topic) != "devices/"+id+"/down" || string(p.Payload) != want {
				t.Fatalf("device %s received %q on %s", id, p.Payload, p.Topic)
			}
			device.Send(&codec.Ack{Kind: codec.PUBACK, PacketID: p.PacketID})
		default:
			t.Fatalf("received %s", p.Type())
		}
	}
}

// What cannot work ends with one line and exit code 1.
func TestMapperGoCannotStart(t *testing.T) {
	weir := weirtest.Start(t, weirtest.Options{})
	for name, start := range map[string]struct{ env, flag, says string }{
		"password": {"MAPPER_PASSWORD=wrong", "-user=demo/service", "Authorization Violation"},
		"user":     {"", "-user=service", `the user "service" is not <tenant>/<user>`},
		"durable":  {"MAPPER_PASSWORD=demo", "-durable=a\tb", "no control characters"},
	} {
		p := weirtest.StartProgram(t, "examples/mapper-go", []string{start.env}, "-nats", weir.NATS(), start.flag)
		if code := p.Wait(); code != 1 || !strings.Contains(p.Said(), start.says) {
			t.Errorf("%s: exit code %d, %q", name, code, p.Said())
		}
	}
}
