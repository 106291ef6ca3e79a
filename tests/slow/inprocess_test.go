package slow

import (
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/weirmq/weir/cmd/weir/app"
	"github.com/weirmq/weir/codec"
	"github.com/weirmq/weir/tests/weirtest"
)

// The program as a value leaves no goroutine behind, with clients that are connected when it is closed.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	config := app.Config{
		DataDir:   t.TempDir(),
		NATSAddr:  "127.0.0.1:0",
		Sync:      "interval",
		Replicas:  1,
		MQTTAddr:  "127.0.0.1:0",
		MQTTSAddr: app.Off,
		HTTPAddr:  app.Off,
		HTTPSAddr: app.Off,
		AdminAddr: "127.0.0.1:0",
		TopicIdle: time.Second,
		LogLevel:  "info",
	}
	t.Run("embedded", func(t *testing.T) {
		for range 3 {
			bootAndClose(t, config)
		}
	})
	t.Run("sidecar", func(t *testing.T) {
		external := config
		external.NATSURL = weirtest.StartNATS(t).URL()
		external.TenantsFile = weirtest.TenantsFile(t, weirtest.DemoTenants)
		for range 3 {
			bootAndClose(t, external)
		}
	})
}

func bootAndClose(t *testing.T, config app.Config) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	a := app.New(config, zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)), io.Discard)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	address := a.Addresses().MQTT
	var client *weirtest.Client
	weirtest.Until(t, "the tenants are known", func() bool {
		client = weirtest.Dial(t, address, codec.V5)
		client.Send(weirtest.Credentials("client", "demo/device", "demo"))
		return weirtest.Expect[*codec.Connack](client).Code == codec.Success
	})
	client.Subscribe("topic", 1)
	weirtest.Login(t, address, codec.V311, "other", "demo/service", "demo").Publish("topic", "x")
	if p := client.Message(); string(p.Payload) != "x" {
		t.Errorf("received %q", p.Payload)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
