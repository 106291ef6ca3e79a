// Package websocket runs the programs in examples that are written in other languages. A language that is not installed fails the test.
package websocket

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/tests/examples/mappertest"
	"github.com/weirmq/weir/tests/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMapperNode(t *testing.T) {
	testMapper(t, "../../../examples/mapper-node", "node", "mapper.js")
}

func TestMapperJava(t *testing.T) {
	testMapper(t, "../../../examples/mapper-java", "java", "Mapper.java")
}

func testMapper(t *testing.T, dir, name string, args ...string) {
	address := freeAddress(t)
	weir := weirtest.Start(t, weirtest.Options{Env: []string{"WEIR_HTTP_ADDR=" + address}})
	run := func(t *testing.T, password string) *mapper {
		t.Helper()
		return newMapper(t, dir, []string{"WEIR_URL=http://" + address, "MAPPER_PASSWORD=" + password}, name, args...)
	}

	t.Run("works", func(t *testing.T) { mappertest.Run(t, weir, run(t, "demo")) })

	t.Run("connects again", func(t *testing.T) {
		m := run(t, "demo")
		m.Start()
		weir.Kill()
		weir.Restart()
		// What is published before it has connected is kept for it.
		device := mappertest.Connect(t, weir, "thermostat three", "demo/device")
		device.Subscribe("devices/three/down")
		for i := range 3 {
			device.Ask("three", i)
		}
		m.Stop()
	})

	t.Run("cannot start", func(t *testing.T) {
		m := run(t, "wrong")
		m.launch()
		if code := m.wait(); code != 1 || !strings.Contains(m.said(), "bad_credentials") {
			t.Errorf("exit code %d, %q", code, m.said())
		}
	})
}

// freeAddress is outside of the range from which the kernel gives ports to clients, so that it stays free while Weir is down.
func freeAddress(t *testing.T) string {
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+rand.IntN(20000)))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}
