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
	exitConfig = 2 // and whatever else is wrong with how the program was called
)

func main() {
	ballast := takeBallast()
	code := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// run is main with what it depends on. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	called := false
	root := command(&called)
	root.SetArgs(append([]string{}, args...)) // never nil, for which cobra would take those of the process
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitClean
	}
	fmt.Fprintln(stderr, "weir:", err)
	if _, ok := errors.AsType[*app.ConfigError](err); ok || !called {
		return exitConfig
	}
	return exitFailed
}

// serve runs the program until SIGINT or SIGTERM.
func serve(stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The second signal kills a stop that takes too long.
	context.AfterFunc(ctx, stop)

	config, err := app.LoadConfig()
	if err != nil {
		return err
	}
	log, err := app.NewLogger(config, stderr)
	if err != nil {
		return err
	}
	log.Info("starting", zap.String("version", version()))
	return app.New(config, log, stdout).Run(ctx)
}

// version is what the build knows of itself: a module version, or the revision that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
