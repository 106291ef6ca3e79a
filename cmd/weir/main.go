// Command weir is an MQTT front end for NATS JetStream. It takes its configuration from the environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"

	"github.com/weirmq/weir/cmd/weir/app"
)

// Exit codes.
const (
	exitClean  = 0
	exitFailed = 1
	exitConfig = 2
)

func main() {
	ballast := takeBallast()
	code := run(os.Args[1:], os.Stdout, os.Stderr)
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// run is main with what it depends on. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return serve(stdout, stderr)
	}
	switch args[0] {
	case "version", "--version":
		fmt.Fprintln(stdout, "weir", version())
		return exitClean
	case "help", "--help", "-h":
		if err := usage(stdout); err != nil {
			fmt.Fprintln(stderr, "weir:", err)
			return exitFailed
		}
		return exitClean
	}
	fmt.Fprintf(stderr, "weir: unknown subcommand %q; weir --help lists what there is\n", args[0])
	return exitConfig
}

// serve runs the program until SIGINT or SIGTERM.
func serve(stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The second signal kills a stop that takes too long.
	context.AfterFunc(ctx, stop)

	config, err := app.LoadConfig()
	if err != nil {
		return failed(err, stderr)
	}
	log, err := app.NewLogger(config, stderr)
	if err != nil {
		return failed(err, stderr)
	}
	log.Info("starting", zap.String("version", version()))
	if err := app.New(config, log, stdout).Run(ctx); err != nil {
		return failed(err, stderr)
	}
	return exitClean
}

// failed tells why the program ends, in one line, and returns the exit code.
func failed(err error, stderr io.Writer) int {
	fmt.Fprintln(stderr, "weir:", err)
	if _, ok := errors.AsType[*app.ConfigError](err); ok {
		return exitConfig
	}
	return exitFailed
}

func usage(w io.Writer) error {
	if _, err := fmt.Fprint(w, `weir is an MQTT front end for NATS JetStream.

  weir          run, until SIGINT or SIGTERM
  weir version  print the version
  weir --help   print this

Environment, with defaults:

`); err != nil {
		return err
	}
	return app.WriteVariables(w)
}

// version is what the build knows of itself: a module version, or the revision that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
