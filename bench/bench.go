package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/weirmq/weir/bench/load"
	"github.com/weirmq/weir/bench/system"
)

// warmUp is how long a run goes on before it is measured.
const warmUp = time.Second

// bench measures all scenarios on all systems.
type bench struct {
	tmp      string // where servers put their files
	systems  []system.System
	only     string // a part of the titles of the scenarios that are measured
	rounds   int
	duration time.Duration
	progress io.Writer
}

// run goes round by round through the systems, so that a change of the machine's mood hits all of them.
func (b bench) run(ctx context.Context) (report, error) {
	r := newReport(b)
	for i := range r.Scenarios {
		s := r.Scenarios[i].scenario
		fmt.Fprintln(b.progress, s.title)
		for round := range b.rounds {
			for j, c := range s.rows(b.systems) {
				m, err := b.measure(ctx, s, c)
				if ctx.Err() != nil {
					return report{}, errors.New("interrupted")
				}
				if err != nil {
					return report{}, err
				}
				fmt.Fprintf(b.progress, "  round %d/%d  %-31s %s\n", round+1, b.rounds, c.name, m.line(s))
				row := &r.Scenarios[i].Rows[j]
				row.Rounds = append(row.Rounds, m)
			}
		}
	}
	r.summarise()
	return r, nil
}

// measure starts a server, loads it, and stops it. What goes wrong with the load is part of the measurement; an
// error is something that keeps the bench from going on.
func (b bench) measure(ctx context.Context, s scenario, c contender) (_ measurement, err error) {
	i := slices.IndexFunc(b.systems, func(sys system.System) bool { return sys.Name == c.system })
	process, err := b.systems[i].Start(ctx, b.tmp, load.Probe)
	if err != nil {
		return measurement{}, err
	}
	defer func() { err = errors.Join(err, process.Stop()) }()
	run, err := load.Start(ctx, s.config(c, process))
	if err != nil {
		return measurement{Problem: err.Error()}, nil
	}
	from, to, err := b.observe(s, run, process)
	outcome, failure := run.Stop()
	if failure != nil {
		return measurement{Problem: failure.Error()}, nil
	}
	if err != nil {
		return measurement{}, err
	}
	return newMeasurement(s, from, to, outcome), nil
}

// snapshot is what has been used and done up to a moment.
type snapshot struct {
	at        time.Duration // on the clock of samples
	delivered int64
	server    time.Duration // processor time
	client    time.Duration // processor time of the load generator
	rss       int64         // bytes, of the server
}

// observe takes a snapshot after the warm-up and one at the end; of a backlog at once, and when it has been delivered. It returns early when the run fails.
func (b bench) observe(s scenario, run *load.Run, process *system.Process) (from, to snapshot, err error) {
	if s.backlog == 0 {
		wait(run.Failed(), warmUp)
	}
	if from, err = take(run, process); err != nil {
		return from, to, err
	}
	if s.backlog == 0 {
		wait(run.Failed(), b.duration)
	} else {
		run.WaitDrained()
	}
	to, err = take(run, process)
	return from, to, err
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func take(run *load.Run, process *system.Process) (snapshot, error) {
	var s snapshot
	var errs [3]error
	s.rss, errs[0] = process.RSS()
	s.server, errs[1] = process.CPU()
	s.client, errs[2] = system.CPU(os.Getpid())
	s.at, s.delivered = load.Now(), run.Delivered()
	return s, errors.Join(errs[:]...)
}
