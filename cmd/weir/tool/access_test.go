package tool

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunning(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:4222": "127.0.0.1:4222", ":4222": "127.0.0.1:4222", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "nats.local:1": "nats.local:1",
		"off": "", "127.0.0.1:0": "",
	} {
		got, err := running(address)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
}
