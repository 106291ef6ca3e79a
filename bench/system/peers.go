package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
)

// ownModule is the directory of the bench's module, where the bench runs; its go.mod says the peers' versions.
const ownModule = "."

// natsConfig is the least that gives MQTT, JetStream on files and a server name, and two more settings: max_ack_pending
// bounds a subscription and the whole session alike, so with several subscriptions the default of 1,024 makes the
// server leave out messages and deliver them 30 s later; and of its users one has what a service of Weir's tenant may do, for comparisons with
// that. The other one may do everything, which costs nothing.
const natsConfig = `server_name: bench
listen: %q
jetstream { store_dir: %q }
authorization {
  users: [
    { user: "bench/client", password: bench }
    { user: "bench/service", password: bench, permissions: {
      publish: [
        "mqtt.bench.>", "weir.topic.ensure.bench", "$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
        "$JS.API.CONSUMER.>", "$JS.ACK.>", "$JS.FC.>"
      ]
      subscribe: [ "mqtt.bench.>", "weir.events.bench.>", "_INBOX.>" ]
    } }
  ]
}
mqtt {
  listen: %q
  max_ack_pending: 6000
}
`

// natsUser may do everything there.
const (
	natsUser     = "bench/client"
	natsPassword = "bench"
)

func prepareNATS(ctx context.Context, dir string) (System, error) {
	const pkg = "github.com/nats-io/nats-server/v2"
	path := filepath.Join(dir, "nats-server")
	if err := build(ctx, ownModule, pkg, path); err != nil {
		return System{}, err
	}
	version, err := moduleVersion(path, pkg)
	if err != nil {
		return System{}, err
	}
	return System{Name: NATS, Version: version, launch: func(dir string, _ *Process) (launch, error) {
		addrs, err := freeAddrs(2)
		if err != nil {
			return launch{}, err
		}
		config, err := writeFile(dir, "nats.conf", fmt.Sprintf(natsConfig, addrs[0], filepath.Join(dir, "store"), addrs[1]))
		return launch{addr: addrs[1], nats: addrs[0], path: path, args: []string{"-c", config}}, err
	}}, nil
}

// prepareMochi builds a mochi-mqtt with its default capabilities that lets everyone in.
func prepareMochi(ctx context.Context, dir string) (System, error) {
	path := filepath.Join(dir, "mochi")
	if err := build(ctx, ownModule, "./peers/mochi", path); err != nil {
		return System{}, err
	}
	version, err := moduleVersion(path, "github.com/mochi-mqtt/server/v2")
	if err != nil {
		return System{}, err
	}
	return System{Name: Mochi, Version: version, launch: func(string, *Process) (launch, error) {
		addrs, err := freeAddrs(1)
		if err != nil {
			return launch{}, err
		}
		return launch{addr: addrs[0], path: path, args: addrs}, nil
	}}, nil
}

// mosquittoConfig lifts the limits that would hold mosquitto back (20 messages in flight and 1,000 queued per
// client; what is queued it delivers out of order), and sends small packets at once, as Go programs do.
const mosquittoConfig = `listener %s 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 100000
set_tcp_nodelay true
`

func prepareMosquitto(ctx context.Context, _ string) (System, error) {
	path, err := findMosquitto()
	if err != nil {
		return System{}, err
	}
	// It exits with 3 after printing the usage, whose first line has the version.
	usage, err := exec.CommandContext(ctx, path, "-h").Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return System{}, err
	}
	version, _, _ := strings.Cut(string(usage), "\n")
	return System{Name: Mosquitto, Version: strings.TrimPrefix(version, "mosquitto version "), launch: func(dir string, _ *Process) (launch, error) {
		addrs, err := freeAddrs(1)
		if err != nil {
			return launch{}, err
		}
		_, port, err := net.SplitHostPort(addrs[0])
		if err != nil {
			return launch{}, err
		}
		config, err := writeFile(dir, "mosquitto.conf", fmt.Sprintf(mosquittoConfig, port))
		return launch{addr: addrs[0], path: path, args: []string{"-c", config}}, err
	}}, nil
}

// findMosquitto looks in Debian's place too, which is not on everyone's PATH.
func findMosquitto() (string, error) {
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the broker is not installed: apt-get install mosquitto")
}
