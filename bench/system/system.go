// Package system builds, starts and watches the MQTT servers that are compared, each in a process of its own
// with a fresh data directory and free loopback ports.
package system

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// System is an MQTT server that can be started.
type System struct {
	Name    string // as in [Names]
	Version string

	// Sidecar is a system of two processes: it is compared where that is wanted, and not with every other.
	Sidecar bool

	// beside is what has to run before, nil for most.
	beside *System
	// launch writes what the server needs into the empty directory dir and says how to start it.
	launch func(dir string, beside *Process) (launch, error)
}

// launch is how to start a server.
type launch struct {
	addr string // where it will speak MQTT
	http string // where it will serve microservices, if it does
	nats string // where it will speak NATS, if it does
	path string
	args []string
	env  []string // besides what is inherited
}

// preparers build the systems into dir, by name.
var preparers = map[string]func(ctx context.Context, dir string) (System, error){
	Weir:      prepareWeir,
	Sidecar:   prepareSidecar,
	NATS:      prepareNATS,
	Mochi:     prepareMochi,
	Mosquitto: prepareMosquitto,
}

// The systems there are.
const (
	Weir      = "weir"
	Sidecar   = "sidecar" // Weir with a nats-server beside it
	NATS      = "nats"
	Mochi     = "mochi"
	Mosquitto = "mosquitto"
)

// Names are the systems there are, in the order in which they are measured and shown.
func Names() []string { return []string{Weir, Sidecar, NATS, Mochi, Mosquitto} }

// Prepare builds a system into dir.
func Prepare(ctx context.Context, name, dir string) (System, error) {
	prepare, ok := preparers[name]
	if !ok {
		return System{}, fmt.Errorf("unknown system %q: there are %s", name, strings.Join(Names(), ", "))
	}
	s, err := prepare(ctx, dir)
	if err != nil {
		return System{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// build compiles a command. module is the directory of the module whose go.mod chooses the versions.
func build(ctx context.Context, module, pkg, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
	cmd.Dir = module
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, output)
	}
	return nil
}

// freeAddrs finds loopback addresses where nothing listens.
func freeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after the last is found, so that they differ
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}

// writeFile writes a configuration file and returns its path.
func writeFile(dir, name, content string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(content), 0o644)
}
