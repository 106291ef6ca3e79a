// Package tool is what the operator's subcommands have in common: how they reach what is stored, and how they say it.
package tool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/weirmq/weir/cmd/weir/app"
	"github.com/weirmq/weir/jetstream"
	"github.com/weirmq/weir/jetstream/embedded"
)

// probeTimeout is how long a Weir may take to accept a connection.
const probeTimeout = 5 * time.Second

// Inspect calls f with what the environment says where to look.
func Inspect(ctx context.Context, f func(*jetstream.Inspector) error) error {
	config, err := app.LoadConfig()
	if err != nil {
		return err
	}
	i, err := open(ctx, config)
	if err != nil {
		return err
	}
	defer i.Close()
	return f(i)
}

// open reaches what is stored by way of the configuration that Weir itself has. Errors are one line.
func open(ctx context.Context, c app.Config) (*jetstream.Inspector, error) {
	if c.Embedded() {
		return openEmbedded(ctx, c)
	}
	i, err := jetstream.OpenInspector(ctx, jetstream.InspectorConfig{
		Options: jetstream.External(c.NATSURL, c.NATSCreds),
		Shared:  true,
	})
	if err != nil {
		// The URLs can hold passwords.
		return nil, fmt.Errorf("NATS at WEIR_NATS_URL: %w", err)
	}
	return i, nil
}

// openEmbedded reaches the store of a running Weir with an embedded server.
func openEmbedded(ctx context.Context, c app.Config) (*jetstream.Inspector, error) {
	addr, err := running(c.NATSAddr)
	if err != nil {
		return nil, err
	}
	// Before the credential is read and sent, so that it is clear what is missing.
	dialer := net.Dialer{Timeout: probeTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("no running Weir at %s (WEIR_NATS_ADDR); for a NATS system of its own set WEIR_NATS_URL", addr)
	}
	conn.Close()
	i, err := jetstream.OpenInspector(ctx, jetstream.InspectorConfig{Options: embedded.Remote(addr, c.DataDir)})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s (WEIR_DATA_DIR) is not the data directory of the Weir at %s: it holds no credential", c.DataDir, addr)
	case errors.Is(err, jetstream.ErrLogin):
		return nil, fmt.Errorf("%s (WEIR_DATA_DIR) is not the data directory of the server at %s: that refuses its credential", c.DataDir, addr)
	case err != nil:
		return nil, fmt.Errorf("the Weir at %s: %w", addr, err)
	}
	return i, nil
}

// running is where a Weir that listens on the address can be reached from this machine.
func running(address string) (string, error) {
	if address == app.Off {
		return "", &app.ConfigError{
			Variable: "WEIR_NATS_ADDR", Err: errors.New("is off: the store of an embedded server can be reached only where it listens"),
		}
	}
	host, port := app.Reachable(address)
	if port == "0" {
		return "", &app.ConfigError{
			Variable: "WEIR_NATS_ADDR", Err: errors.New("port 0 is a different one at every start: set the one that Weir listens on"),
		}
	}
	return net.JoinHostPort(host, port), nil
}
