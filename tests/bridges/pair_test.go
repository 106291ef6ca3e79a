// Package bridges runs two Weirs beside one nats-server.
package bridges

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
