// Command bench compares Weir with other MQTT servers and prints tables: throughput, processor time per message,
// latency and memory, and each as a ratio to the MQTT of nats-server. Further tables compare what microservices get over WebSocket with
// what MQTT clients get, and what native NATS services get from JetStream with Weir and without it. Every server is a process of its own, started
// anew for each measurement; rounds go through all rows of a table in turn, and the median round counts.
//
// It runs in its own directory, on Linux, with Go and Debian's mosquitto installed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weirmq/weir/bench/system"
)

// The servers are killed when the thread that started them ends; the main thread lasts as long as the bench.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	systems  []string
	only     string // a part of the titles of scenarios
	rounds   int
	duration time.Duration // of one measurement
	json     bool
}

func parse(args []string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	systems := flags.String("systems", strings.Join(system.Names(), ","), "what to compare, comma separated")
	flags.StringVar(&o.only, "only", "", "scenarios with this in their titles alone")
	flags.IntVar(&o.rounds, "rounds", 3, "measurements per scenario and system; the median counts")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "length of a measurement, after a warm-up of a second")
	flags.BoolVar(&o.json, "json", false, "print JSON with every round")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.systems = strings.Split(*systems, ",")
	for _, name := range o.systems {
		if !slices.Contains(system.Names(), name) {
			return o, fmt.Errorf("unknown system %q: there are %s", name, strings.Join(system.Names(), ", "))
		}
	}
	if !slices.ContainsFunc(scenarios, func(s scenario) bool { return strings.Contains(s.title, o.only) }) {
		return o, fmt.Errorf("no scenario has %q in its title", o.only)
	}
	if flags.NArg() > 0 || o.rounds < 1 || o.duration <= 0 {
		return o, errors.New("bad arguments: see -help")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	opts, err := parse(args, stderr)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	bench := bench{tmp: tmp, only: opts.only, rounds: opts.rounds, duration: opts.duration, progress: stderr}
	for _, name := range opts.systems {
		fmt.Fprintln(stderr, "preparing", name)
		s, err := system.Prepare(ctx, name, tmp)
		if err != nil {
			return err
		}
		bench.systems = append(bench.systems, s)
	}
	report, err := bench.run(ctx)
	if err != nil {
		return err
	}
	if opts.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	return report.print(stdout)
}
